"""Workbooks and SQL queries: read as text files are, with the same rows, reasons, counts and quarantine."""

import sqlite3
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
import psycopg
import pytest
import xlsxwriter

from benchmarks.stores.servers import Postgres
from recsys.datasets import files
from recsys.datasets._files import query
from recsys.errors import DataError, SourceUnreachableError
from recsys.params import parse
from tests.support import own_files

HEADER = ["who", "what", "at", "paid"]
ROWS: list[list[Any]] = [
    ["0017", "A", "2024-05-01 08:30:00", "1.5"],
    ["0018", "B", "2024-05-02 09:00:00", "NULL"],
    ["", "B", "2024-05-02 09:00:00", "2"],
    ["0019", "A", "yesterday", "2"],
    ["0020", "C", "2024-05-03 10:00:00", "cheap"],
    ["0017", "A", "2024-05-01 08:30:00", "1.5"],
]
MAPPED: dict[str, Any] = {"columns": {"user_id": "who", "item_id": "what", "timestamp": "at", "value": "paid"}}
QUERY = "-- '100 %' and :words stay as they are\nSELECT * FROM sold WHERE what NOT LIKE 'Z%' ORDER BY n;\n"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RECSYS_DATABASE_URL", raising=False)


def workbook(path: str, sheets: dict[str, list[list[Any]]], **formats: Any) -> None:
    with xlsxwriter.Workbook(path, {"default_date_format": "dd/mm/yyyy hh:mm", **formats}) as book:
        for name, rows in sheets.items():
            sheet = book.add_worksheet(name)
            for at, row in enumerate(rows):
                sheet.write_row(at, 0, row)


def database(path: str, rows: list[list[Any]]) -> str:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE sold (n INTEGER, who, what, at, paid)")
        connection.executemany("INSERT INTO sold VALUES (?, ?, ?, ?, ?)", [[n, *row] for n, row in enumerate(rows)])
    connection.close()
    return f"sqlite:///{path}"


def assert_same(first: own_files.Outcome, second: own_files.Outcome) -> None:
    assert first.interactions.equals(second.interactions)
    assert first.items.equals(second.items)
    assert (first.reasons(), first.notes()) == (second.reasons(), second.notes())
    assert first.quarantine.drop("raw").equals(second.quarantine.drop("raw"))


def test_the_same_table_as_text_as_a_workbook_and_as_a_query_is_read_the_same() -> None:
    text = own_files.run("\n".join(",".join(row) for row in [HEADER, *ROWS]) + "\n", **MAPPED)
    assert text.reasons() == {"user_id_missing": 1, "timestamp_unreadable": 1, "value_unreadable": 1, "duplicate": 1}
    workbook("sold.xlsx", {"sold": [HEADER, *ROWS]})
    book = own_files.run(path="sold.xlsx", **MAPPED)
    assert_same(text, book)
    Path("sold.sql").write_text(QUERY)
    result = own_files.run(path="sold.sql", database=database("shop.sqlite", ROWS), **MAPPED)
    assert_same(text, result)
    for outcome, n_header in ((text, 1), (book, 1), (result, 0)):
        (counts,) = outcome.report.files["interactions"]
        assert (counts.header, counts.rows, counts.refused) == (n_header, 6, 0)
        outcome.assert_every_line_counts(interactions=6 + n_header)


def test_cells_of_a_workbook_are_text_as_people_mean_them() -> None:
    at = datetime(2024, 5, 1, 12, 30)  # noqa: DTZ001 (a workbook has no zones)
    rows: list[list[Any]] = [
        ["user_id", "item_id", "timestamp", "value"],
        [17850, 22423.0, at, 1234.5],
        ["007", "85123A", at, True],
    ]
    workbook("events.xlsx", {"events": rows})
    outcome = own_files.run(path="events.xlsx", time_zone="Europe/Berlin")
    kept = outcome.interactions.select("user_id", "item_id", "value", "timestamp")
    assert kept.rows() == [("17850", "22423", 1234.5, kept["timestamp"][0])]
    assert outcome.times() == {"17850": "2024-05-01 10:30:00"}
    assert outcome.reasons() == {"value_unreadable": 1}


def test_rows_of_a_sheet_that_are_none_are_refused_by_their_number() -> None:
    head = ["user_id", "item_id", "timestamp"]
    good = ["u1", "a", "2024-05-01"]
    workbook("events.xlsx", {"notes": [["read", "me"]], "events": [["Export of May"], [], head, good, [], head, good]})
    outcome = own_files.run(path="events.xlsx", sheet="events", skip_lines=2)
    assert outcome.bad_lines() == [(5, "blank_line"), (6, "repeated_header"), (7, "duplicate")]
    (counts,) = outcome.report.files["interactions"]
    assert (counts.lines, counts.header, counts.row_lines, counts.refused) == (7, 3, 2, 2)
    with pytest.raises(DataError, match=r"^events.xlsx: no column 'user_id'.* the columns are 'read', 'me'"):
        own_files.run(path="events.xlsx")


def test_the_first_sheet_without_header_has_numbered_columns() -> None:
    workbook("events.xlsx", {"one": [["u1", "a", "2024-05-01"], ["u2", "b", "2024-05-02"]]})
    outcome = own_files.run(path="events.xlsx", header=False, columns={"user_id": 1, "item_id": 2, "timestamp": 3})
    assert outcome.users() == ["u1", "u2"]


@pytest.mark.parametrize(
    ("content", "settings", "line"),
    [
        (b"PK", {}, r"^events.xlsx: cannot be read as a workbook \(.*\): correct the setting sheet, or replace"),
        (
            [["a"]],
            {"sheet": "sold"},
            r"^events.xlsx: cannot be read as a workbook \(.*'sold'\): correct the setting sheet",
        ),
        ([[]], {}, r"^events.xlsx: empty sheet, expected at least one row: correct sheet or skip_lines"),
        ([["a"]], {"skip_lines": 3}, r"^events.xlsx: empty sheet"),
    ],
)
def test_a_workbook_that_cannot_be_read_is_one_line(content: Any, settings: dict[str, Any], line: str) -> None:
    if isinstance(content, bytes):
        Path("events.xlsx").write_bytes(content)
    else:
        workbook("events.xlsx", {"one": content})
    with pytest.raises(DataError, match=line) as error:
        own_files.run(path="events.xlsx", **settings)
    assert "\n" not in str(error.value)


def test_postgresql_gives_its_types_as_text(postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    url = postgres.emptied()
    with psycopg.connect(url) as connection:
        connection.execute(
            "CREATE TABLE goods (sku uuid, name text, tags text[], price numeric, sold boolean, at date)"
        )
        connection.execute(
            "INSERT INTO goods VALUES ('00000000-0000-0000-0000-000000000007', 'Cup', '{red,tea cups}', 2.50, true,"
            " '2024-01-02'), ('00000000-0000-0000-0000-000000000008', NULL, NULL, NULL, NULL, NULL)"
        )
        connection.execute("CREATE TABLE visits (who int, sku uuid, at timestamptz, facts jsonb)")
        connection.execute(
            "INSERT INTO visits SELECT n, '00000000-0000-0000-0000-000000000007', '2024-05-01 12:00+02', '{\"a\": 1}'"
            " FROM generate_series(1, 25) n"
        )
    Path("visits.sql").write_text(
        "SELECT who AS user_id, sku AS item_id, at AS timestamp, facts FROM visits WHERE '5 %s' LIKE '5 %' ORDER BY who"
    )
    Path("goods.sql").write_text(
        "SELECT sku AS item_id, name AS title, tags AS categories, price, sold AS available, at AS first_seen"
        " FROM goods ORDER BY sku;"
    )
    monkeypatch.setenv("RECSYS_DATABASE_URL", url)
    outcome = own_files.run(path="visits.sql", item_settings={"path": "goods.sql"})
    assert outcome.interactions.height == 25
    assert set(outcome.times().values()) == {"2024-05-01 10:00:00"}
    first, second = outcome.items.drop("item_id", "attributes", "text").rows()
    assert first[:4] == ("Cup", ["red", "tea cups"], 2.5, True)
    assert str(first[4]).startswith("2024-01-02")
    assert second[2] is None
    assert not outcome.notes("items")


@pytest.mark.parametrize(
    ("statement", "url", "line"),
    [
        ("SELECT 1", None, r"^sold.sql: a query needs a database: set database, such as sqlite:///shop.sqlite, or"),
        ("SELECT 1", "sqlite:///no.db", r"^no.db: no such file; correct database, or RECSYS_DATABASE_URL"),
        ("SELECT 1", "nowhere", r"^sold.sql: cannot be run \(Could not parse .*\): correct the query, or database"),
        ("SELECT 1", "postgresql://u:secret@127.0.0.1:1/x", r"^sold.sql: cannot be run on postgresql://u:\*\*\*@127"),
        (
            "SELECT x FROM sold",
            "sqlite:///shop.sqlite",
            r"cannot be run on sqlite:///shop.sqlite \(no such column: x\)",
        ),
        ("DELETE FROM sold", "sqlite:///shop.sqlite", r"^sold.sql: the statement returns no rows, expected a SELECT"),
        ("SELECT who, who FROM sold", "sqlite:///shop.sqlite", r"^sold.sql: two columns are named 'who'"),
    ],
)
def test_a_query_that_cannot_be_run_is_one_line(statement: str, url: str | None, line: str) -> None:
    database("shop.sqlite", ROWS)
    Path("sold.sql").write_text(statement)
    with pytest.raises((DataError, SourceUnreachableError), match=line) as error:
        own_files.run(path="sold.sql", database=url, **MAPPED)
    assert "\n" not in str(error.value)
    assert "secret" not in str(error.value)
    with sqlite3.connect("shop.sqlite") as connection:
        assert connection.execute("SELECT count(*) FROM sold").fetchone() == (6,)
    connection.close()
    assert not Path("no.db").exists()


def test_fetch_names_the_query_and_the_database_file_so_that_a_change_is_noticed() -> None:
    Path("sold.sql").write_text(QUERY)
    Path("raw").mkdir()
    interactions = {"path": "sold.sql", "database": database("shop.sqlite", ROWS), "event": "sale", **MAPPED}
    config = parse(files.Config, {"interactions": interactions}, "adapter")
    origin = files.fetch(config, Path("raw"), seed=0)
    assert [Path(file["path"]).name for file in origin["interactions"]] == ["sold.sql", "shop.sqlite"]


def test_a_joined_file_may_be_a_sheet() -> None:
    lines = [["order", "item_id", "value"], ["1", "a", "2.5"], ["2", "b", "1"]]
    orders = [["id", "who", "at"], ["1", "anna", "2024-05-01"], ["2", "ben", "2024-05-02"]]
    workbook("shop.xlsx", {"lines": lines, "orders": orders})
    outcome = own_files.run(
        path="shop.xlsx",
        sheet="lines",
        joins={"orders": {"path": "shop.xlsx", "sheet": "orders", "on": "order", "key": "id"}},
        columns={"user_id": "orders.who", "timestamp": "orders.at"},
    )
    assert sorted(outcome.users()) == ["anna", "ben"]


def test_a_list_of_texts_in_a_cell_is_read_as_one() -> None:
    assert pl.Series([query._text(["a", "b c"])]).to_list() == ['["a", "b c"]']
