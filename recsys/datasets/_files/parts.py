"""Writes rows as numbered Parquet files: each cell as text, with the file and line that the row came from."""

import shutil
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import polars as pl

from recsys.datasets._files.records import Record
from recsys.datasets._files.sources import Source

FILE, LINE, REASON, TEXT = "(file)", "(line)", "(reason)", "(text)"
OWN = {FILE: pl.String(), LINE: pl.Int64(), REASON: pl.String(), TEXT: pl.String()}
BATCH_ROWS = 100_000


class Parts:
    """The parts of one table, in the order in which they are written."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._n_parts = folder, 0
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()

    def sink(self, table: pl.LazyFrame, source: Source) -> int:
        """Write a table as it is, with FILE and the columns from folder names; return its number of rows."""
        path = self._folder / f"{self._n_parts:06d}.parquet"
        self._n_parts += 1
        folders = {key: pl.lit(value) for key, value in source.folders.items()}
        table.with_columns(pl.lit(source.name).alias(FILE), **folders).sink_parquet(path, compression="lz4")
        return int(pl.scan_parquet(path).select(pl.len()).collect().item())

    def write(self, columns: list[str], rows: Iterator[Record], source: Source) -> None:
        """Write rows in batches, so that memory does not grow with the file; an empty file gives one empty part."""
        columns = [f"{name}*" if name in OWN else name for name in columns]  # no cell takes the place of our own
        schema = {name: pl.String() for name in columns} | {name: OWN[name] for name in (LINE, REASON, TEXT)}
        nothing: list[str | None] = [None] * len(columns)
        first = True
        while (batch := list(islice(rows, BATCH_ROWS))) or first:
            values = [
                (*(row.cells or nothing), row.number, row.reason, _printable(row.text) if row.reason else None)
                for row in batch
            ]
            self.sink(pl.LazyFrame(values, schema, orient="row"), source)
            first = False


def _printable(text: str) -> str:
    """Escape bytes that are invalid in the encoding, such as `\\xe9`."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
