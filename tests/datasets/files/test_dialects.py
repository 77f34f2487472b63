"""Exports as other programs write them, each read right by settings alone: five orders, five rows, one of them bad."""

import csv
import gzip
import io
import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.support.own_files import EVENTS, Outcome, run, write

# user, item, local time in Berlin (summer: two hours ahead), amount, note; the last amount is paid back
ORDERS = [
    ("007", "lamp", datetime.fromisoformat("2024-05-01 10:00:30"), 1234.5, 'said "hi"'),
    ("8", "chair", datetime.fromisoformat("2024-05-02 09:05:00"), 12.0, "a, b; c\td"),
    ("Zoë", "lamp", datetime.fromisoformat("2024-05-13 23:59:59"), 0.99, "two\nlines"),
    ("8", "table", datetime.fromisoformat("2024-12-24 12:00:00"), 99.0, "back\\slash"),
    ("8", "table", datetime.fromisoformat("2024-12-27 08:00:00"), -99.0, ""),
]
TIMES = [
    "2024-05-01 08:00:30",
    "2024-05-02 07:05:00",
    "2024-05-13 21:59:59",
    "2024-12-24 11:00:00",
    "2024-12-27 07:00:00",
]
BERLIN: dict[str, Any] = {"time_zone": "Europe/Berlin"}
COLUMNS = {"user_id": "user", "item_id": "item", "timestamp": "time", "value": "amount"}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RECSYS_DATA_DIR", raising=False)


def assert_all_read(found: Outcome, lines: int | None, times: list[str] = TIMES) -> None:
    kept = found.interactions
    assert kept["user_id"].to_list() == [order[0] for order in ORDERS]
    assert kept["item_id"].to_list() == [order[1] for order in ORDERS]
    assert kept["timestamp"].dt.strftime("%Y-%m-%d %H:%M:%S").to_list() == times
    assert kept["value"].to_list() == [1234.5, 12.0, 0.99, 99.0, 99.0]
    assert kept["event"].to_list() == ["purchase"] * 4 + ["return"]
    assert found.quarantine.is_empty()
    if lines is not None:
        found.assert_every_line_counts(interactions=lines)


def test_a_german_spreadsheet() -> None:
    """Semicolons, decimal commas, the code page of Windows, a line with `sep=` above the header."""
    rows = ["sep=;", "Kunde;Artikel;Datum;Betrag (€);Notiz"]
    for user, item, time, amount, note in ORDERS:
        value = f"{amount:,.2f}".translate(str.maketrans(",.", ".,"))
        rows.append(f'{user};{item};{time:%d.%m.%Y %H:%M:%S};{value};"{note.replace(chr(34), chr(34) * 2)}"')
    write("events.csv", ("\r\n".join(rows) + "\r\n").encode("cp1252"))
    columns = {"user_id": "Kunde", "item_id": "Artikel", "timestamp": "Datum", "value": "Betrag (€)"}
    form: dict[str, Any] = {
        "separator": ";",
        "decimal": ",",
        "encoding": "cp1252",
        "skip_lines": 1,
        "timestamp_format": "%d.%m.%Y %H:%M:%S",
    }
    assert_all_read(run(columns=columns, **form, **BERLIN), lines=8)


def test_a_spreadsheet_saved_as_unicode_text() -> None:
    """UTF-16, tabs, American dates, thousands with commas."""
    rows = [["user", "item", "time", "amount", "note"]]
    for user, item, time, amount, note in ORDERS:
        rows.append([user, item, f"{time:%m/%d/%Y %I:%M:%S %p}", f"{amount:,.2f}", note])
    text = io.StringIO()
    csv.writer(text, delimiter="\t").writerows(rows)
    write("export.txt", text.getvalue().encode("utf-16"))
    form: dict[str, Any] = {
        "separator": "\t",
        "decimal": ".",
        "encoding": "utf-16",
        "timestamp_format": "%m/%d/%Y %I:%M:%S %p",
    }
    assert_all_read(run(path="export.txt", columns=COLUMNS, **form, **BERLIN), lines=7)


def test_copy_of_postgresql_as_csv() -> None:
    rows = ["user,item,time,amount,note"]
    for (user, item, _, amount, note), time in zip(ORDERS, TIMES, strict=True):
        quoted = '"' + note.replace('"', '""') + '"' if set('",\n') & set(note) or not note else note
        rows.append(f"{user},{item},{time}+00,{amount},{quoted}")
    write("events.csv", "\n".join(rows) + "\n")
    assert_all_read(run(columns=COLUMNS), lines=7)


def test_copy_of_postgresql_as_text() -> None:
    """Tabs, no header, no quotes, backslash escapes, `\\N`."""
    rows = []
    for (user, item, _, amount, note), time in zip(ORDERS, TIMES, strict=True):
        escaped = note.replace("\\", "\\\\").replace("\n", "\\n").replace("\t", "\\t")
        rows.append("\t".join([user, item, f"{time}.000+00", str(amount), escaped or "\\N"]))
    write("dump.txt", "\n".join(rows) + "\n")
    columns: dict[str, Any] = {"user_id": 1, "item_id": 2, "timestamp": 3, "value": 4}
    found = run(path="dump.txt", columns=columns, header=False, separator="\t", quote="none", escape="\\")
    assert_all_read(found, lines=5)


def test_outfile_of_mysql() -> None:
    """Every cell in quotes, a backslash before quotes, line breaks and backslashes, `\\N` without quotes."""
    rows = []
    for user, item, time, amount, note in ORDERS:
        escaped = note.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\\n")
        cells = [user, item, f"{time:%Y-%m-%d %H:%M:%S}", str(amount), escaped]
        rows.append(",".join(f'"{cell}"' if cell else "\\N" for cell in cells))
    write("events.csv", "\n".join(rows) + "\n")
    columns: dict[str, Any] = {"user_id": "1", "item_id": "2", "timestamp": "3", "value": "4"}
    assert_all_read(run(columns=columns, header=False, escape="\\", **BERLIN), lines=6)


def test_a_folder_of_spark() -> None:
    """Gzipped parts, each with a header, an empty one, markers and checksums, a column in the names of folders."""
    header = "item,time,amount,note\n"
    write("spark/_SUCCESS", b"")
    write("spark/.part.crc", b"crc")
    write("spark/user=none/part-00009-c000.csv.gz", gzip.compress(header.encode()))
    for at, (user, item, time, amount, note) in enumerate(ORDERS):
        escaped = note.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")
        row = f'{item},{time:%Y-%m-%dT%H:%M:%S}.000+0{2 if time.month == 5 else 1}:00,{amount},"{escaped}"\n'
        folder = "user=" + user.replace("ë", "%C3%AB")
        write(f"spark/n={at}/{folder}/part-0000{at}-c000.csv.gz", gzip.compress((header + row).encode()))
    found = run(path="spark", columns=COLUMNS, escape="\\")
    assert_all_read(found, lines=11)
    assert len(found.report.files["interactions"]) == 6


def test_to_csv_of_pandas() -> None:
    """An index without a name, ids that became floats where one was missing, True and False, lists."""
    frame = pd.DataFrame(ORDERS, columns=["user", "item", "time", "amount", "note"])
    frame["time"] = frame["time"].dt.tz_localize("Europe/Berlin")
    frame["item_number"] = [1, 2, 1, None, 3]
    frame.to_csv("events.csv")
    found = run(columns={**COLUMNS, "item_id": "item_number"}, float_ids="whole")
    assert found.interactions["item_id"].to_list() == ["1", "2", "1", "3"]
    assert found.reasons() == {"item_id_missing": 1}
    catalogue = pd.DataFrame({"item_id": [1.0, 2.0], "categories": [["a", "b's"], []], "available": [True, False]})
    catalogue.to_csv("items.csv")
    own = {"float_ids": "whole"}
    found = run("item_id,user_id,timestamp\n1,u,2024-05-01\n", Path("items.csv").read_bytes(), item_settings=own)
    assert found.items["categories"].to_list() == [["a", "b's"], []]
    assert found.items["available"].to_list() == [True, False]


@pytest.mark.parametrize("row_names", [True, False])
def test_write_csv_and_write_table_of_r(row_names: bool) -> None:
    """Quotes around all text, NA; write.table names one column less than it writes."""
    names = '"","user","item","time","amount","note"' if row_names else '"user","item","time","amount","note"'
    rows = [names]
    for at, (user, item, time, amount, note) in enumerate(ORDERS, start=1):
        quoted = '"' + note.replace('"', '""') + '"' if note else "NA"
        rows.append(f'"{at}","{user}","{item}","{time:%Y-%m-%d %H:%M:%S}",{amount},{quoted}')
    write("events.csv", "\n".join(rows) + "\n")
    if row_names:
        assert_all_read(run(columns=COLUMNS, **BERLIN), lines=7)
        return
    columns: dict[str, Any] = {"user_id": 2, "item_id": 3, "timestamp": 4, "value": 5}
    assert_all_read(run(columns=columns, skip_lines=1, header=False, **BERLIN), lines=7)


def test_a_warehouse_exports_json_lines() -> None:
    """Whole numbers as text, ` UTC`, nothing for null, one object a line in several shards."""
    shards: list[list[str]] = [[], []]
    for at, ((user, item, _, amount, note), time) in enumerate(zip(ORDERS, TIMES, strict=True)):
        row = {"user": user, "item": item, "time": f"{time}.000000 UTC", "amount": amount, "tags": ["x", {"k": 1}]}
        shards[at // 3].append(json.dumps(row | ({"note": note} if note else {}), ensure_ascii=at % 2 == 0))
    for at, shard in enumerate(shards):
        write(f"export/orders-00000000000{at}.json.gz", gzip.compress(("\n".join(shard) + "\n").encode()))
    assert_all_read(run(path="export/orders-*.json.gz", columns=COLUMNS), lines=5)


def test_orders_of_a_shop_with_line_items() -> None:
    """Price of a piece and pieces, a name per order, an offset after a space, HTML over several lines in the items."""
    rows = [["Name", "Email", "Created at", "Lineitem sku", "Lineitem price", "Lineitem quantity", "Notes"]]
    for at, (user, item, time, amount, note) in enumerate(ORDERS):
        offset = "+0200" if time.month == 5 else "+0100"
        rows.append(
            [
                f"#10{at}",
                user,
                f"{time:%Y-%m-%d %H:%M:%S} {offset}",
                item,
                str(abs(amount)),
                str(1 if amount > 0 else -1),
                note,
            ]
        )
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    write("events.csv", text.getvalue())
    products = (
        'Handle,Title,Body (HTML),Type,Tags,Variant Price,Published\nlamp,Lamp,"<p>\n\n""big"", bright\n</p>",Light,'
    )
    products += '"new, sale",1234.50,true\nchair,"12"" chair",,Seat,,12.00,false\ntable,Table,x,Seat,sale,99.00,true\n'
    names = {
        "item_id": "Handle",
        "title": "Title",
        "text": "Body (HTML)",
        "categories": "Tags",
        "price": "Variant Price",
    }
    own = {"columns": {**names, "available": "Published"}, "category_separator": ","}
    columns = {"user_id": "Email", "item_id": "Lineitem sku", "timestamp": "Created at"}
    mapped = {**columns, "value": "Lineitem price", "quantity": "Lineitem quantity"}
    found = run(items=products, item_settings=own, columns=mapped)
    assert_all_read(found, lines=7)
    found.assert_every_line_counts(items=7)
    assert found.items["title"].to_list() == ["Lamp", '12" chair', "Table"]
    assert found.items["text"].to_list() == ['<p>\n\n"big", bright\n</p>', "", "x"]
    assert found.items["categories"].to_list() == [["new", "sale"], [], ["sale"]]
    assert found.items["available"].to_list() == [True, False, True]


def test_products_of_a_shop_that_writes_a_byte_order_mark() -> None:
    products = '\ufeffID,SKU,Name,Categories,"Regular price","In stock?"\n'
    products += '1,lamp,"Lamp, big","Home > Light, Sale","1.234,50",1\n'
    products += "2,,Nameless,,,0\n3,chair,Chair,Home,12,outofstock\n"
    names = {
        "item_id": "SKU",
        "title": "Name",
        "categories": "Categories",
        "price": "Regular price",
        "available": "In stock?",
    }
    own = {"columns": names, "category_separator": ",", "decimal": ","}
    found = run(EVENTS + "u,lamp,2024-05-01\n", products, item_settings=own)
    assert found.items["categories"].to_list() == [["Home > Light", "Sale"], ["Home"]]
    assert found.items["price"].to_list() == [1234.5, 12.0]
    assert found.items["available"].to_list() == [True, False]
    assert found.reasons("items") == {"item_id_missing": 1}
