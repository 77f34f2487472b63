"""Bad input through the stages `fetch` and `prepare`: one line with file, column and value; earlier outputs stay."""

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from recsys.stages import fetch, prepare

HEADER = "customer,sku,ts,type,amount\n"
ROWS = [f"c{n % 9},s{n % 7},2024-05-{1 + n % 28:02}T10:00:00,buy,{n}.5" for n in range(60)]
COLUMNS = {"user_id": "customer", "item_id": "sku", "timestamp": "ts", "event": "type", "value": "amount"}
LIMITS = {
    "min_interactions": 20,
    "min_users": 2,
    "min_items": 2,
    "max_rejected_share": 0.1,
    "max_duplicate_share": 0.05,
    "max_orphan_share": 0.05,
}
Run = Callable[[], str]


@pytest.fixture
def run(tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run both stages in a folder whose params.yaml reads events.csv and, if there is one, items.csv; their stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RECSYS_DATA_DIR", raising=False)

    def stages() -> str:
        content = yaml.safe_load((root / "params.yaml").read_text(encoding="utf-8"))
        event_file = "events.parquet" if Path("events.parquet").exists() else "events.csv"
        adapter: dict[str, Any] = {"interactions": {"path": event_file, "columns": COLUMNS}}
        if Path("items.csv").exists():
            adapter["items"] = {"path": "items.csv", "columns": {"item_id": "sku", "title": "name"}}
        content["datasets"]["files"] |= {"adapter": adapter, "thresholds": LIMITS, "event_weights": {"buy": 1.0}}
        content["datasets"]["files"]["split"]["target_events"] = ["buy"]
        Path("params.yaml").write_text(yaml.safe_dump({**content, "dataset": "files"}), encoding="utf-8")
        with contextlib.suppress(SystemExit):
            fetch.main(raw=Path("data/raw"), params=Path("params.yaml"))
            prepare.main(
                raw=Path("data/raw"),
                tables=Path("data/tables"),
                report=Path("metrics/data.json"),
                text=Path("reports/data.txt"),
                params=Path("params.yaml"),
            )
        return capsys.readouterr().err

    return stages


def outputs() -> dict[str, bytes]:
    folders = (Path("data/tables"), Path("metrics"), Path("reports"))
    return {str(path): path.read_bytes() for folder in folders for path in folder.rglob("*") if path.is_file()}


def events(*rows: str, header: str = HEADER) -> None:
    Path("events.csv").write_text(header + "".join(f"{row}\n" for row in rows), encoding="utf-8")


def changed(column: int, value: str, which: slice = slice(None)) -> list[str]:
    rows = [row.split(",") for row in ROWS]
    for row in rows[which]:
        row[column] = value
    return [",".join(row) for row in rows]


def test_good_input_writes_tables_and_both_reports(run: Run) -> None:
    events(*ROWS)
    assert run() == ""
    assert sorted(outputs()) == [
        "data/tables/interactions.parquet",
        "data/tables/items.parquet",
        "data/tables/quarantine.parquet",
        "metrics/data.json",
        "reports/data.txt",
    ]
    report = json.loads(Path("metrics/data.json").read_text())
    assert report["interactions"] == {
        "file": "events.csv",
        "read": 60,
        "kept": 60,
        "rejected": 0,
        "rejected_share": 0.0,
        "reasons": {},
        "notes": {},
    }
    assert "users         9, half of them with 7 events or fewer" in Path("reports/data.txt").read_text()


def too_long_titles() -> None:
    events(*ROWS)
    names = [f"s{n},{'x' * 10_000_000 if n > 2 else 'name'}" for n in range(7)]
    Path("items.csv").write_text("sku,name\n" + "\n".join(names))


def wrong_dtype() -> None:
    Path("events.csv").unlink()
    frame = pl.DataFrame({"customer": [1.5] * 60, "sku": "s", "ts": "2024-05-01", "type": "buy", "amount": 1.0})
    frame.write_parquet("events.parquet")


BAD: dict[str, tuple[Callable[[], object], list[str]]] = {
    "empty file": (lambda: Path("events.csv").write_bytes(b""), ["events.csv: empty file"]),
    "header only": (lambda: events(), ["events.csv: no rows, expected at least one: replace the file"]),
    "no such file": (lambda: Path("events.csv").rename("moved.csv"), ["events.csv: no such file, looked at /"]),
    "missing column": (
        lambda: events(*ROWS, header=HEADER.replace("customer", "client")),
        [
            "events.csv: no column 'customer' (for user_id), the columns are 'client', 'sku', 'ts'",
            "separator or header in params",
        ],
    ),
    "no text for a time": (
        lambda: events(*changed(2, "yesterday")),
        ["events.csv: 60 of 60 interactions rejected (100.0%)", "timestamp_unreadable (60)", "ts='yesterday'"],
    ),
    "wrong dtype": (
        wrong_dtype,
        [
            "60 of 60 interactions rejected",
            "user_id_float_shaped (60)",
            "customer='1.5'",
            "then set float_ids to whole or keep, or raise",
        ],
    ),
    "one user": (
        lambda: events(*changed(0, "c1")),
        ["events.csv: users left: 1 (the first: user_id 'c1')", "datasets.files.thresholds.min_users requires 2"],
    ),
    "one item": (
        lambda: events(*changed(1, "s1")),
        ["events.csv: items with an interaction left: 1 (the first: item_id 's1')", "thresholds.min_items requires 2"],
    ),
    "all rows bad": (
        lambda: events(*changed(3, "sell")),
        ["events.csv: 60 of 60 interactions rejected", "unknown_event (60)", "row 0: customer='c0'", "type='sell'"],
    ),
    "10 MB titles": (
        too_long_titles,
        [
            "items.csv: title emptied: too_long in 4 of 7 items",
            "max_emptied_share allows 50.0%: correct the data or raise",
        ],
    ),
    "value in words": (
        lambda: events(*changed(4, "ten", slice(20, 40))),
        [
            "events.csv: 20 of 60 interactions rejected",
            "value_unreadable (20), first row 20: ",
            "amount='ten'",
            "decimal",
        ],
    ),
    "clock in the future": (
        lambda: events(*changed(2, "2099-01-01", slice(0, 7))),
        ["events.csv: 7 of 60 interactions rejected", "future_timestamp (7), first row 0: ", "ts='2099-01-01'"],
    ),
    "copies": (
        lambda: events(*ROWS, *ROWS),
        ["events.csv: 60 of 120 interactions rejected (50.0%)", "max_duplicate_share allows 5.0%", "duplicate (60)"],
    ),
    "not UTF-8": (lambda: Path("events.csv").write_bytes(HEADER.encode() + b"\xff\xfe,s,2024-05-01,buy,1\n" * 60), []),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_and_leaves_the_earlier_outputs(run: Run, case: str) -> None:
    events(*ROWS)
    assert run() == ""
    before = outputs()
    spoil, parts = BAD[case]
    spoil()
    message = run()
    assert message.startswith("error: ")
    assert "events." in message or "items.csv" in message
    assert message.count("\n") == 1
    assert len(message) < 600
    for part in parts:
        assert part in message
    assert outputs() == before


def test_what_a_stopped_run_found_can_be_looked_at(run: Run) -> None:
    events(*changed(3, "sell"))
    assert "see data/tables.partial/quarantine.parquet" in run()
    assert pl.read_parquet("data/tables.partial/quarantine.parquet").height == 60
    assert not Path("data/tables").exists()


def test_a_few_bad_rows_are_quarantined_and_the_run_goes_on(run: Run) -> None:
    rows = changed(4, "ten", slice(0, 1))
    rows[1] = rows[1].replace("2024", "2099")
    events(*rows)
    assert run() == ""
    bad = pl.read_parquet("data/tables/quarantine.parquet")
    assert bad.select("reason", "row").rows() == [("value_unreadable", 0), ("future_timestamp", 1)]
    assert json.loads(bad["raw"][0])["amount"] == "ten"


def test_ids_in_any_script_work(run: Run) -> None:
    users, items = ["名前", "Zoë", "👩🚀", "a b", "'\"\\"], ["α", "β/γ", "ж", "007"]
    quoted = ['"{}"'.format(user.replace('"', '""')) for user in users]
    events(*(f"{quoted[n % 5]},{items[n % 4]},2024-05-{1 + n % 28:02},buy,{n}" for n in range(60)))
    assert run() == ""
    kept = pl.read_parquet("data/tables/interactions.parquet")
    assert kept.height == 60
    assert set(kept["user_id"]) == set(users)
    assert set(kept["item_id"]) == set(items) == set(pl.read_parquet("data/tables/items.parquet")["item_id"])
