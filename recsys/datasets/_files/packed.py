"""Opens compressed files for reading: gzip, bzip2, xz, Zstandard, and ZIP archives of one file."""

import bz2
import gzip
import io
import lzma
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Any

from backports import zstd

from recsys.errors import DataError, one_line

BLOCK = 1 << 20
PACKED = (".gz", ".bz2", ".xz", ".zst", ".zip")
ZIP = b"PK\x03\x04"
DAMAGED = (OSError, EOFError, RuntimeError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, zstd.ZstdError)


class _Streams(io.RawIOBase):
    """Decompresses the streams of a file, one behind the other. What follows them must be zeros: `bz2.open` and
    `lzma.open` would drop anything else without an error, such as a second stream that is damaged."""

    def __init__(self, start: Callable[[], bz2.BZ2Decompressor | lzma.LZMADecompressor], path: Path, mode: str) -> None:
        self._file = path.open(mode)
        self._start = start
        self._stream = start()

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        self._file.close()
        super().close()

    def readinto(self, buffer: Any) -> int:
        into, data = memoryview(buffer), b""
        while not data:
            given = b""
            if self._stream.eof:
                given = self._stream.unused_data.lstrip(b"\0")
                while not given:
                    if not (more := self._file.read(BLOCK)):
                        return 0
                    given = more.lstrip(b"\0")
                self._stream = self._start()
            elif self._stream.needs_input:
                given = self._file.read(BLOCK)
                if not given:
                    raise EOFError("it ends within a stream")
            data = self._stream.decompress(given, len(into))
        into[: len(data)] = data
        return len(data)


def _streams(start: Callable[[], Any], path: Path, mode: str) -> io.BufferedReader:
    return io.BufferedReader(_Streams(start, path, mode), BLOCK)


OPENERS: dict[bytes, Callable[..., Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": partial(_streams, bz2.BZ2Decompressor),
    b"\xfd7zXZ\0": partial(_streams, lzma.LZMADecompressor),
    b"\x28\xb5\x2f\xfd": zstd.open,
}


@contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """Open a file for reading bytes, decompressed if its content (not its name) is compressed.

    Raises:
        DataError: "loans.csv.gz: cannot be unpacked (...): replace the file"
    """
    with path.open("rb") as file:
        start = file.read(8)
    try:
        if start.startswith(ZIP):
            with zipfile.ZipFile(path) as packed, packed.open(member(path)) as stream:
                yield stream
            return
        opener = next((opener for magic, opener in OPENERS.items() if start.startswith(magic)), open)
        with opener(path, "rb") as stream:
            yield stream
    except DAMAGED as error:
        raise DataError(f"{path}: cannot be unpacked ({one_line(str(error), 200)}): replace the file") from error


def member(path: Path) -> zipfile.ZipInfo:
    """Return the only file in a ZIP archive.

    Raises:
        DataError: "loans.zip: 2 files inside, expected one: unpack it and name the files"
    """
    with zipfile.ZipFile(path) as packed:
        inside = [info for info in packed.infolist() if not info.is_dir() and not info.filename.startswith("__MACOSX")]
    if len(inside) != 1:
        raise DataError(f"{path}: {len(inside)} files inside, expected one: unpack it and name the files")
    return inside[0]
