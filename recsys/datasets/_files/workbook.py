"""Reads a sheet of an Excel or OpenDocument workbook into numbered Parquet files: each of its rows, each cell as text.

A time is text in ISO 8601, and a whole number has no decimals, however the sheet shows them.
"""

from collections.abc import Iterator
from typing import Any

import polars as pl
from fastexcel import FastExcelError

from recsys.data.raw_tables import FileLines
from recsys.datasets._files.delimited import unique_names
from recsys.datasets._files.records import BLANK, HEADER, Cells, Record
from recsys.datasets._files.settings import TextFile
from recsys.datasets._files.sources import Parts, Source
from recsys.errors import DataError, one_line

ALL_CELLS: dict[str, Any] = {
    **dict.fromkeys(("has_header", "drop_empty_rows", "drop_empty_cols", "raise_if_empty"), False),
    "read_options": {"skip_rows": 0, "dtypes": "string"},
}


def sheets(source: Source, **which: Any) -> Any:
    """Return the cells of a sheet as text, from its first row to the last one with a cell. which: `sheet_name`, or
    `sheet_id=0` for all sheets by name; by default the first sheet.

    Raises:
        DataError: "shop.xlsx: cannot be read as a workbook (...): correct the setting sheet, or replace the file"
    """
    try:
        return pl.read_excel(source.path, **which, **ALL_CELLS)
    except (FastExcelError, ValueError, pl.exceptions.PolarsError) as error:
        reason = one_line(str(error), 200)
        raise DataError(
            f"{source.path}: cannot be read as a workbook ({reason}): correct the setting sheet, or replace the file"
        ) from error


def read(source: Source, file: TextFile, mapped: set[str], parts: Parts) -> FileLines:
    """Write the rows of the sheet `file.sheet` to `parts`, return their counts. mapped: names of columns that are used.

    Raises:
        DataError: "shop.xlsx: empty sheet, expected at least one row: correct sheet or skip_lines"
    """
    table = sheets(source, sheet_name=file.sheet).slice(file.skip_lines)
    if not table.height:
        raise DataError(f"{source.name}: empty sheet, expected at least one row: correct sheet or skip_lines")
    header = list(table.row(0)) if file.header else None
    names = unique_names(source.name, header or [None] * table.width, mapped)
    n_head = file.skip_lines + int(file.header)
    return parts.write(names, _records(table.slice(int(file.header)), header, n_head + 1), source, n_head)


def _records(table: pl.DataFrame, header: Cells | None, first: int) -> Iterator[Record]:
    for number, row in enumerate(table.iter_rows(), start=first):
        cells = list(row)
        reason = BLANK if not any(cells) else HEADER if cells == header else None
        yield Record(number, 1, "\t".join(cell or "" for cell in cells), None if reason else cells, reason)
