"""A real HTTP server on this machine that breaks in every way a test asks for."""

import hashlib
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import pytest

from recsys.data import download
from recsys.data.download import Place

BODY = bytes(range(256)) * 4_000  # 1 MB
SHA256 = hashlib.sha256(BODY).hexdigest()
Answer = Callable[[BaseHTTPRequestHandler], None]


class Site:
    """A server on localhost. answers: path -> what it does; asked: the Range header of each request, in order."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        self.asked: list[tuple[str, str | None]] = []
        self.closing = threading.Event()
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                site.asked.append((self.path, self.headers.get("Range")))
                site.answers.get(urlsplit(self.path).path, refuse(404))(self)

            def log_message(self, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server.server_port}{path}"

    def place(self, path: str, sha256: str | None = SHA256, filename: str = "data.zip") -> Place:
        return Place("publisher", self.url(path), filename, sha256)

    def close(self) -> None:
        self.closing.set()
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


def refuse(status: int) -> Answer:
    return lambda request: request.send_error(status)


def send(body: bytes = BODY, ranges: bool = True, stop_after: int | None = None) -> Answer:
    """Send `body`, from the byte that was asked for if `ranges`; hang up after `stop_after` bytes of it."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        asked = re.fullmatch(r"bytes=(\d+)-", request.headers.get("Range", "")) if ranges else None
        start = int(asked[1]) if asked else 0
        if start >= len(body):
            request.send_error(416)
            return
        request.send_response(206 if asked else 200)
        if asked:
            request.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        request.send_header("Content-Length", str(len(body) - start))
        request.end_headers()
        request.wfile.write(body[start:][:stop_after])

    return answer


def in_turn(*answers: Answer) -> Answer:
    """The first answer to the first request and so on; the last one stays."""
    left = list(answers)
    return lambda request: (left.pop(0) if len(left) > 1 else left[0])(request)


@contextmanager
def running(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """A site that nothing in the environment hides, asked again without a pause."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "RECSYS_DATA_DIR"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setattr(download, "PAUSE_SECONDS", 0.01)
    site = Site()
    yield site
    site.close()
