"""Finds the files of a setting, converts their text to UTF-8, and writes numbered Parquet files."""

import codecs
import glob
import os
import re
import shutil
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePath
from typing import IO, Literal
from urllib.parse import unquote

import polars as pl

from recsys.data.download import LOCAL_FOLDER
from recsys.data.raw_tables import FileLines
from recsys.datasets._files.packed import BLOCK, PACKED, member, opened
from recsys.datasets._files.records import Record
from recsys.errors import DataError, SourceUnreachableError

Kind = Literal["delimited", "json_lines", "parquet", "excel", "sql"]
KINDS: dict[str, Kind] = {
    ".csv": "delimited", ".tsv": "delimited", ".txt": "delimited",
    ".jsonl": "json_lines", ".ndjson": "json_lines", ".json": "json_lines",
    ".parquet": "parquet", ".pq": "parquet",
    ".xlsx": "excel", ".xlsm": "excel", ".xlsb": "excel", ".xls": "excel", ".ods": "excel",
    ".sql": "sql",
}  # fmt: skip
BAD_BYTES = "recsys-bad-bytes"
WESTERN = ("iso8859-1", "iso8859-15", "cp1252")
IN_UTF8 = re.compile(rb"[\xc2\xc3][\x80-\xbf]|\xe2[\x80\x82][\x80-\xbf]")  # letters, quotes, the euro sign
codecs.register_error(BAD_BYTES, lambda error: ("\udcff", getattr(error, "end")))  # noqa: B009 - not in the base type


@dataclass(frozen=True)
class Source:
    """One input file. name: for messages; kind: format; folders: column -> value, from folders named `key=value`."""

    path: Path
    name: str
    kind: Kind
    folders: dict[str, str]


def find(paths: list[Path]) -> list[Source]:
    """Return all files of these paths, folders and patterns, in the order of the paths, then of the names.

    Raises:
        SourceUnreachableError: "loans.csv: no such file, looked at /srv/loans.csv and ...: correct the path ..."
        DataError: "books.docx: expected a name that ends with .csv, ..."
    """
    return [source for path in paths for source in _under(path)]


def _under(path: Path) -> Iterator[Source]:
    places = [path, Path(os.environ[LOCAL_FOLDER]) / path] if LOCAL_FOLDER in os.environ else [path]
    for place in places:
        if place.is_file():
            yield _source(place, path.name, PurePath())
            return
        folder = place if place.is_dir() else Path(place.anchor)
        found = place.rglob("*") if place.is_dir() else map(Path, glob.glob(str(place), recursive=True))
        below = [file for file in sorted(found) if file.is_file() and not file.name.startswith(("_", "."))]
        for file in below:  # without markers and checksums, such as those of Spark
            inner = file.relative_to(folder)
            yield _source(file, str(inner), inner.parent)
        if below:
            return
    looked = " and ".join(str(place.absolute()) for place in places)
    raise SourceUnreachableError(
        f"{path}: no such file, looked at {looked}: correct the path in params.yaml or set {LOCAL_FOLDER}"
    )


def _source(path: Path, name: str, folders: PurePath) -> Source:
    inner = PurePath(path.name.lower())
    while inner.suffix in PACKED:
        inner = inner.with_suffix("")
    if not inner.suffix and zipfile.is_zipfile(path):
        inner = PurePath(member(path).filename.lower())
    if inner.suffix not in KINDS:
        raise DataError(
            f"{path}: expected a name that ends with {', '.join(KINDS)}, then optionally {', '.join(PACKED)}"
        )
    pairs = dict(part.split("=", 1) for part in folders.parts if "=" in part)
    named = {key: unquote(value) for key, value in pairs.items() if value != "__HIVE_DEFAULT_PARTITION__"}
    return Source(path, name, KINDS[inner.suffix], named)


@contextmanager
def as_utf8(path: Path, encoding: str, aside: Path) -> Iterator[Path]:
    """Yield the path of the text in UTF-8 with line feeds as line ends: `path`, or a temporary copy at `aside`.

    Bytes invalid in `encoding` become bytes invalid in UTF-8, so that only their lines are refused later.

    Raises:
        DataError: "loans.csv: begins like UTF-16, and the setting is utf-8: set encoding: utf-16"
    """
    with opened(path) as stream:
        start = stream.read(BLOCK)
        if encoding == "utf-8" and start[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
            name = "utf-32" if start[:4] == codecs.BOM_UTF32_LE else "utf-16"
            raise DataError(f"{path}: begins like {name.upper()}, and the setting is utf-8: set encoding: {name}")
        if encoding == "utf-8" and start.count(0) > len(start) / 5:
            raise DataError(f"{path}: full of zero bytes, as UTF-16 is: set encoding, such as utf-16-le")
        old_mac = b"\n" not in start and b"\r" in start
        with path.open("rb") as file:
            packed = file.read(8) != start[:8]
        if encoding == "utf-8" and not old_mac and not packed:
            yield path
            return
        try:
            _transcode(path, stream, start, encoding, old_mac, aside)
        except UnicodeError as error:  # UTF-16 without a byte order mark
            raise DataError(
                f"{path}: not readable as {encoding} ({error}): set `encoding` to that of the file, such as utf-16-le"
            ) from error
    yield aside
    aside.unlink()


def _transcode(path: Path, stream: IO[bytes], block: bytes, encoding: str, old_mac: bool, aside: Path) -> None:
    """Write the text of `block` and of the rest of the stream to `aside`; refuse UTF-8 if `encoding` is another one."""
    decode = codecs.getincrementaldecoder(encoding)(BAD_BYTES).decode
    utf8, is_utf8, more_than_ascii = codecs.getincrementaldecoder("utf-8")(), encoding != "utf-8", False
    western = codecs.lookup(encoding).name in WESTERN
    if western:
        block += stream.readline()
    with aside.open("wb") as copy:
        while True:
            text = _decode_lines(block, decode) if western else decode(block, not block)
            copy.write((text.replace("\r", "\n") if old_mac else text).encode("utf-8", "surrogatepass"))
            if is_utf8:
                more_than_ascii |= not block.isascii()
                try:
                    utf8.decode(block, not block)
                except UnicodeDecodeError:
                    is_utf8 = False
            if not block:
                break
            block = stream.read(BLOCK)
            if western:
                block += stream.readline()
    if is_utf8 and more_than_ascii:
        aside.unlink()
        raise DataError(f"{path}: is UTF-8, which {encoding} would garble: drop the setting encoding")


def _decode_lines(lines: bytes, decode: Callable[[bytes], str]) -> str:
    """Decode whole lines of a Western encoding; those in UTF-8, which it would garble, become lines of bad bytes."""
    if not IN_UTF8.search(lines):
        return decode(lines)
    return "".join(
        line.decode("ascii", BAD_BYTES) if IN_UTF8.search(line) and _is_utf8(line) else decode(line)
        for line in lines.splitlines(keepends=True)
    )


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


FILE, LINE, REASON, TEXT = "(file)", "(line)", "(reason)", "(text)"
OWN = {FILE: pl.String(), LINE: pl.Int64(), REASON: pl.String(), TEXT: pl.String()}
BATCH_ROWS = 100_000


class Parts:
    """Writes one table into `folder`, as Parquet files that are numbered from 0."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._n_parts = folder, 0
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()

    def sink(self, table: pl.LazyFrame, source: Source) -> int:
        """Write a table, adding FILE (name of the source) and columns from folder names; return the number of rows."""
        path = self._folder / f"{self._n_parts:06d}.parquet"
        self._n_parts += 1
        folders = {key: pl.lit(value) for key, value in source.folders.items()}
        table.with_columns(pl.lit(source.name).alias(FILE), **folders).sink_parquet(path, compression="lz4")
        return int(pl.scan_parquet(path).select(pl.len()).collect().item())

    def write(self, columns: list[str], rows: Iterator[Record], source: Source, n_head: int = 0) -> FileLines:
        """Write rows in batches, so that memory does not grow with the file; without rows, write one empty part. Return
        the counts of lines; n_head: number of lines before the first row."""
        columns = [f"{name}*" if name in OWN else name for name in columns]  # must not replace FILE
        schema = {name: pl.String() for name in columns} | {name: OWN[name] for name in (LINE, REASON, TEXT)}
        nothing: list[str | None] = [None] * len(columns)
        n_rows, row_lines, refused, first = 0, 0, 0, True
        while (batch := list(islice(rows, BATCH_ROWS))) or first:
            values = [
                (*(row.cells or nothing), row.number, row.reason, _printable(row.text) if row.reason else None)
                for row in batch
            ]
            self.sink(pl.LazyFrame(values, schema, orient="row"), source)
            good = [row.lines for row in batch if row.cells is not None]
            n_rows, row_lines, first = n_rows + len(good), row_lines + sum(good), False
            refused += sum(row.lines for row in batch if row.cells is None)
        return FileLines(source.name, n_head + row_lines + refused, n_head, n_rows, row_lines, refused)


def _printable(text: str) -> str:
    """Escape bytes that are invalid in the encoding, such as `\\xe9`."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
