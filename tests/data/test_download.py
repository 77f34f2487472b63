"""Which place serves, what is intact, what leaves a zip; broken connections are in `test_download_resume.py`."""

import hashlib
import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from recsys.data.download import Obtained, Place, local_places, obtain, unpack
from recsys.errors import DataError, SourceUnreachableError
from tests.data.http_site import BODY, SHA256, Site, running, send


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    with running(monkeypatch) as site:
        yield site


def fetched(*places: Place, into: Path) -> Obtained:
    found = obtain(places, into)
    assert hashlib.sha256(found.path.read_bytes()).hexdigest() == found.provenance["sha256"]
    assert found.path.stat().st_size == found.provenance["bytes"]
    return found


def zipped(**members: str) -> bytes:
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w", zipfile.ZIP_DEFLATED) as content:
        for name, text in members.items():
            content.writestr(name, text)
    return memory.getvalue()


def test_the_error_is_one_line_that_says_what_to_do(site: Site, tmp_path: Path) -> None:
    with pytest.raises(SourceUnreachableError) as caught:
        fetched(site.place("/gone.zip"), into=tmp_path)
    assert str(caught.value) == (
        f"no source of 'data.zip' could be used: publisher {site.url('/gone.zip')}: HTTP 404; run again when the"
        " network is back, or put 'data.zip' into a folder and set RECSYS_DATA_DIR to that folder, or list an address"
        " under `adapter.mirrors`"
    )
    assert len(site.asked) == 1, "a missing file is not asked for again"


def test_places_are_tried_in_order_and_noted(site: Site, tmp_path: Path) -> None:
    site.answers |= {"/corrupt.zip": send(b"no"), "/mirror.zip": send(), "/never.zip": send()}
    absent = Place("local folder", str(tmp_path / "data.zip"), "data.zip", SHA256)
    mirrors = [Place("mirror", site.url(path), "data.zip", SHA256) for path in ("/mirror.zip", "/never.zip")]
    found = fetched(absent, site.place("/gone.zip"), site.place("/corrupt.zip"), *mirrors, into=tmp_path)
    assert [path for path, _ in site.asked] == ["/gone.zip", "/corrupt.zip", "/mirror.zip"]
    assert (found.place.kind, found.place.location) == ("mirror", site.url("/mirror.zip"))
    assert [reason.split(" ")[0] for reason in found.provenance["passed_over"]] == ["local", "publisher", "publisher"]
    assert found.provenance["passed_over"][0].endswith("data.zip: No such file or directory")


def test_provenance_is_plain_json(tmp_path: Path) -> None:
    (tmp_path / "data.zip").write_bytes(BODY)
    path = str(tmp_path / "data.zip")
    found = obtain([Place("local folder", path, "data.zip", SHA256)], tmp_path)
    assert json.loads(json.dumps(found.provenance)) == {
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
    assert again.provenance["source"] == "earlier download"
    (tmp_path / "data.zip").write_bytes(b"altered")
    assert fetched(site.place("/data.zip"), into=tmp_path).provenance["source"] == "publisher"
    assert len(site.asked) == 2


def test_unknown_sha256_a_zip_is_checked_by_its_own_checksums(site: Site, tmp_path: Path) -> None:
    whole = zipped(**{"a.csv": "id,name\n" * 10_000, "b.csv": "x" * 10_000})
    flipped = whole.replace(whole[60:70], bytes(10), 1)
    site.answers |= {"/whole.zip": send(whole), "/flipped.zip": send(flipped), "/half.zip": send(whole[:100])}
    found = fetched(site.place("/whole.zip", None), into=tmp_path)
    assert found.provenance["sha256"] == hashlib.sha256(whole).hexdigest()
    assert found.provenance["sha256_known_beforehand"] is False
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
