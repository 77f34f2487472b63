"""Downloads against a real HTTP server on this machine that breaks in every way the tests name."""

import hashlib
import io
import json
import re
import threading
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from recsys import download
from recsys.download import Found, Place, local_places, obtain, unpack
from recsys.errors import DataError, SourceUnreachableError

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


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.delenv("RECSYS_DATA_DIR", raising=False)
    monkeypatch.setattr(download, "PAUSE_SECONDS", 0.01)
    site = Site()
    yield site
    site.close()


def fetched(*places: Place, into: Path) -> Found:
    found = obtain(places, into)
    assert hashlib.sha256(found.path.read_bytes()).hexdigest() == found.sha256
    assert found.path.stat().st_size == found.size
    return found


def zipped(**members: str) -> bytes:
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w", zipfile.ZIP_DEFLATED) as content:
        for name, text in members.items():
            content.writestr(name, text)
    return memory.getvalue()


def test_whole_file(site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    site.answers["/data.zip"] = send()
    found = fetched(site.place("/data.zip"), into=tmp_path / "new")
    assert found.sha256 == SHA256
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["data.zip"]
    captured = capsys.readouterr()
    assert captured.out == ""
    assert f"{len(BODY):,} bytes, intact" in captured.err


def test_progress_says_how_many_bytes(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "PROGRESS_SECONDS", -1.0)
    site.answers["/data.zip"] = send()
    fetched(site.place("/data.zip"), into=tmp_path)
    lines = capsys.readouterr().err.splitlines()
    assert lines[-2] == "fetch: data.zip 1,024,000 of 1,024,000 bytes"


def test_goes_on_where_the_connection_broke(site: Site, tmp_path: Path) -> None:
    site.answers["/data.zip"] = in_turn(send(stop_after=400_000), send(stop_after=300_000), send())
    fetched(site.place("/data.zip"), into=tmp_path)
    assert [asked for _, asked in site.asked] == [None, "bytes=400000-", "bytes=700000-"]


def test_next_run_goes_on_too(site: Site, tmp_path: Path) -> None:
    site.answers["/data.zip"] = send(stop_after=100_000)
    with pytest.raises(SourceUnreachableError, match=r"tried 4 times"):
        fetched(site.place("/data.zip"), into=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["data.zip.part"]
    site.answers["/data.zip"] = send()
    fetched(site.place("/data.zip"), into=tmp_path)
    assert site.asked[-1][1] == "bytes=400000-"


def test_starts_anew_if_the_server_does_not_resume(site: Site, tmp_path: Path) -> None:
    site.answers["/data.zip"] = in_turn(send(stop_after=400_000), send(ranges=False))
    fetched(site.place("/data.zip"), into=tmp_path)
    assert len(site.asked) == 2


@pytest.mark.parametrize("leftover", [b"x" * 1_000, BODY + b"x", b"x" * len(BODY)])
def test_leftover_of_another_version_is_dropped(site: Site, tmp_path: Path, leftover: bytes) -> None:
    (tmp_path / "data.zip.part").write_bytes(leftover)
    site.answers["/data.zip"] = send()
    fetched(site.place("/data.zip"), into=tmp_path)
    assert [asked for _, asked in site.asked] == [f"bytes={len(leftover)}-", None]


def test_complete_leftover_is_used(site: Site, tmp_path: Path) -> None:
    (tmp_path / "data.zip.part").write_bytes(BODY)
    site.answers["/data.zip"] = send()
    fetched(site.place("/data.zip"), into=tmp_path)
    assert [asked for _, asked in site.asked] == ["bytes=1024000-"]


def test_corrupt_bytes_never_count_as_data(site: Site, tmp_path: Path) -> None:
    site.answers["/data.zip"] = send(b"<html>please log in</html>")
    with pytest.raises(SourceUnreachableError, match=f"corrupt or another version: 26 bytes .* wanted {SHA256}"):
        fetched(site.place("/data.zip"), into=tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert len(site.asked) == 1


def test_the_error_is_one_line_that_says_what_to_do(site: Site, tmp_path: Path) -> None:
    with pytest.raises(SourceUnreachableError) as caught:
        fetched(site.place("/gone.zip"), into=tmp_path)
    assert str(caught.value) == (
        f"no source of 'data.zip' could be used: publisher {site.url('/gone.zip')}: HTTP 404; run again when the"
        " network is back, or put 'data.zip' into a folder and set RECSYS_DATA_DIR to that folder, or list an address"
        " under `adapter.mirrors`"
    )
    assert len(site.asked) == 1, "a missing file is not asked for again"


def test_missing_file_keeps_what_was_downloaded(site: Site, tmp_path: Path) -> None:
    (tmp_path / "data.zip.part").write_bytes(BODY[:1_000])
    with pytest.raises(SourceUnreachableError):
        fetched(site.place("/gone.zip"), into=tmp_path)
    assert (tmp_path / "data.zip.part").read_bytes() == BODY[:1_000]


def test_busy_server_is_asked_again(site: Site, tmp_path: Path) -> None:
    site.answers["/data.zip"] = in_turn(refuse(500), refuse(503), send())
    fetched(site.place("/data.zip"), into=tmp_path)
    assert len(site.asked) == 3


def test_broken_server_is_given_up(site: Site, tmp_path: Path) -> None:
    site.answers["/data.zip"] = refuse(500)
    with pytest.raises(SourceUnreachableError, match=r"HTTP 500 \(tried 4 times\)"):
        fetched(site.place("/data.zip"), into=tmp_path)


def test_silent_server_is_given_up(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "TIMEOUT", httpx.Timeout(0.05))
    monkeypatch.setattr(download, "ATTEMPTS", 2)
    site.answers["/data.zip"] = lambda request: (site.closing.wait(10), None)[1]
    with pytest.raises(SourceUnreachableError, match=r"timed out \(tried 2 times\)"):
        fetched(site.place("/data.zip"), into=tmp_path)
    assert len(site.asked) == 2


def test_slow_server_is_waited_for(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "TIMEOUT", httpx.Timeout(2.0))

    def drip(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.end_headers()
        for start in range(0, len(BODY), 200_000):
            request.wfile.write(BODY[start : start + 200_000])
            site.closing.wait(0.02)

    site.answers["/data.zip"] = drip
    fetched(site.place("/data.zip"), into=tmp_path)


@pytest.mark.parametrize(
    "location", ["http://127.0.0.1:1/data.zip", "http://no-such-host.invalid/x", "http://[broken/x"]
)
def test_unreachable_host(site: Site, tmp_path: Path, location: str) -> None:
    with pytest.raises(SourceUnreachableError, match=re.escape(f"publisher {location}: ")):
        fetched(Place("publisher", location, "data.zip", SHA256), into=tmp_path)


def test_redirects_are_followed(site: Site, tmp_path: Path) -> None:
    def moved(request: BaseHTTPRequestHandler) -> None:
        request.send_response(302)
        request.send_header("Location", "/data.zip")
        request.end_headers()

    site.answers |= {"/old.zip": moved, "/data.zip": send()}
    assert fetched(site.place("/old.zip"), into=tmp_path).sha256 == SHA256


def test_proxy_of_the_environment_is_used(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", site.url(""))
    site.answers["/data.zip"] = send()
    fetched(Place("publisher", "http://data.invalid/data.zip", "data.zip", SHA256), into=tmp_path)
    assert site.asked == [("http://data.invalid/data.zip", None)]


def test_places_are_tried_in_order_and_noted(site: Site, tmp_path: Path) -> None:
    site.answers |= {"/corrupt.zip": send(b"no"), "/mirror.zip": send(), "/never.zip": send()}
    absent = Place("local folder", str(tmp_path / "data.zip"), "data.zip", SHA256)
    mirrors = [Place("mirror", site.url(path), "data.zip", SHA256) for path in ("/mirror.zip", "/never.zip")]
    found = fetched(absent, site.place("/gone.zip"), site.place("/corrupt.zip"), *mirrors, into=tmp_path)
    assert [path for path, _ in site.asked] == ["/gone.zip", "/corrupt.zip", "/mirror.zip"]
    assert (found.place.kind, found.place.location) == ("mirror", site.url("/mirror.zip"))
    assert [reason.split(" ")[0] for reason in found.passed_over] == ["local", "publisher", "publisher"]
    assert found.passed_over[0].endswith("data.zip: No such file or directory")


def test_provenance_is_plain_json(tmp_path: Path) -> None:
    (tmp_path / "data.zip").write_bytes(BODY)
    path = str(tmp_path / "data.zip")
    found = obtain([Place("local folder", path, "data.zip", SHA256)], tmp_path)
    assert json.loads(json.dumps(found.provenance())) == {
        "source": "local folder",
        "location": path,
        "bytes": 1_024_000,
        "sha256": SHA256,
        "sha256_known_beforehand": True,
        "passed_over": [],
    }


def test_local_folder_comes_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RECSYS_DATA_DIR", raising=False)
    assert local_places("ml-1m", "ml-1m.zip", SHA256) == []
    monkeypatch.setenv("RECSYS_DATA_DIR", str(tmp_path))
    (tmp_path / "ml-1m").mkdir()
    assert local_places("ml-1m", "ml-1m.zip", SHA256)[0].location == str(tmp_path / "ml-1m" / "ml-1m.zip")
    (tmp_path / "ml-1m.zip").touch()
    assert local_places("ml-1m", "ml-1m.zip", SHA256)[0].location == str(tmp_path / "ml-1m.zip")
    (tmp_path / "ml-1m" / "ml-1m.zip").touch()
    assert local_places("ml-1m", "ml-1m.zip", SHA256)[0].location == str(tmp_path / "ml-1m" / "ml-1m.zip")


def test_a_finished_download_is_not_asked_for_again(site: Site, tmp_path: Path) -> None:
    site.answers["/data.zip"] = send()
    fetched(site.place("/data.zip"), into=tmp_path)
    again = fetched(site.place("/data.zip"), into=tmp_path)
    assert len(site.asked) == 1
    assert again.provenance()["source"] == "earlier download"
    (tmp_path / "data.zip").write_bytes(b"altered")
    assert fetched(site.place("/data.zip"), into=tmp_path).provenance()["source"] == "publisher"
    assert len(site.asked) == 2


def test_unknown_sha256_a_zip_is_checked_by_its_own_checksums(site: Site, tmp_path: Path) -> None:
    whole = zipped(**{"a.csv": "id,name\n" * 10_000, "b.csv": "x" * 10_000})
    flipped = whole.replace(whole[60:70], bytes(10), 1)
    site.answers |= {"/whole.zip": send(whole), "/flipped.zip": send(flipped), "/half.zip": send(whole[:100])}
    found = fetched(site.place("/whole.zip", None), into=tmp_path)
    assert found.sha256 == hashlib.sha256(whole).hexdigest()
    assert found.provenance()["sha256_known_beforehand"] is False
    for broken in ("/flipped.zip", "/half.zip"):
        found.path.unlink(missing_ok=True)
        with pytest.raises(SourceUnreachableError, match="not an intact zip archive"):
            fetched(site.place(broken, None), into=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_unpack_finds_members_in_any_folder(tmp_path: Path) -> None:
    archive = tmp_path / "ml.zip"
    archive.write_bytes(zipped(**{"ml/ratings.csv": "r", "ml/README.txt": "terms", "ml/links.csv": "l"}))
    out = tmp_path / "out"
    out.mkdir()
    unpack(archive, out, ["ratings.csv"], ["README", "README.txt"])
    assert {path.name: path.read_text() for path in out.iterdir()} == {"ratings.csv": "r", "README.txt": "terms"}


@pytest.mark.parametrize("name", ["../../ratings.csv", "/tmp/ratings.csv", "ml/../../../ratings.csv"])
def test_unpack_never_writes_outside_its_folder(tmp_path: Path, name: str) -> None:
    archive = tmp_path / "deep" / "ml.zip"
    out = tmp_path / "deep" / "er" / "out"
    out.mkdir(parents=True)
    archive.write_bytes(zipped(**{name: "where to?", "../evil.csv": "not asked for"}))
    before = set(tmp_path.rglob("*"))
    unpack(archive, out, ["ratings.csv"])
    assert set(tmp_path.rglob("*")) - before == {out / "ratings.csv"}


def test_unpack_names_what_is_missing(tmp_path: Path) -> None:
    archive = tmp_path / "ml.zip"
    archive.write_bytes(zipped(**{"ml/u.data": ""}))
    with pytest.raises(DataError, match=r"ml.zip: no file 'ratings.dat' inside, found 'u.data'; put the publisher's"):
        unpack(archive, tmp_path, ["ratings.dat"])
    archive.write_bytes(b"no zip")
    with pytest.raises(DataError, match=r"ml.zip: not an intact zip archive \(File is not a zip file\); delete it"):
        unpack(archive, tmp_path, ["ratings.dat"])
