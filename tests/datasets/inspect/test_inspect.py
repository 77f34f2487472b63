"""Files as people have them: the settings that `recsys inspect` proposes read them, without a line written by hand."""

import gzip
import json
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml
from typer.testing import CliRunner

from recsys.cli import app
from recsys.datasets import files
from recsys.datasets._inspect.inspect import inspect
from recsys.errors import DataError
from recsys.params import parse

N = 400
START = datetime(2024, 3, 1, 8, 30, tzinfo=UTC)
DRAW = random.Random(5)
ORDERS = [
    (f"C{DRAW.randrange(40):03}", f"SKU-{DRAW.randrange(60):02}", START + timedelta(hours=5 * at)) for at in range(N)
]
ITEMS = [(f"SKU-{at:02}", f"Cup number {at}", 1.5 + at, ["cups", "blue" if at % 2 else "red"]) for at in range(60)]


def german(folder: Path) -> list[Path]:
    rows = [
        f"{user};{item};{at:%d.%m.%Y %H:%M:%S};{2 + n % 3};{1200.5 + n:.2f}"
        for n, (user, item, at) in enumerate(ORDERS)
    ]
    text = "\r\n".join(["Kunde;Artikelnr;Datum;Menge;Preis in Düsseldorf", *rows]).replace(".50", ",50")
    (folder / "verkauf.csv").write_bytes(text.encode("cp1252"))
    return [folder / "verkauf.csv"]


def american(folder: Path) -> list[Path]:
    rows = [f'"{user}","{item}","{at:%m/%d/%Y %I:%M %p}",view' for user, item, at in ORDERS]
    (folder / "log.txt").write_text("\n".join(["visitor,product,viewed on,action", *rows]))
    return [folder / "log.txt"]


def no_header(folder: Path) -> list[Path]:
    rows = [
        f"{int(user[1:])}\t{int(item[4:])}\t{n % 5 + 1}\t{at.timestamp():.0f}"
        for n, (user, item, at) in enumerate(ORDERS)
    ]
    (folder / "u.data.tsv").write_text("\n".join(rows))
    return [folder / "u.data.tsv"]


def warehouse(folder: Path) -> list[Path]:
    rows = [
        {"visitorId": user, "sku": item, "ts": at.isoformat(), "event_type": ("view", "purchase")[n % 2]}
        for n, (user, item, at) in enumerate(ORDERS)
    ]
    (folder / "events.jsonl.gz").write_bytes(gzip.compress("\n".join(map(json.dumps, rows)).encode()))
    goods = [{"id": item, "name": title, "cost": price, "tags": tags} for item, title, price, tags in ITEMS]
    (folder / "goods.jsonl").write_text("\n".join(map(json.dumps, goods)))
    return [folder / "goods.jsonl", folder / "events.jsonl.gz"]


def parquet(folder: Path) -> list[Path]:
    users, items, times = zip(*ORDERS, strict=True)
    pl.DataFrame(
        {"member": users, "film": items, "rated_at": times, "stars": [n % 5 + 1 for n in range(N)]}
    ).write_parquet(folder / "stars.parquet")
    ids, titles, prices, tags = zip(*ITEMS, strict=True)
    pl.DataFrame({"film": ids, "title": titles, "price": prices, "genres": tags}).write_parquet(
        folder / "films.parquet"
    )
    return [folder / "stars.parquet", folder / "films.parquet"]


def pandas(folder: Path) -> list[Path]:
    rows = [f"{n},{int(user[1:])}.0,{item},{at:%Y-%m-%d %H:%M:%S}" for n, (user, item, at) in enumerate(ORDERS)]
    (folder / "frame.csv").write_text("\n".join([",customer_id,item,timestamp", *rows]))
    return [folder / "frame.csv"]


def utf_16(folder: Path) -> list[Path]:
    rows = [f"{user}\t{item}\t{at.timestamp() * 1000:.0f}" for user, item, at in ORDERS]
    (folder / "export.csv").write_bytes("\n".join(["Leser\tBuch\tZeit", *rows]).encode("utf-16"))
    return [folder / "export.csv"]


def other_names(folder: Path) -> list[Path]:
    rows = [f"{at:%d/%m/%Y}|{item}|{user}" for user, item, at in ORDERS]
    (folder / "lines.csv").write_text("\n".join(["day|code|who", *rows]))
    goods = [f"{title}|{'/'.join(tags)}|{item}|{price}" for item, title, price, tags in ITEMS]
    (folder / "stock.csv").write_text("\n".join(["label|group|number|price", *goods]))
    return [folder / "lines.csv", folder / "stock.csv"]


SHAPES: dict[Callable[[Path], list[Path]], dict[str, Any]] = {
    german: {"event": "purchase", "value": 2401.0},
    american: {"event": "view"},
    no_header: {"user": str(int(ORDERS[0][0][1:])), "item": str(int(ORDERS[0][1][4:]))},
    warehouse: {"items": True, "event": "view"},
    parquet: {"items": True, "event": "rating", "value": 1.0},
    pandas: {"user": str(int(ORDERS[0][0][1:]))},
    utf_16: {},
    other_names: {"items": True, "day": True},
}


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.__name__)
def test_the_settings_that_are_proposed_read_the_files(shape: Callable[[Path], list[Path]], tmp_path: Path) -> None:
    expected, paths = SHAPES[shape], shape(tmp_path)
    _, text = inspect(paths)
    assert "MISSING" not in text
    config = parse(files.Config, yaml.safe_load(text)["files"]["adapter"], "proposed")
    (tmp_path / "raw").mkdir()
    files.fetch(config, tmp_path / "raw", seed=1)
    found = files.tables(config, tmp_path / "raw")
    rows = found.interactions.collect()
    assert rows.height == N
    assert rows["reject"].is_null().all()
    user, item, at = ORDERS[0]
    first = rows.row(0, named=True)
    assert (first["user_id"], first["item_id"]) == (expected.get("user", user), expected.get("item", item))
    assert first["timestamp"] == (at.replace(hour=0, minute=0) if "day" in expected else at)
    if "event" in expected:
        assert first["event"] == expected["event"]
    if "value" in expected:
        assert first["value"] == pytest.approx(expected["value"])
    if "items" in expected:
        items = found.items.collect().row(1, named=True)
        assert (items["item_id"], items["title"], items["price"]) == ITEMS[1][:3]
        assert "blue" in "".join(items["categories"])


def test_what_may_be_wrong_is_said(tmp_path: Path) -> None:
    described, text = inspect(german(tmp_path))
    assert "verkauf.csv: not UTF-8, cp1252 was taken." in text
    assert "Datum: names no zone" in text
    assert "time, %d.%m.%Y %H:%M:%S" in described[0]


def test_days_that_could_be_months_are_said(tmp_path: Path) -> None:
    rows = [f"{user},{item},{1 + n % 12:02}/{1 + n % 9:02}/2024" for n, (user, item, _) in enumerate(ORDERS)]
    (tmp_path / "a.csv").write_text("\n".join(["user,item,date", *rows]))
    assert "date: days and months could be exchanged, %d/%m/%Y was taken." in inspect([tmp_path / "a.csv"])[1]


def test_a_column_that_is_not_found_is_said(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("user,item\n" + "\n".join(f"{user},{item}" for user, item, _ in ORDERS))
    assert "MISSING: no column of a.csv looks like timestamp: map one." in inspect([tmp_path / "a.csv"])[1]


def test_lines_of_another_width_are_shown(tmp_path: Path) -> None:
    (path,) = american(tmp_path)
    path.write_text(path.read_text() + "\nC001,SKU-01\n")
    assert f"line {N + 2}: another number of cells: 'C001,SKU-01'" in inspect([path])[0][0]


def test_an_empty_file_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("\n\n")
    with pytest.raises(DataError, match=r"a\.csv: empty file, expected at least one row: replace it"):
        inspect([tmp_path / "a.csv"])


def test_the_command_writes_the_settings(tmp_path: Path) -> None:
    paths = [str(path) for path in warehouse(tmp_path)]
    done = CliRunner().invoke(app, ["inspect", *paths, "--out", str(tmp_path / "mapping.yaml")])
    assert done.exit_code == 0, done.output
    assert "event_type" in done.output
    written = yaml.safe_load((tmp_path / "mapping.yaml").read_text())["files"]
    assert written["event_weights"] == {"view": 1.0, "purchase": 5.0}
    assert written["split"]["target_events"] == ["purchase"]


def test_events_may_be_written_in_capitals(tmp_path: Path) -> None:
    rows = [f"{user},{item},{at:%Y-%m-%d},{('View', 'Purchase')[n % 2]}" for n, (user, item, at) in enumerate(ORDERS)]
    (tmp_path / "a.csv").write_text("\n".join(["user,item,date,event", *rows]))
    section = yaml.safe_load(inspect([tmp_path / "a.csv"])[1])["files"]
    assert section["event_weights"] == {"View": 1.0, "Purchase": 5.0}
    assert section["split"]["target_events"] == ["Purchase"]


def test_a_folder_stays_a_folder(tmp_path: Path) -> None:
    (path,) = american(tmp_path)
    folder = tmp_path / "logs"
    folder.mkdir()
    for name in ("a.csv", "b.csv"):
        (folder / name).write_text(path.read_text())
    section = yaml.safe_load(inspect([folder])[1])["files"]
    assert section["adapter"]["interactions"]["path"] == str(folder)


def test_columns_of_items_without_another_use_become_attributes(tmp_path: Path) -> None:
    events = "user_id,item_id,timestamp\n" + "".join(
        f"u{at % 7},i{at % 5},2024-05-{at % 28 + 1:02}\n" for at in range(60)
    )
    (tmp_path / "log.csv").write_text(events)
    rows = "".join(f"i{at},Lamp {at},brand {at},/img/{at}.png,{at}.5,{'yes' if at % 2 else 'no'},\n" for at in range(5))
    (tmp_path / "items.csv").write_text("item_id,title,brand,cover url,kg,organic,empty\n" + rows)
    _, text = inspect([tmp_path / "log.csv", tmp_path / "items.csv"])
    proposed = yaml.safe_load(text)["files"]["adapter"]["items"]
    assert proposed["attributes"] == {
        "brand": "brand",
        "cover_url": "cover url",
        "kg": {"column": "kg", "kind": "number"},
        "organic": {"column": "organic", "kind": "yes_no"},
    }
