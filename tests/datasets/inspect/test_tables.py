"""`recsys inspect` of workbooks and queries: each sheet is a table; the proposed settings read them."""

import random
import sqlite3
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import xlsxwriter
import yaml
from typer.testing import CliRunner

from recsys.cli import app
from recsys.datasets import files
from recsys.datasets._inspect.inspect import inspect
from recsys.errors import DataError
from recsys.params import parse

START = datetime(2024, 3, 1, 8, 30)  # noqa: DTZ001 (a workbook has no zones)
ORDERS = [[n, f"K{n % 17:02}", START + timedelta(hours=7 * n)] for n in range(120)]
LINES = [[n // 2, f"A{n * 7 % 41:02}", 1 + n % 3, 2.5 + n % 9] for n in range(240)]
GOODS = [[f"A{n:02}", f"Tea {n}", "green|tea" if n % 2 else "black", 1.5 + n, f"/img/{n}.png"] for n in range(41)]
SHEETS: dict[str, list[list[Any]]] = {
    "Read me": [["This workbook is an export."]],
    "Order lines": [["Order lines 2024"], [], ["order_no", "sku", "quantity", "price"], *LINES],
    "Orders": [["order_no", "customer", "ordered_at"], *ORDERS],
    "Products": [["sku", "name", "category", "price", "image"], *GOODS],
}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("raw").mkdir()


def read(text: str) -> tuple[dict[str, Any], Any]:
    adapter = yaml.safe_load(text)["files"]["adapter"]
    config = parse(files.Config, adapter, "adapter")
    files.fetch(config, Path("raw"), seed=0)
    return adapter, files.tables(config, Path("raw"))


def assert_is_the_shop(tables: Any) -> None:
    interactions, items = tables.interactions.collect(), tables.items.collect()
    assert interactions["reject"].null_count() == interactions.height == 240
    assert interactions["user_id"].n_unique() == 17
    assert interactions["value"][0] == 2.5
    assert interactions["timestamp"].min() == START.replace(tzinfo=interactions["timestamp"].min().tzinfo)
    assert items["title"].to_list() == [row[1] for row in GOODS]
    assert items["attributes"][3] == '{"image":"/img/3.png"}'


def test_a_workbook_has_the_tables_of_a_shop() -> None:
    with xlsxwriter.Workbook("shop.xlsx", {"default_date_format": "dd/mm/yyyy hh:mm"}) as book:
        for name, rows in SHEETS.items():
            sheet = book.add_worksheet(name)
            for at, row in enumerate(rows):
                sheet.write_row(at, 0, row)
    shown, text = inspect([Path("shop.xlsx")])
    assert [line.splitlines()[0] for line in shown] == [
        "shop.xlsx, sheet 'Order lines': 240 rows looked at",
        "shop.xlsx, sheet 'Orders': 120 rows looked at",
        "shop.xlsx, sheet 'Products': 41 rows looked at",
    ]
    assert "Orders.*: from shop.xlsx, sheet 'Orders', where order_no is order_no" in shown[0]
    adapter, tables = read(text)
    assert adapter["interactions"]["sheet"] == "Order lines"
    assert adapter["interactions"]["skip_lines"] == 2
    assert adapter["items"]["sheet"] == "Products"
    assert_is_the_shop(tables)


@pytest.mark.parametrize(("names", "sheet"), [(["Data", "Read me"], None), (["Read me", "Data"], "Data")])
def test_the_only_table_is_named_unless_it_is_the_first_sheet(names: list[str], sheet: str | None) -> None:
    head = ["customer", "sku", "ordered_at"]
    tables = {
        "Data": [head, *([f"K{n % 7}", f"A{n % 9}", f"2024-03-{1 + n % 28:02}"] for n in range(90))],
        "Read me": [["x"]],
    }
    with xlsxwriter.Workbook("log.xlsx") as book:
        for name in names:
            page = book.add_worksheet(name)
            for at, row in enumerate(tables[name]):
                page.write_row(at, 0, row)
    adapter, read_in = read(inspect([Path("log.xlsx")])[1])
    assert adapter["interactions"].get("sheet") == sheet
    assert read_in.interactions.collect()["reject"].null_count() == 90


def test_queries_have_the_tables_of_a_shop() -> None:
    with sqlite3.connect("shop.db") as connection:
        for name, (header, *rows) in [("lines", SHEETS["Order lines"][2:]), *list(SHEETS.items())[2:]]:
            connection.execute(f"CREATE TABLE {name} ({', '.join(header)})")
            marks = ", ".join("?" * len(header))
            texts = [[str(cell) if isinstance(cell, datetime) else cell for cell in row] for row in rows]
            connection.executemany(f"INSERT INTO {name} VALUES ({marks})", texts)
    connection.close()
    Path("lines.sql").write_text(
        "SELECT l.*, o.customer, o.ordered_at FROM lines l JOIN orders o USING (order_no) ORDER BY l.rowid"
    )
    Path("goods.sql").write_text("SELECT * FROM products")
    told = ["inspect", "lines.sql", "goods.sql", "--database", "sqlite:///shop.db", "--out", "found.yaml"]
    result = CliRunner().invoke(app, told)
    assert result.exit_code == 0, result.output
    assert "lines.sql: 240 rows looked at" in result.output
    adapter, tables = read(Path("found.yaml").read_text())
    assert adapter["items"]["database"] == "sqlite:///shop.db"
    assert_is_the_shop(tables)


def test_a_workbook_without_tables_is_one_line() -> None:
    with xlsxwriter.Workbook("notes.xlsx") as book:
        book.add_worksheet("Read me").write(0, 0, "Nothing")
    with pytest.raises(DataError, match=r"^notes.xlsx: no sheet with at least two rows, expected one: replace it"):
        inspect([Path("notes.xlsx")])


@pytest.mark.parametrize("with_items", [True, False])
def test_a_file_of_users_is_told_from_events_and_items(with_items: bool) -> None:
    draw = random.Random(1)
    rows = [
        f"{n},C{draw.randrange(300):04},A{draw.randrange(40):02},2024-03-{1 + n % 28:02},{n % 9}.5" for n in range(900)
    ]
    people = [f"C{n:04},{('DE', 'FR')[n % 2]},{1950 + n % 50},{('yes', 'no')[n % 2]}" for n in range(300)]
    own = {
        "orders.csv": ["order,customer,sku,ordered_at,price", *rows],
        "customers.csv": ["id,country,birth_year,newsletter", *people],
        "products.csv": ["sku,name,category", *(f"A{n:02},Tea {n},{('green', 'black')[n % 2]}" for n in range(40))],
    }
    for name, lines in own.items():
        Path(name).write_text("\n".join(lines) + "\n")
    adapter, tables = read(inspect([Path(name) for name in own][: 2 + with_items])[1])
    assert adapter["interactions"]["path"] == "orders.csv"
    assert ("items" in adapter) == with_items
    users = tables.users.collect()
    assert users.select("user_id", "attributes").row(1) == (
        "C0001", '{"birth_year":"1951","country":"FR","newsletter":false}',
    )  # fmt: skip
    assert tables.interactions.collect()["item_id"].n_unique() == 40
