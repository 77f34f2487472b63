"""Own files as further tools write them: each cell is read, or refused and counted, never read as something else."""

from datetime import date
from decimal import Decimal
from typing import Any

import polars as pl
import pytest

from tests.support.own_files import EVENTS, GOOD, Outcome, run, write


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def parquet(items: dict[str, Any] | None = None, **columns: Any) -> Outcome:
    events = {"user_id": ["1", "2"], "item_id": ["a", "b"], "timestamp": [date(2024, 5, 1)] * 2}
    pl.DataFrame(events | columns).write_parquet("events.parquet")
    if items is None:
        return run(path="events.parquet")
    pl.DataFrame({"item_id": ["a", "b"], **items}).write_parquet("items.parquet")
    return run(path="events.parquet", item_settings={"path": "items.parquet"})


@pytest.mark.parametrize("id_", ["1.2345678E7", "1.0E10", "12345678.", "1.5e3"])
def test_ids_that_java_spark_and_sas_wrote_as_floats_are_refused(id_: str) -> None:
    found = run(EVENTS + f"{id_},a,2024-05-01\n12345678,a,2024-05-01\n12e8,a,2024-05-01\nv1.2,a,2024-05-01\n")
    assert found.users() == ["12345678", "12e8", "v1.2"]
    assert found.reasons() == {"user_id_float_shaped": 1}


def test_ids_with_lost_characters_are_refused() -> None:
    found = run(EVENTS + "caf\ufffd,a,2024-05-01\ncafé,a,2024-05-01\n")
    assert found.users() == ["café"]
    assert found.reasons() == {"user_id_garbled": 1}


PANDAS = ["#N/A N/A", "-1.#IND", "-1.#QNAN", "-NaN", "1.#IND", "1.#QNAN", "<NA>", "nan"]


@pytest.mark.parametrize("marker", [*PANDAS, "#DIV/0!", "#NAME?", "<null>", "(blank)", "—", "''", ".", "\\\\N"])
def test_markers_of_missing_of_further_tools(marker: str) -> None:
    found = run(EVENTS + f"{marker},a,2024-05-01\nu,b,2024-05-01\n")
    assert found.users() == ["u"]
    assert found.reasons() == {"user_id_missing": 1}


def test_a_key_twice_in_one_json_object_costs_its_line() -> None:
    row = '{"user_id": "%s", %s"item_id": "a", "timestamp": "2024-05-01"}\n'
    twice, inside = '"user_id": "x", ', '"about": {"a": 1, "a": 2}, '
    write("events.jsonl", row % ("u", "") + row % ("y", twice) + row % ("z", inside))
    found = run(path="events.jsonl")
    assert found.users() == ["u"]
    assert found.bad_lines() == [(2, "repeated_key"), (3, "repeated_key")]


@pytest.mark.parametrize(
    ("cell", "names"),
    [
        ("<c#><.net>", ["c#", ".net"]),
        ("WrappedArray(Comedy, Drama)", ["Comedy", "Drama"]),
        ("List(Comedy)", ["Comedy"]),
        ("set()", []),
        ("Set (3 pieces)", ["Set (3 pieces)"]),
        ("a <b>", ["a <b>"]),
    ],
)
def test_lists_of_further_tools(cell: str, names: list[str]) -> None:
    found = run(GOOD, f"item_id~categories\na~{cell}\n", {"separator": "~"})
    assert found.items["categories"].to_list() == [names]
    assert found.notes("items") == {}


@pytest.mark.parametrize(
    ("text", "sold"), [("sold out", False), ("Out-Of-Stock", False), ("Sí", True), ("active", True)]
)
def test_yes_and_no_of_shop_systems(text: str, sold: bool) -> None:
    found = run(GOOD, f"item_id,available\na,{text}\n")
    assert found.items["available"].to_list() == [sold]
    assert found.notes("items") == {}


def test_a_warehouse_writes_whole_numbers_as_decimals() -> None:
    assert parquet(user_id=[Decimal(7), Decimal(8)]).users() == ["7", "8"]
    assert parquet(user_id=[Decimal("7.00"), Decimal("8.50")]).reasons() == {"user_id_float_shaped": 1}
    assert parquet(user_id=pl.Series(["u", "v"], dtype=pl.Categorical)).users() == ["u", "v"]


@pytest.mark.parametrize(
    ("column", "values", "read", "emptied"),
    [
        ("title", pl.Series([1984, 451]), ["1984", "451"], 0),
        ("title", pl.Series([None, None]), ["a", "b"], 0),
        ("title", pl.Series([b"x", b"\xff"]), ["a", "b"], 2),
        ("title", pl.Series(["x", "y"], dtype=pl.Categorical), ["x", "y"], 0),
        ("price", pl.Series([None, None]), [None, None], 0),
        ("categories", pl.Series([["x", "y"], ["z", "w"]], dtype=pl.Array(pl.String, 2)), [["x", "y"], ["z", "w"]], 0),
        ("categories", pl.Series(["x|y", "z"], dtype=pl.Categorical), [["x", "y"], ["z"]], 0),
        ("categories", pl.Series([[{"name": "x"}], []]), [[], []], 1),
        ("categories", pl.Series([[["x"]], [["y"]]]), [[], []], 2),
    ],
)
def test_columns_of_parquet_in_other_types(column: str, values: pl.Series, read: list[Any], emptied: int) -> None:
    found = parquet({column: values})
    assert found.items[column].to_list() == read
    assert found.notes("items") == ({f"{column} emptied: unreadable": emptied} if emptied else {})
