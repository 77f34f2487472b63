"""Reads delimited text into numbered Parquet files: one row per record, each cell as text.

If every line is one well-formed row, polars reads the file. Any other file is split record by record, which is several
times slower, so that each line becomes part of a row or is refused with a reason.
"""

import re
from collections.abc import Mapping
from itertools import islice
from pathlib import Path

import polars as pl

from recsys.data.raw_tables import FileLines
from recsys.datasets._files.records import Cells, Splitter, records
from recsys.datasets._files.settings import NUMBERS, TIMES, TextFile
from recsys.datasets._files.sources import LINE, Parts, Source
from recsys.errors import DataError


def read(text: Path, source: Source, file: TextFile, columns: Mapping[str, str], parts: Parts) -> FileLines:
    """Write the rows of the UTF-8 file `text` to `parts`, return its line counts. columns: canonical name -> name in
    the file.

    Raises:
        DataError: "loans.csv: empty file ..."; "loans.csv: line 1 cannot be read (stray_quote): ..."
    """
    splitter = Splitter(file.separator, file.quote, file.escape)
    with text.open(encoding="utf-8-sig", errors="surrogateescape", newline="\n") as stream:
        skipped = sum(1 for _ in islice(stream, file.skip_lines))
        found = records(stream, splitter, skipped + 1, None, [])
        head = next((record for record in found if file.header or record.cells is not None), None)
        if head is None:
            raise DataError(f"{source.name}: empty file, expected at least one row: replace it, or correct skip_lines")
        if head.cells is None:
            raise DataError(
                f"{source.name}: line {head.number} cannot be read ({head.reason}): {head.text!r:.80};"
                " correct encoding, quote or skip_lines"
            )
        header = head.cells if file.header else None
        n_head = skipped + (head.lines if file.header else 0)
        names = unique_names(source.name, header or [None] * len(head.cells), set(columns.values()))
        if head.lines == 1 and _only_rows(text, file, head.text if file.header else None, len(names), n_head):
            n_rows = _scan(text, file, names, n_head, source, parts)
            return FileLines(source.name, n_head + n_rows, n_head, n_rows, n_rows, 0)
        typed = [columns[name] for name in (*TIMES, *NUMBERS) if columns.get(name) in names]
        places = [names.index(name) for name in typed]
        stream.seek(0)
        lines = islice(stream, n_head, None)
        return parts.write(names, records(lines, splitter, n_head + 1, header, places), source, n_head)


def unique_names(name: str, cells: Cells, mapped: set[str]) -> list[str]:
    """Return unique column names. An empty name becomes the column's number; a repeated name gets the number behind it,
    or is an error if it is in `mapped`, the names that the settings use. name: the file's, for messages."""
    names: list[str] = []
    for number, cell in enumerate(cells, start=1):
        named = (cell or "").strip() or str(number)
        if named in names and named in mapped:
            raise DataError(
                f"{name}: two columns are named {named!r}: rename one, or set header: false and map column numbers"
            )
        while named in names:
            named += f" ({number})"
        names.append(named)
    return names


def _only_rows(text: Path, file: TextFile, header: str | None, width: int, n_head: int) -> bool:
    """Return whether each line after the first `n_head` is one well-formed row of `width` cells."""
    line = pl.col("line")
    s, q = re.escape(file.separator), re.escape(file.quote or "")
    cell, outside = f"[^{s}\\x00]*", line
    if q:
        cell = f"(?:{q}(?:[^{q}\\x00]|{q}{q})*{q}|[^{q}{s}\\x00]*)"
        outside = line.str.replace_all(f"{q}(?:[^{q}]|{q}{q})*{q}", "")
    good = (
        line.str.contains(f"^{cell}(?:{s}{cell})*$")
        & (outside.str.count_matches(file.separator, literal=True) == width - 1)
        & line.str.contains(r"\S")
    )
    if file.escape:
        good &= ~line.str.contains(file.escape, literal=True)
    if header is not None:
        good &= line != header
    rows = pl.scan_lines(text, row_index_name=LINE).filter(pl.col(LINE) >= n_head)
    try:
        return bool(rows.select(good.all()).collect(engine="streaming").item())
    except pl.exceptions.ComputeError:  # the byte is not valid UTF-8
        return False


def _scan(text: Path, file: TextFile, columns: list[str], n_head: int, source: Source, parts: Parts) -> int:
    table = pl.scan_csv(
        text,
        has_header=False,
        skip_lines=n_head,
        separator=file.separator,
        quote_char=file.quote,
        schema=dict.fromkeys(columns, pl.String()),
    )
    numbered = table.with_row_index(LINE, offset=n_head + 1).with_columns(pl.col(LINE).cast(pl.Int64))
    return parts.sink(numbered, source)
