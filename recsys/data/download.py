"""Gets a file of raw data from the first source that has it intact: a local folder, the publisher, then mirrors.

A download is written to `<name>.part` and renamed once its bytes were checked, so an unfinished file is never used as
data; the next run resumes it (HTTP Range). A finished file is not downloaded again. Proxies and certificates come from
the environment, as httpx reads them (HTTPS_PROXY, SSL_CERT_FILE, ...). Tests use a local server, not the publishers'.
"""

import os
import shutil
import sys
import time
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import httpx

from recsys.errors import DataError, SourceUnreachableError, one_line
from recsys.output import file_hash

LOCAL_FOLDER = "RECSYS_DATA_DIR"
TIMEOUT = httpx.Timeout(30.0, connect=10.0)  # seconds: to connect, and without receiving a byte
ATTEMPTS = 4  # per address; each resumes where the last one stopped
PAUSE_SECONDS = 1.0
PROGRESS_SECONDS = 2.0
TRY_AGAIN = (408, 425, 429, 500, 502, 503, 504)
# RuntimeError: a damaged bit says that the zip has a password
DAMAGED_ZIP = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError)


@dataclass(frozen=True)
class Place:
    """One source of a file. location: a path, or a URL with http:// or https://; filename: name to store it under.
    sha256: expected SHA-256 of the file; None if the publisher states none: the checksums inside the zip are
    verified."""

    kind: Literal["local folder", "earlier download", "publisher", "mirror"]
    location: str
    filename: str
    sha256: str | None


@dataclass(frozen=True)
class Obtained:
    """An intact file. provenance: its source, size in bytes and SHA-256, and `passed_over`, the sources that failed
    before it, with the reasons."""

    path: Path
    place: Place
    provenance: dict[str, Any]


class _PassOverError(Exception):
    """Raised if a source does not have the file intact; the message is the reason."""


class _TryAgainError(Exception):
    """Raised if a source failed, but another attempt may succeed."""


def local_places(folder: str, filename: str, sha256: str | None) -> list[Place]:
    """Return the local sources of a file: <folder>/<filename> and <filename> in `$RECSYS_DATA_DIR`, if this is set."""
    root = os.environ.get(LOCAL_FOLDER)
    if not root:
        return []
    paths = [Path(root).expanduser() / folder / filename, Path(root).expanduser() / filename]
    path = next((path for path in paths if path.is_file()), paths[0])
    return [Place("local folder", str(path.absolute()), filename, sha256)]


def obtain(places: Sequence[Place], downloads: Path) -> Obtained:
    """Return the file from the first source that has it intact; downloads: folder for files from the network.

    Raises:
        SourceUnreachableError: "no source of 'ml-1m.zip' could be used: publisher https://...: HTTP 404; ..."
        DataError: "cannot write data/downloads/ml-1m.zip.part: No space left on device; ..."
    """
    passed_over: list[str] = []
    for place in _with_earlier_downloads(places, downloads):
        try:
            path = _download(place, downloads) if _remote(place) else Path(place.location)
            sha256 = _checked(path, place.sha256)
        except _PassOverError as reason:
            passed_over.append(f"{place.kind} {place.location}: {reason}")
            print(f"fetch: {passed_over[-1]}", file=sys.stderr)
        else:
            size = path.stat().st_size
            print(f"fetch: {place.kind} {place.location}: {size:,} bytes, intact", file=sys.stderr)
            provenance: dict[str, Any] = {"source": place.kind, "location": place.location, "bytes": size}
            provenance |= {"sha256": sha256, "sha256_known_beforehand": place.sha256 is not None}
            return Obtained(path, place, provenance | {"passed_over": passed_over})
    filename = next((place.filename for place in places if _remote(place)), places[0].filename)
    raise SourceUnreachableError(
        f"no source of {filename!r} could be used: {'; '.join(passed_over)}; run again when the network is back, or put"
        f" {filename!r} into a folder and set {LOCAL_FOLDER} to that folder, or list an address under `adapter.mirrors`"
    )


def unpack(archive: Path, out: Path, wanted: Sequence[str], welcome: Sequence[str] = ()) -> None:
    """Extract files from a zip into the folder `out`; wanted: names of required files, welcome: of optional ones.

    Files are found by name in any folder of the zip and written directly into `out`, so none can land elsewhere.

    Raises:
        DataError: "ml-1m.zip: no file 'ratings.dat' inside, found ...", or "...: not an intact zip archive (...); ..."
    """
    try:
        with zipfile.ZipFile(archive) as content:
            inside = {PurePosixPath(member.filename).name: member for member in content.infolist()}
            if missing := [name for name in wanted if name not in inside]:
                raise DataError(
                    f"{archive}: no file {missing[0]!r} inside, found {', '.join(map(repr, sorted(inside)))};"
                    " put the publisher's archive there"
                )
            for name in [*wanted, *(name for name in welcome if name in inside)]:
                with content.open(inside[name]) as source, (out / name).open("wb") as target:
                    shutil.copyfileobj(source, target, 1 << 20)
    except DAMAGED_ZIP as error:
        raise DataError(f"{archive}: not an intact zip archive ({error}); delete it and fetch again") from error


def _with_earlier_downloads(places: Sequence[Place], downloads: Path) -> Iterator[Place]:
    for place in places:
        if _remote(place) and (kept := downloads / place.filename).is_file():
            yield Place("earlier download", str(kept), place.filename, place.sha256)
        yield place


def _remote(place: Place) -> bool:
    return place.location.startswith(("http://", "https://"))


def _checked(path: Path, wanted: str | None) -> str:
    """Return the SHA-256 of a file; raise unless it is `wanted`, or, if that is None, unless the zip is intact."""
    try:
        sha256 = file_hash(path)
        damaged = None
        if wanted is None:
            with zipfile.ZipFile(path) as content:
                damaged = content.testzip()
    except OSError as error:
        raise _PassOverError(error.strerror or str(error)) from None
    except DAMAGED_ZIP as error:
        raise _PassOverError(f"not an intact zip archive ({error})") from None
    if damaged:
        raise _PassOverError(f"not an intact zip archive ({damaged!r} is damaged)")
    if wanted not in (None, sha256):
        size = path.stat().st_size
        raise _PassOverError(f"corrupt or another version: {size:,} bytes with sha256 {sha256}, expected {wanted}")
    return sha256


def _download(place: Place, downloads: Path) -> Path:
    """Download the file, check it and return its path."""
    downloads.mkdir(parents=True, exist_ok=True)
    part = downloads / f"{place.filename}.part"
    problem = ""
    for attempt in range(ATTEMPTS):
        time.sleep(PAUSE_SECONDS if attempt else 0)
        start = part.stat().st_size if part.exists() else 0
        try:
            _transfer(place.location, part, start)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError, httpx.InvalidURL) as error:
            raise _PassOverError(_line(error)) from None
        except (_TryAgainError, httpx.RequestError) as error:
            problem = _line(error)
            continue
        except OSError as error:
            fault = f"cannot write {part}: {error.strerror}"
            raise DataError(f"{fault}; free space there, or make the folder writable") from error
        try:
            _checked(part, place.sha256)
            return part.replace(downloads / place.filename)
        except _PassOverError as error:
            part.unlink()
            if start == 0:
                raise
            problem = str(error)  # the parts may be of different versions: try once more from the first byte
    raise _PassOverError(f"{problem} (tried {ATTEMPTS} times)")


def _transfer(url: str, part: Path, start: int) -> None:
    """Download into `part` with one request: append from byte `start`, or overwrite if the server sends everything."""
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
    with httpx.stream("GET", url, headers=headers, timeout=TIMEOUT, follow_redirects=True) as response:
        if response.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE and start:
            return  # `part` is complete; its checksum is verified later
        if response.status_code in TRY_AGAIN:
            raise _TryAgainError(f"HTTP {response.status_code}")
        if not response.is_success:
            raise _PassOverError(f"HTTP {response.status_code}")
        resumes = response.headers.get("Content-Range", "").startswith(f"bytes {start}-")
        done = start if response.status_code == httpx.codes.PARTIAL_CONTENT and resumes else 0
        length = response.headers.get("Content-Length")
        total = f" of {done + int(length):,}" if length else ""
        shown = time.monotonic()
        with part.open("ab" if done else "wb") as file:
            for chunk in response.iter_raw():
                done += file.write(chunk)
                if time.monotonic() - shown > PROGRESS_SECONDS:
                    shown = time.monotonic()
                    print(f"fetch: {part.stem} {done:,}{total} bytes", file=sys.stderr)


def _line(error: Exception) -> str:
    return one_line(str(error)) or type(error).__name__
