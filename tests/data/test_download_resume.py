"""Downloads from a server that hangs up, is busy, is silent, sends other bytes or is not there."""

import hashlib
import re
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import httpx
import pytest

from recsys.data import download
from recsys.data.download import Obtained, Place, obtain
from recsys.errors import SourceUnreachableError
from tests.data.http_site import BODY, SHA256, Site, in_turn, refuse, running, send


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    with running(monkeypatch) as site:
        yield site


def fetched(*places: Place, into: Path) -> Obtained:
    found = obtain(places, into)
    assert hashlib.sha256(found.path.read_bytes()).hexdigest() == found.provenance["sha256"]
    assert found.path.stat().st_size == found.provenance["bytes"]
    return found


def test_whole_file(site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    site.answers["/data.zip"] = send()
    found = fetched(site.place("/data.zip"), into=tmp_path / "new")
    assert found.provenance["sha256"] == SHA256
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
    with pytest.raises(SourceUnreachableError, match=f"corrupt or another version: 26 bytes .* expected {SHA256}"):
        fetched(site.place("/data.zip"), into=tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert len(site.asked) == 1


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
    assert fetched(site.place("/old.zip"), into=tmp_path).provenance["sha256"] == SHA256


def test_proxy_of_the_environment_is_used(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", site.url(""))
    site.answers["/data.zip"] = send()
    fetched(Place("publisher", "http://data.invalid/data.zip", "data.zip", SHA256), into=tmp_path)
    assert site.asked == [("http://data.invalid/data.zip", None)]
