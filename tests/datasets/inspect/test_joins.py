"""Columns of interactions that stand in another file: each row is joined to exactly one, or refused with the reason."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from typer.testing import CliRunner

from recsys import params
from recsys.cli import app
from recsys.data.raw_tables import RawTables
from recsys.datasets import files
from recsys.datasets._inspect.inspect import inspect
from recsys.errors import DataError, ParamsError

TOP = Path(__file__).resolve().parents[3]
LINES = "order_id,sku,pieces,price\n1,a,2,3.5\n1,b,1,1\n2,a,1,3.5\n3,a,1,3.5\n4,b,1,1\n5,b\n"
ORDERS = "id;who;at\n1;anna;2024-05-01\n2;ben;2024-05-02\n2;ben;2024-05-02\n4;cleo;2024-05-03\n4;dora;2024-05-03\n"
COLUMNS = {"user_id": "orders.who", "timestamp": "orders.at", "item_id": "sku", "value": "price", "quantity": "pieces"}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("raw").mkdir()
    Path("lines.csv").write_text(LINES)
    Path("orders.csv").write_text(ORDERS)


def read(joins: dict[str, Any], columns: dict[str, str] = COLUMNS) -> RawTables:
    interactions = {"path": "lines.csv", "joins": joins, "columns": columns, "event": "purchase"}
    config = params.parse(files.Config, {"interactions": interactions}, "adapter")
    files.fetch(config, Path("raw"), seed=0)
    return files.tables(config, Path("raw"))


def test_each_line_has_the_user_and_the_time_of_its_order() -> None:
    tables = read({"orders": {"path": "orders.csv", "separator": ";", "on": "order_id", "key": "id"}})
    rows = tables.interactions.collect()
    assert rows.select("user_id", "item_id", "value", "reject").rows() == [
        ("anna", "a", 7.0, None),
        ("anna", "b", 1.0, None),
        ("ben", "a", 3.5, None),  # its order stands there twice, the same
        (None, "a", 3.5, "no_row_in_orders"),
        ("cleo", "b", 1.0, "several_rows_in_orders"),
        (None, None, None, "wrong_number_of_cells"),
    ]
    assert rows["timestamp"].dt.day().to_list() == [1, 1, 2, None, 3, None]
    assert [one.rows for one in tables.files["orders"]] == [5]
    assert rows["raw"].struct.field("orders.at")[0] == "2024-05-01"


def test_keys_are_compared_as_text() -> None:
    pl.DataFrame({"order_id": [1, 2, 4], "who": ["x", "y", "z"], "at": [1714557600] * 3}).write_parquet("o.parquet")
    rows = read({"orders": {"path": "o.parquet", "on": "order_id"}}).interactions.collect()
    assert rows["user_id"].to_list() == ["x", "x", "y", None, "z", None]


@pytest.mark.parametrize(("on", "key", "named"), [("order", "id", "order"), ("order_id", "number", "number")])
def test_a_wrong_column_is_one_line(on: str, key: str, named: str) -> None:
    with pytest.raises(DataError, match=rf"orders: no column '{named}' to join on, the columns are .*joins\.orders"):
        read({"orders": {"path": "orders.csv", "separator": ";", "on": on, "key": key}})


def test_a_joined_file_has_a_name_of_its_own_and_no_settings_of_cells() -> None:
    with pytest.raises(ParamsError, match="'items' is the name of a table"):
        read({"items": {"path": "orders.csv", "on": "id"}})
    with pytest.raises(ParamsError, match="decimal"):
        read({"orders": {"path": "orders.csv", "on": "id", "decimal": ","}})


def shop() -> list[Path]:
    orders = [f"{n};K{n % 37:02};0{1 + n % 9}.{1 + n % 12:02}.2024 1{n % 9}:05" for n in range(200)]
    lines = [f"{n // 2};A{n * 7 % 41:02};{1 + n % 2};1.{n % 900 + 100},50 €" for n in range(400)]
    goods = [f"A{n:02};Tea {n};Teas;{n},90 €;0{1 + n % 9}.01.2024" for n in range(41)]
    texts = {
        "products": ["Artikelnr;Bezeichnung;Warengruppe;Preis;Datum", *goods],
        "lines": ["Bestellnr;Artikelnr;Menge;Einzelpreis", *lines],
        "orders": ["Nr;Kundennr;Datum", *orders, orders[-1]],
    }
    for name, rows in texts.items():
        Path(f"{name}.csv").write_text("\n".join(rows))
    return [Path(f"{name}.csv") for name in texts]


def test_inspect_finds_the_three_tables_of_a_shop_and_writes_settings_that_read_them() -> None:
    paths, settings = shop(), Path("params.yaml")
    before = (TOP / "params.yaml").read_text()
    settings.write_text(before)
    old = params.load(settings)  # here, because a pipeline that ran beside params.yaml left what it tuned there
    for _ in range(2):  # again is the same as once
        done = CliRunner().invoke(app, ["inspect", *map(str, paths), "--write"])
        assert done.exit_code == 0, done.output
    assert "orders.*: from orders.csv, where Nr is Bestellnr" in done.output
    text = settings.read_text()
    assert text.count("\n  files:") == text.count("# Guesses") == 1
    loaded = params.load(settings)
    assert loaded.dataset == "files"
    assert loaded.datasets | {"files": None} == old.datasets | {"files": None}
    config = params.parse(files.Config, loaded.datasets["files"].adapter, "adapter")
    files.fetch(config, Path("raw"), seed=0)
    tables = files.tables(config, Path("raw"))
    rows, items = tables.interactions.collect(), tables.items.collect()
    assert rows["reject"].null_count() == 400
    assert rows.row(1, named=True)["user_id"] == "K00"
    assert rows.row(1, named=True)["value"] == 2 * 1101.5
    assert items.row(3, named=True)["price"] == 3.9


def test_inspect_joins_no_table_of_customers_whose_only_user_is_the_key() -> None:
    Path("log.csv").write_text(
        "day,code,who\n" + "".join(f"2024-05-0{1 + n % 9},i{n % 30},u{n % 20}\n" for n in range(200))
    )
    Path("people.csv").write_text("customer_id,city\n" + "".join(f"u{n},Bonn\n" for n in range(20)))
    _, text = inspect([Path("people.csv"), Path("log.csv")])
    assert "joins" not in text
    assert "user_id: who" in text or "item_id: who" in text


def test_inspect_shows_lines_that_are_no_json() -> None:
    Path("log.jsonl").write_text(
        "".join(f'{{"user": "u{n % 7}", "item": "i{n % 5}", "ts": {10**9 + n}}}\n' for n in range(50)) + '{"us\n'
    )
    (text,), _ = inspect([Path("log.jsonl")])
    assert """line 51: no JSON object: '{"us'""" in text
    Path("log.jsonl").write_text('["u", 1]\n')
    with pytest.raises(DataError, match="no line is a JSON object"):
        inspect([Path("log.jsonl")])
