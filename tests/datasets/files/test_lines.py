"""Any table that the module csv writes, in any dialect, comes back; every line of any file is accounted for."""

import csv
import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recsys.data.raw_tables import FileLines
from recsys.datasets._files import delimited
from recsys.datasets._files.records import MAX_LINES
from recsys.datasets._files.settings import TableFile
from recsys.datasets._files.sources import REASON, TEXT, Parts, find

COLUMNS = {"timestamp": "t"}
characters = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
cells = st.text(st.sampled_from("ab \"'\\,;|\t\n\r-0é名") | characters)
plain = st.text(st.sampled_from("ab 'é名-0"), max_size=5)
PIECES = [b'"', b",", b"\n", b'x,"', b"a,1\n", b"\\", b"\r\n"]
QUOTING = [csv.QUOTE_ALL, csv.QUOTE_MINIMAL, csv.QUOTE_NONNUMERIC]


class Dialect(csv.excel):
    """What varies."""

    def __init__(self, delimiter: str, end: str, quoting: Any, escape: bool) -> None:
        self.delimiter, self.lineterminator, self.quoting = delimiter, end, quoting
        self.doublequote, self.escapechar = not escape, "\\" if escape else None
        super().__init__()


dialects = st.builds(
    Dialect, st.sampled_from(",;|\t"), st.sampled_from(["\n", "\r\n"]), st.sampled_from(QUOTING), st.booleans()
)


def read(content: bytes, folder: Path, **own: Any) -> tuple[pl.DataFrame, FileLines]:
    path = folder / "x.csv"
    path.write_bytes(content)
    file = TableFile(path=path, **own)
    parts = Parts(folder / "parts")
    lines = delimited.read(path, find([path])[0], file, COLUMNS, parts)
    frames = [pl.read_parquet(part) for part in sorted((folder / "parts").iterdir())]
    return pl.concat(frames, how="diagonal"), lines


def filled(rows: Iterable[tuple[str | None, ...]]) -> list[tuple[str, ...]]:
    """An empty cell is missing, with or without quotes."""
    return [tuple(cell or "" for cell in row) for row in rows]


def assert_accounted(content: bytes, table: pl.DataFrame, lines: FileLines) -> None:
    n_lines = content.count(b"\n") + (not content.endswith(b"\n"))
    assert lines.lines == n_lines == (lines.header or 0) + (lines.row_lines or 0) + (lines.refused or 0)
    assert lines.rows <= (lines.row_lines or 0)
    refused = table.filter(pl.col(REASON).is_not_null()) if REASON in table.columns else table.clear()
    assert table.height == lines.rows + refused.height
    assert (
        sum(text.count("\n") + 1 for text in refused[TEXT]) == lines.refused if refused.height else lines.refused == 0
    )


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300, deadline=None)
@given(st.lists(st.tuples(cells, cells, st.just("2024-05-01"), cells), max_size=6), dialects)
def test_a_written_table_comes_back(tmp_path: Path, rows: list[tuple[str, ...]], dialect: Dialect) -> None:
    if dialect.escapechar:  # to databases, a letter behind a backslash is another sign
        rows = [tuple(cell.replace("\\", "/") for cell in row) for row in rows]
    if dialect.lineterminator == "\n":  # the module does not quote what then looks like the end of another line
        rows = [tuple(cell.replace("\r", "/") for cell in row) for row in rows]
    text = io.StringIO()
    csv.writer(text, dialect).writerows([("a", "b", "t", "c"), *rows])
    content = text.getvalue().encode()
    table, lines = read(content, tmp_path, separator=dialect.delimiter, escape=dialect.escapechar)
    assert filled(table.select("a", "b", "t", "c").rows()) == rows
    assert (lines.header, lines.rows, lines.refused) == (1, len(rows), 0)
    assert_accounted(content, table, lines)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150, deadline=None)
@given(st.lists(st.tuples(plain, plain), max_size=6), st.sampled_from(",;|\t"))
def test_a_table_without_quotes_comes_back(tmp_path: Path, rows: list[tuple[str, str]], separator: str) -> None:
    rows = [("x" + first, second) for first, second in rows]
    content = "\n".join(separator.join(row) for row in [("a", "b"), *rows]).encode()
    table, lines = read(content, tmp_path, separator=separator, quote=None)
    assert filled(table.select("a", "b").rows()) == rows
    assert_accounted(content, table, lines)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=500, deadline=None)
@given(
    st.lists(
        st.binary(max_size=6) | st.sampled_from([b'"', b",", b"\n", b'x,"', b"a,1\n", b"\\", b"\r\n"]), max_size=30
    ),
    st.sampled_from(["\\", None]),
    st.sampled_from(['"', None]),
)
def test_every_line_of_any_bytes_is_accounted_for(
    tmp_path: Path, pieces: list[bytes], escape: str | None, quote: str | None
) -> None:
    content = b"a,t\n" + b"".join(pieces)
    table, lines = read(content, tmp_path, escape=escape, quote=quote)
    assert_accounted(content, table, lines)


@pytest.mark.parametrize("gap", [MAX_LINES - 2, MAX_LINES + 5])
def test_a_quote_that_does_not_close_for_long_costs_its_line(tmp_path: Path, gap: int) -> None:
    content = b'a,t\nx,"1\n' + b"y,2\n" * gap + b'z"\nlast,3\n'
    table, lines = read(content, tmp_path)
    assert_accounted(content, table, lines)
    assert table["a"].drop_nulls().to_list() == (["x"] if gap < MAX_LINES else [*["y"] * gap]) + ["last"]


def test_text_that_looks_like_lines_of_two_cells_is_no_row(tmp_path: Path) -> None:
    content = b'a,t\nx,"Sizes:\nsmall, large\ncolours, many"\ny,"2"\n'
    table, lines = read(content, tmp_path)
    assert table["t"].to_list() == ["Sizes:\nsmall, large\ncolours, many", "2"]
    assert (lines.rows, lines.row_lines, lines.refused) == (2, 4, 0)


def test_a_clean_file_and_one_with_a_bad_line_are_read_alike(tmp_path: Path) -> None:
    rows = "".join(f'"u{at}",{at},2024-05-01," padded "\n,"",é,\n' for at in range(500))
    fast, lines = read(f"a,b,t,c\n{rows}".encode(), tmp_path)
    careful, counted = read(f"a,b,t,c\n{rows}bad\n".encode(), tmp_path)
    blank_as_missing = [pl.col(pl.String).replace("", None)]
    assert (
        fast.select("a", "b", "t", "c")
        .with_columns(blank_as_missing)
        .equals(careful.head(1000).select("a", "b", "t", "c").with_columns(blank_as_missing))
    )
    assert fast["(line)"].to_list() == careful["(line)"].to_list()[:-1] == list(range(2, 1002))
    assert (lines.lines, counted.lines) == (1001, 1002)
