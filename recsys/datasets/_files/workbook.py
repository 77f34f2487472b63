"""Reads a sheet of an Excel or OpenDocument workbook into numbered Parquet files: each of its rows, each cell as text.

A time is text in ISO 8601, and a whole number has no decimals, however the sheet shows them.
"""

from collections.abc import Iterator

import fastexcel
import polars as pl

from recsys.data.raw_tables import FileLines
from recsys.datasets._files.delimited import Counts, unique_names
from recsys.datasets._files.records import BLANK, HEADER, Cells, Record
from recsys.datasets._files.settings import TextFile
from recsys.datasets._files.sources import Parts, Source
from recsys.errors import DataError, one_line


def sheets(source: Source) -> dict[str, pl.DataFrame]:
    """Return the cells of all sheets that have some, see `cells`, by the name of the sheet."""
    found = {name: cells(source, name) for name in _opened(source).sheet_names}
    return {name: table for name, table in found.items() if table.height}


def cells(source: Source, sheet: str | None) -> pl.DataFrame:
    """Return all cells of a sheet as text, from its first row to its last one with a cell. sheet: None for the first.

    Raises:
        DataError: "shop.xlsx: cannot be read as a workbook (...): correct the setting sheet, or replace the file"
    """
    book = _opened(source)
    try:
        sheet = book.sheet_names[0] if sheet is None else sheet
        found = book.load_sheet(sheet, header_row=None, skip_rows=0, dtypes="string").to_polars()
    except fastexcel.FastExcelError as error:
        raise _unreadable(source, error) from error
    return found.rename(str)


def read(source: Source, file: TextFile, mapped: set[str], parts: Parts) -> FileLines:
    """Write the rows of the sheet `file.sheet` to `parts`, return their counts. mapped: names of columns that are used.

    Raises:
        DataError: "shop.xlsx: empty sheet, expected at least one row: correct sheet or skip_lines"
    """
    table = cells(source, file.sheet).slice(file.skip_lines)
    if not table.height:
        raise DataError(f"{source.name}: empty sheet, expected at least one row: correct sheet or skip_lines")
    header = list(table.row(0)) if file.header else None
    names = unique_names(source.name, header or [None] * table.width, mapped)
    n_head, counts = file.skip_lines + int(file.header), Counts()
    parts.write(names, counts.rows(_records(table.slice(int(file.header)), header, n_head + 1)), source)
    n_lines = n_head + counts.row_lines + counts.refused
    return FileLines(source.name, n_lines, n_head, counts.rows_read, counts.row_lines, counts.refused)


def _records(table: pl.DataFrame, header: Cells | None, first: int) -> Iterator[Record]:
    for number, row in enumerate(table.iter_rows(), start=first):
        cells = list(row)
        reason = BLANK if not any(cells) else HEADER if cells == header else None
        yield Record(number, 1, "\t".join(cell or "" for cell in cells), None if reason else cells, reason)


def _opened(source: Source) -> fastexcel.ExcelReader:
    try:
        return fastexcel.read_excel(source.path)
    except fastexcel.FastExcelError as error:
        raise _unreadable(source, error) from error


def _unreadable(source: Source, error: Exception) -> DataError:
    reason = one_line(str(error), 200)
    return DataError(
        f"{source.path}: cannot be read as a workbook ({reason}): correct the setting sheet, or replace the file"
    )
