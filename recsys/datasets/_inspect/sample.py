"""Reads the first megabyte of a file, or the first rows of a table, and guesses encoding, separator and header."""

import codecs
import csv
import io
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import polars as pl

from recsys.datasets._files import json_lines, query, workbook
from recsys.datasets._files.delimited import unique_names
from recsys.datasets._files.packed import opened
from recsys.datasets._files.sources import Source
from recsys.errors import DataError

SAMPLE_BYTES, SAMPLE_ROWS = 1 << 20, 20_000
VALUE = re.compile(r"[+-]?\d[\d.,]*$|\d{1,4}[-./]\d")  # a cell with a number or a date is not in a header
SEPARATORS = ",;\t|"
FOREIGN = "cp1252"  # the most frequent encoding other than UTF-8


@dataclass(frozen=True)
class Sample:
    """A file's first rows, as text.

    source: the file; path: as the user gave it, such as a folder of files; settings: those of `TableFile` that differ
    from the default; odd: (line number, text) of lines with another number of cells than most, or without JSON object.
    """

    source: Source
    path: Path
    table: pl.DataFrame
    settings: dict[str, Any] = field(default_factory=dict)
    odd: list[tuple[int, str]] = field(default_factory=list)

    @property
    def label(self) -> str:
        return label({"path": self.path, **self.settings})


def label(file: Mapping[str, Any]) -> str:
    """Return the name of the file with these settings for messages, with its sheet if it is one of a workbook."""
    return f"{file['path']}, sheet {file['sheet']!r}" if "sheet" in file else str(file["path"])


def read_all(source: Source, path: Path, database: str | None) -> list[Sample]:
    """Read the samples of one file of `path`, as its files have the same columns: one sample, of a workbook one for
    each sheet with at least two rows. database: url of the database of a query."""
    if source.kind == "sql":
        with query.rows(source.path, database) as (columns, found):
            names = dict.fromkeys(unique_names(source.name, list(columns), set()), pl.String)
            table = pl.DataFrame(list(islice(found, SAMPLE_ROWS)), names, orient="row")
        return [Sample(source, path, table, {"database": database} if database else {})]
    if source.kind != "excel":
        return [read(source, path)]
    sheets = workbook.sheets(source, sheet_id=0)
    tables = [name for name, table in sheets.items() if table.height > 1]
    if not tables:
        raise DataError(f"{source.path}: no sheet with at least two rows, expected one: replace it")
    alone = tables == list(sheets)[:1]  # and the first, which is read by default
    return [_sheet(source, path, sheets[name], {} if alone else {"sheet": name}) for name in tables]


def read(source: Source, path: Path) -> Sample:
    """Read the sample of one text or Parquet file.

    Raises:
        DataError: "loans.csv: empty file, expected at least one row: replace it"
        DataError: "loans.json: no line is a JSON object, expected one a line: convert it (jq -c '.[]')"
    """
    if source.kind == "parquet":
        found = pl.scan_parquet(source.path).head(SAMPLE_ROWS).collect()
        found = found.with_columns(pl.col(n).arr.to_list() for n, kind in found.schema.items() if kind == pl.Array)
        flat = [
            pl.col(name).list.eval(pl.element().cast(pl.String)).list.join("|") if dtype == pl.List else pl.col(name)
            for name, dtype in found.schema.items()
        ]
        return Sample(source, path, found.with_columns(flat).cast(pl.String))
    with opened(source.path) as stream:
        start = stream.read(SAMPLE_BYTES)
        cut = bool(stream.read(1))
    text, encoding = _decoded(start)
    settings = {"encoding": encoding} if encoding else {}
    lines = text.splitlines(keepends=True)[: -1 if cut else None]
    if not any(line.strip() for line in lines):
        raise DataError(f"{source.path}: empty file, expected at least one row: replace it")
    if source.kind == "json_lines":
        rows = [json_lines.read_object(line, [])[0] for line in lines]
        odd = [(number, line) for number, line in enumerate(lines, start=1) if rows[number - 1] is None]
        as_text = [{name: json_lines.as_text(value) for name, value in row.items()} for row in rows if row is not None]
        if not as_text:
            raise DataError(f"{source.path}: no line is a JSON object, expected one a line: convert it (jq -c '.[]')")
        return Sample(source, path, pl.DataFrame(as_text, infer_schema_length=None).cast(pl.String), settings, odd)
    return _delimited(source, path, lines, settings)


def _decoded(start: bytes) -> tuple[str, str | None]:
    """Return the text, and its encoding or None for UTF-8."""
    encoding = None
    if start[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        encoding = "utf-16"
    else:
        try:
            codecs.getincrementaldecoder("utf-8")().decode(start)
        except UnicodeDecodeError:
            encoding = FOREIGN
    return codecs.getincrementaldecoder(encoding or "utf-8-sig")("replace").decode(start), encoding


def _delimited(source: Source, path: Path, lines: list[str], settings: dict[str, Any]) -> Sample:
    separator = max(SEPARATORS, key=lambda mark: _fit(lines[:200], mark))
    reader = csv.reader(io.StringIO("".join(lines)), delimiter=separator)
    rows = [(reader.line_num, row) for row in reader if row]
    if separator != ",":
        settings["separator"] = separator
    return _gridded(source, path, rows, settings, separator)


def _sheet(source: Source, path: Path, table: pl.DataFrame, settings: dict[str, Any]) -> Sample:
    """Return the sample of a sheet without the rows above its table, such as a title: those with few cells."""
    texts = ([cell or "" for cell in row] for row in table.head(SAMPLE_ROWS).iter_rows())
    rows = [(number, row) for number, row in enumerate(texts, start=1) if any(row)]
    filled = [sum(map(bool, row)) for _, row in rows]
    first = next(at for at, n_cells in enumerate(filled) if 2 * n_cells > _usual(filled[:200]))
    if skipped := rows[first][0] - 1:
        settings["skip_lines"] = skipped
    return _gridded(source, path, rows[first:], settings, "\t")


def _gridded(
    source: Source, path: Path, rows: list[tuple[int, list[str]]], settings: dict[str, Any], separator: str
) -> Sample:
    width = _usual([len(row) for _, row in rows[:200]])
    head = next(row for _, row in rows if len(row) == width)
    header = not any(VALUE.match(cell.strip()) for cell in head)
    names = unique_names(source.name, list(head) if header else [None] * width, set())
    if not header:
        settings["header"] = False
    good = [row for _, row in rows if len(row) == width][int(header) : SAMPLE_ROWS]
    odd = [(line, separator.join(row)) for line, row in rows if len(row) != width]
    columns = {name: [row[at] or None for row in good] for at, name in enumerate(names)}
    return Sample(source, path, pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.String())), settings, odd)


def _fit(lines: list[str], separator: str) -> tuple[float, int]:
    """Return the share of rows with the most frequent number of cells, and that number; (0, ...) if it is one."""
    widths = [len(row) for row in csv.reader(lines, delimiter=separator) if row]
    usual = _usual(widths)
    return (widths.count(usual) / len(widths) if usual > 1 else 0.0, usual)


def _usual(widths: list[int]) -> int:
    return max(set(widths), key=widths.count)
