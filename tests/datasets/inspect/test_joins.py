"""Columns of interactions that stand in another file: each row is joined to exactly one, or refused with the reason."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from typer.testing import CliRunner

from recsys import datasets, params
from recsys.cli import app
from recsys.data.raw_tables import RawTables
from recsys.datasets import files
from recsys.datasets._inspect.inspect import inspect
from recsys.errors import DataError, ParamsError, RecsysError

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


def items_of(adapter: dict[str, Any]) -> RawTables:
    interactions = {"path": "lines.csv", "columns": {"user_id": "order_id", "item_id": "sku", "timestamp": "price"}}
    config = params.parse(files.Config, {"interactions": interactions | {"event": "purchase"}} | adapter, "adapter")
    files.fetch(config, Path("raw"), seed=0)
    return files.tables(config, Path("raw"))


def test_the_columns_of_an_item_may_stand_in_three_files_and_be_computed() -> None:
    Path("goods.csv").write_text("sku,name\na,Tea\nb,Pot\nc,Cup\n")
    Path("prices.csv").write_text("article;cents;tax\na;350;1.1\nb;n/a;1\nd;1;1\nb;n/a;1\nc;1;1\nc;2;1\n")
    Path("groups.jsonl").write_text('{"sku": "a", "group": "drinks"}\n{"sku": "b", "group": "kitchen"}\n')
    items = {
        "path": "goods.csv",
        "joins": {
            "prices": {"path": "prices.csv", "separator": ";", "on": "sku", "key": "article"},
            "groups": {"path": "groups.jsonl", "on": "sku"},
        },
        "computed": {
            "net": 'TRY_CAST("prices.cents" AS DOUBLE) / 100',
            "gross": 'net * TRY_CAST("prices.tax" AS DOUBLE)',
            "label": "UPPER(name) || ' ' || \"groups.group\"",
        },
        "columns": {"item_id": "sku", "title": "label", "price": "gross", "categories": "groups.group"},
        "attributes": {"net": {"column": "net", "kind": "number"}},
    }
    rows = items_of({"items": items}).items.collect()
    assert rows.select("item_id", "title", "price", "reject").rows() == [
        ("a", "TEA drinks", pytest.approx(3.85), None),
        ("b", "POT kitchen", None, None),
        ("c", None, pytest.approx(0.01), "several_rows_in_prices"),
    ]
    assert rows["categories"].to_list() == [["drinks"], ["kitchen"], None]
    assert rows["attributes"][0] == '{"net":3.5}'


@pytest.mark.parametrize(
    ("computed", "line"),
    [
        (
            {"x": "CAST(name AS DOUBLE)"},
            r"computed: 'x' casts: write TRY_CAST\(... AS DOUBLE\), which leaves an unreadable",
        ),
        ({"x": "name::DOUBLE"}, r"'x' casts: write TRY_CAST"),
        ({"x": "name +"}, r"'x' is no expression in SQL \("),
        (
            {"x": "names"},
            r"^goods.csv: column 'x' cannot be computed \(.*names.*correct adapter.items.computed in",
        ),
        ({"x": "name * 2"}, r"^goods.csv: column 'x' cannot be computed \("),
    ],
)
def test_an_expression_that_cannot_be_computed_is_one_line(computed: dict[str, str], line: str) -> None:
    Path("goods.csv").write_text("sku,name\na,Tea\n")
    with pytest.raises(RecsysError, match=line) as error:
        items_of({"items": {"path": "goods.csv", "computed": computed, "columns": {"item_id": "sku"}}})
    assert "\n" not in str(error.value)


def test_two_tables_have_no_join_of_the_same_name() -> None:
    join = {"prices": {"path": "orders.csv", "on": "sku"}}
    with pytest.raises(ParamsError, match="two tables have one named 'prices', expected different names"):
        items_of({"items": {"path": "a", "joins": join}, "users": {"path": "b", "joins": join}})


def test_inspect_joins_prices_and_groups_to_the_items_under_a_name_of_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    shop()
    Path("products.csv").write_text("Artikelnr;Bezeichnung\n" + "".join(f"A{n:02};Tea {n}\n" for n in range(41)))
    Path("preise.csv").write_text("Artikelnr;Preis\n" + "".join(f"A{n:02};{n},90 €\n" for n in range(41)))
    Path("gruppen.csv").write_text("Artikelnr;Warengruppe\n" + "".join(f"A{n:02};Teas\n" for n in range(40)))
    Path("code").mkdir()
    Path("code/files.py").write_text("like this")
    monkeypatch.setattr(datasets, "__file__", str(Path("code/__init__.py")))
    Path("params.yaml").write_text((TOP / "params.yaml").read_text())
    names = [f"{name}.csv" for name in ("lines", "orders", "products", "preise", "gruppen")]
    done = CliRunner().invoke(app, ["inspect", *names, "--write", "--name", "tea_shop"])
    assert done.exit_code == 0, done.output
    assert Path("code/tea_shop.py").read_text() == "like this"
    loaded = params.load(Path("params.yaml"))
    assert (loaded.dataset, "files" in loaded.datasets) == ("tea_shop", True)
    config = params.parse(files.Config, loaded.datasets["tea_shop"].adapter, "adapter")
    files.fetch(config, Path("raw"), seed=0)
    items = files.tables(config, Path("raw")).items.collect()
    assert items.row(3, named=True)["price"] == 3.9
    assert items["categories"].to_list() == [["Teas"]] * 40 + [None]
    for name, line in (("Tea", "not a name of a Python file"), ("other", "a data set of another kind has this name")):
        Path("code/other.py").write_text("of another kind")
        done = CliRunner().invoke(app, ["inspect", *names, "--write", "--name", name])
        assert (done.exit_code, line in done.output) == (1, True)
