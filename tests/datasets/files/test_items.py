"""Cells of items in own files: numbers as they are written, bad cells that cost themselves, limits in characters."""

import json
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from recsys.errors import RecsysError
from tests.support.own_files import GOOD, Outcome, run


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RECSYS_DATA_DIR", raising=False)


def items(content: str, **own: Any) -> Outcome:
    return run(GOOD, content, item_settings=own)


def test_a_decimal_comma_is_a_setting() -> None:
    content = "item_id;title;price\na;lamp;12,50\nb;chair;1.234,00\nc;table;99,00\n"
    found = items(content, separator=";", decimal=",")
    assert found.items["price"].to_list() == [12.5, 1234.0, 99.0]
    without = items(content, separator=";")
    assert without.items["price"].to_list() == [None, None, None]
    assert without.notes("items") == {"price emptied: unreadable": 3}


@pytest.mark.parametrize(
    ("decimal", "cells"),
    [
        (None, {"5": 5.0, "5.": 5.0, ".5": 0.5, "1e3": 1000.0, "$12.50": 12.5, "12.50 €": 12.5, "1,234.00": None}),
        (".", {"1,234.50": 1234.5, "1'234'567": 1234567.0, "1 234.5": 1234.5, "12,50": None, "1,23,456": None}),
        (
            ",",
            {
                "1.234": 1234.0,
                "1.234.567,8": 1234567.8,
                "1\u202f234,5": 1234.5,
                "12.50": None,
                "€ 9,99": 9.99,
                "0x1": None,
            },
        ),
    ],
)
def test_numbers_as_they_are_written(decimal: str | None, cells: dict[str, float | None]) -> None:
    content = "item_id\tprice\n" + "".join(f"i{at}\t{cell}\n" for at, cell in enumerate(cells))
    found = items(content, separator="\t", decimal=decimal)
    assert found.items["price"].to_list() == list(cells.values())
    assert found.notes("items") == {"price emptied: unreadable": list(cells.values()).count(None)}


def test_a_bad_cell_of_an_item_is_emptied_and_counted_and_the_item_stays() -> None:
    content = (
        "item_id,price,available,first_seen,categories\na,nan,true,2024-05-01,x\nb,5,t,soon,['x'\nc,7,1.0,1970-01-01,"
    )
    content += "\nd,9,17,,y|z\ne,-1,no,2024-05-01,\nf,inf,0,2101-01-01,\ng,abc,maybe,31.12.2024,\n"
    found = items(content)
    assert found.items["item_id"].to_list() == list("abcdefg")
    assert found.items["price"].to_list() == [None, 5.0, 7.0, 9.0, None, None, None]
    assert found.items["available"].to_list() == [True, True, True, True, False, False, True]
    assert found.items["first_seen"].is_not_null().to_list() == [True, *[False] * 3, True, False, False]
    assert found.notes("items") == {
        "available emptied: unreadable": 2, "categories emptied: unreadable": 1, "first_seen emptied: after_2100": 1,
        "first_seen emptied: before_1990": 1, "first_seen emptied: unreadable": 2, "price emptied: negative": 1,
        "price emptied: unreadable": 2, "price missing as 'nan'": 1,
    }  # fmt: skip


def test_limits_count_characters() -> None:
    long = "本" * 1000
    found = items(
        f"item_id,title,text\na,{long},{'é' * 100_000}\nb,{long}本,x\n{'é' * 256},t,x\n{'é' * 257},t,x\nc,👩🚀,x\n"
    )
    assert found.items["title"].to_list() == [long, "b", "t", "👩🚀"]
    assert found.notes("items") == {"title emptied: too_long": 1}
    assert found.reasons("items") == {"item_id_too_long": 1}


def test_attributes_are_columns_that_are_named_or_listed() -> None:
    content = "item_id,brand,Kg,note,empty\na,Acme,007,-,\nb,,1.5, two words ,\n"
    listed = items(content, attributes=["brand", "Kg", "empty"])
    assert listed.items["attributes"].to_list() == ['{"Kg":"007","brand":"Acme"}', '{"Kg":"1.5"}']
    named = items(content, attributes={"weight": {"column": "Kg", "kind": "number"}, "note": "note"})
    assert named.items["attributes"].to_list() == ['{"weight":7}', '{"note":"two words","weight":1.5}']
    assert named.notes("items") == {"attributes.note missing as '-'": 1}
    assert items(content).items["attributes"].to_list() == [None, None]


def test_a_bad_attribute_costs_itself_and_too_many_characters_cost_all() -> None:
    long = "x" * 6_000
    content = f"item_id,a,b,c\nx,{long},{long},1\ny,{long},2,much\nz,{long}{long},ok,1e13\nw,\x07,b,1\n"
    found = items(content, attributes={"a": "a", "b": "b", "c": {"column": "c", "kind": "number"}})
    kept = dict(found.items.select("item_id", "attributes").iter_rows())
    assert kept == {"x": None, "y": f'{{"a":"{long}","b":"2"}}', "z": '{"b":"ok"}', "w": '{"b":"b","c":1}'}
    assert found.notes("items") == {
        "attributes emptied: too_long": 1,
        "attributes.a emptied: control_character": 1,
        "attributes.a emptied: too_long": 1,
        "attributes.c emptied: too_large": 1,
        "attributes.c emptied: unreadable": 1,
    }
    assert not found.reasons("items")


def test_attributes_of_parquet_keep_their_type() -> None:
    rows = {
        "item_id": ["a", "b"], "stars": [4, None], "kg": [1.5, 2.0], "new": [True, False], "tags": [["x", "y"], None],
        "since": [date(2024, 5, 1), None], "size": [{"h": 1}, None],
    }  # fmt: skip
    pl.DataFrame(rows).write_parquet("items.parquet")
    found = run(GOOD, item_settings={"path": "items.parquet", "attributes": [*rows][1:]})
    first, second = found.items["attributes"]
    assert json.loads(first) == {"stars": 4, "kg": 1.5, "new": True, "tags": ["x", "y"], "since": "2024-05-01"}
    assert json.loads(second) == {"kg": 2, "new": False}
    assert found.notes("items") == {"attributes.size emptied: unreadable": 1}


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        (["my brand"], r"items.attributes.my brand.*should match pattern"),
        ({"kg": {"column": "kg", "kind": "weight"}}, "items.attributes.kg.kind: .*'number', 'yes_no' or 'list'"),
        ({"kg": "pounds"}, r"no column 'pounds' \(for attributes.kg\)"),
    ],
)
def test_settings_of_attributes_that_do_not_fit_are_refused(attributes: Any, message: str) -> None:
    with pytest.raises(RecsysError, match=message):
        items("item_id,kg\na,1\n", attributes=attributes)
