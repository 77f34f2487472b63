"""Texts of items are embedded by a server with OpenAI's API, here a real HTTP server on this machine."""

import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest

from recsys.datasets._files import embed
from recsys.errors import ParamsError, SourceUnreachableError
from tests.support import own_files

EVENTS = own_files.EVENTS + "".join(
    f"u{user},{item},2024-05-{day + 1:02}\n" for day in range(20) for user, item in enumerate("abcd")
)
SILENT, CUT = -1, 0  # in place of a status: no answer until the server ends, a connection that is closed
ITEMS = "item_id,title,text\na,Pan,of iron\nb,Spade,\nc,,\nd,Pan,of iron\ne,Oar,of ash\n"


def vector_of(text: str) -> list[float]:
    return [byte / 255 for byte in hashlib.sha256(text.encode()).digest()[:4]]


class Server:
    """answers: (status, body) of the next requests, a true answer once they are used up; asked: path, header, body."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, Any]] = []
        self.asked: list[tuple[str, str | None, dict[str, Any]]] = []
        self.closing = threading.Event()
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                server.asked.append((self.path, self.headers.get("Authorization"), body))
                rows = [{"index": at, "embedding": vector_of(text)} for at, text in enumerate(body["input"])]
                status, content = server.answers.pop(0) if server.answers else (200, {"data": rows[::-1]})
                if status == SILENT:
                    server.closing.wait(60)
                if status in (SILENT, CUT):
                    return  # closes the connection without an answer
                self.send_response(status)
                self.end_headers()
                self.wfile.write(json.dumps(content).encode())

            def log_message(self, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"

    @property
    def texts(self) -> list[str]:
        return [text for _, _, body in self.asked for text in body["input"]]

    def close(self) -> None:
        self.closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(embed, "PAUSE_SECONDS", 0.001)
    monkeypatch.delenv(embed.KEY_VARIABLE, raising=False)
    running = Server()
    yield running
    running.close()


def run(server: Server, items: str = ITEMS, **settings: Any) -> own_files.Outcome:
    return own_files.run(EVENTS, items, embed={"url": server.url, "model": "small", **settings})


def written() -> dict[str, list[float]]:
    return {item: list(vector) for item, vector in pl.read_parquet("out/vectors.parquet").iter_rows()}


def test_each_text_is_sent_once_and_only_once_ever(server: Server) -> None:
    run(server, batch=2)
    texts = ["Pan of iron", "Spade", "Oar of ash"]
    assert server.texts == texts  # two items have the same text, one has none
    assert [(path, key, body["model"]) for path, key, body in server.asked] == [("/v1/embeddings", None, "small")] * 2
    expected = {item: pytest.approx(vector_of(texts[at])) for item, at in zip("abde", (0, 1, 0, 2), strict=True)}
    assert written() == expected
    run(server)
    assert server.texts == texts
    assert written() == expected
    run(server, ITEMS + "f,Rake,\n")
    assert server.texts == [*texts, "Rake"]
    run(server, model="large")
    assert len(server.asked) == 4


def test_what_passes_is_asked_again(server: Server) -> None:
    server.answers = [(503, "busy"), (429, "slower"), (CUT, None)]
    run(server)
    assert len(server.asked) == 4
    assert len(written()) == 4


def test_a_server_that_is_too_slow_is_asked_again_and_then_named(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embed, "TIMEOUT", httpx.Timeout(30, read=0.1))
    server.answers = [(SILENT, None)] * 4
    with pytest.raises(SourceUnreachableError, match=r"/v1/embeddings: .*: correct `embed` in params.yaml or RECSYS_"):
        run(server)
    assert len(server.asked) == 4


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((401, {"error": "no key"}), r"HTTP 401 \(.*no key"),
        ((200, {"data": []}), "not an answer of this API .*0 vectors for 3 texts"),
        ((200, {"data": [{"index": at, "embedding": "x"} for at in range(3)]}), "not an answer of this API"),
        ((200, ["no object"]), "not an answer of this API"),
    ],
)
def test_other_faults_are_one_line_at_once(server: Server, answer: tuple[int, Any], said: str) -> None:
    server.answers = [answer]
    with pytest.raises(SourceUnreachableError, match=said):
        run(server)
    assert len(server.asked) == 1


def test_what_was_answered_before_a_fault_is_kept(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embed, "KEPT_AT_ONCE", 1)
    true = {"data": [{"index": 0, "embedding": vector_of("Pan of iron")}]}
    server.answers = [(200, true), (401, "no")]
    with pytest.raises(SourceUnreachableError):
        run(server)
    run(server)
    assert server.texts == ["Pan of iron", "Spade", "Spade", "Oar of ash"]


def test_the_key_is_sent_and_written_nowhere(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(embed.KEY_VARIABLE, "secret-key")
    run(server)
    assert server.asked[0][1] == "Bearer secret-key"
    assert not [path for path in Path().rglob("*") if path.is_file() and b"secret-key" in path.read_bytes()]


def test_a_vector_that_is_not_finite_is_refused_like_any_other(server: Server) -> None:
    rows = [{"index": at, "embedding": [1.0, float("nan") if at == 1 else 2.0]} for at in range(3)]
    server.answers = [(200, {"data": rows})]
    outcome = run(server)
    assert outcome.reasons("vectors") == {"vector_not_finite": 1}
    assert sorted(written()) == ["a", "d", "e"]


def test_it_needs_items_and_no_other_vectors(server: Server) -> None:
    with pytest.raises(ParamsError, match=r"^datasets.files.adapter: embed: needs a table .* vectors$"):
        own_files.run(EVENTS, embed={"url": server.url, "model": "small"})
    with pytest.raises(ParamsError, match="cannot be combined with a table of vectors"):
        own_files.run(EVENTS, ITEMS, vectors={"path": "v.csv"}, embed={"url": server.url, "model": "small"})
    assert not server.asked
