"""Compressed files: everything in them is read, or the file is refused."""

import bz2
import gzip
import lzma
from collections.abc import Callable
from pathlib import Path

import pytest
from backports import zstd

from recsys.datasets._files.packed import opened
from recsys.errors import DataError


@pytest.mark.parametrize("pack", [bz2.compress, lzma.compress, gzip.compress, zstd.compress])
@pytest.mark.parametrize("end", [b"more", b"\0" * 8 + b"more"])
def test_what_follows_a_compressed_stream_is_another_one_or_an_error(
    pack: Callable[[bytes], bytes], end: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "events.csv.bz2"
    path.write_bytes(pack(b"some") + pack(b" more"))
    with opened(path) as stream:
        assert stream.read() == b"some more"
    for damaged in (pack(b"some") + end, (pack(b"some") + pack(b" more"))[:-5]):
        path.write_bytes(damaged)
        with (
            pytest.raises(DataError, match=r"events.csv.bz2: cannot be unpacked .*: replace the file"),
            opened(path) as stream,
        ):
            stream.read()
