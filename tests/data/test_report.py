"""The figures of the data report against a count by hand, and each limit that stops a run."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from recsys.data.raw_tables import FileLines
from recsys.data.report import DataReport, TableReport, check, describe
from recsys.errors import DataError
from recsys.params import Thresholds

TIME = datetime(2024, 5, 1, tzinfo=UTC)
EVENTS = [("u", "a", 0, "view"), ("u", "a", 1, "buy"), ("u", "b", 2, "view"), ("v", "a", 36, "view")]
ITEMS = pl.DataFrame(
    {
        "item_id": ["a", "b", "c", "d"],
        "title": ["A", "b", "C", " "],
        "text": ["", "x", "x", "x"],
        "categories": [[], ["k"], [], []],
        "price": [1.0, None, 2.0, 3.0],
    }
)
LINES = [
    "interactions               2   20.00%  user_id missing as 'NULL'",
    "items                      1   33.33%  price emptied: unreadable",
    "                          14        1            11        2             9  events.csv",
    "                           -        -             -        -             3  i.pq",
    "items without title 50.00%, text 25.00%, categories 75.00%, price 25.00%",
    "never liked   3 of 2 items",
]
OPEN = {
    "min_interactions": 1,
    "min_users": 1,
    "min_items": 1,
    "max_rejected_share": 1.0,
    "max_duplicate_share": 1.0,
    "max_orphan_share": 1.0,
}


@pytest.fixture
def tables(tmp_path: Path) -> Path:
    rows = [
        (user, item, TIME + timedelta(hours=hours), event, float(item == "a")) for user, item, hours, event in EVENTS
    ]
    schema = ["user_id", "item_id", "timestamp", "event", "weight"]
    pl.DataFrame(rows, schema, orient="row").write_parquet(tmp_path / "interactions.parquet")
    raw = {"sku": "x" * 1000, "note": None}
    bad = [("interactions", reason, 7, json.dumps(raw)) for reason in ("orphan_item", "duplicate", "value_nan")]
    columns = ["table", "reason", "row", "raw"]
    pl.DataFrame([*bad, ("items", "price_nan", 0, "{}")], columns, orient="row").write_parquet(
        tmp_path / "quarantine.parquet"
    )
    return tmp_path


@pytest.fixture
def report(tables: Path) -> DataReport:
    reasons = pl.Series(["value_nan"] * 3 + ["orphan_item"] * 2 + ["duplicate"])
    interactions = TableReport.of(Path("events.csv"), 10, reasons, {"user_id missing as 'NULL'": 2})
    items = TableReport.of(Path("items.csv"), 3, pl.Series(["price_nan"]), {"price emptied: unreadable": 1})
    lines = {
        "interactions": [FileLines("events.csv", 14, 1, 9, 11, 2)],
        "items": [FileLines("i.pq", None, None, 3, *2 * [None])],
    }
    return describe("shop", interactions, items, pl.scan_parquet(tables / "interactions.parquet"), 3, ITEMS, lines)


def test_counts_shares_and_span(report: DataReport) -> None:
    assert report.interactions == TableReport(
        "events.csv",
        10,
        4,
        6,
        0.6,
        {"value_nan": 3, "orphan_item": 2, "duplicate": 1},
        {"user_id missing as 'NULL'": 2},
    )
    assert (report.duplicate_share, report.orphan_share) == (0.1, 0.2)
    assert (report.users, report.seen_items, report.events) == (2, 2, {"buy": 1, "view": 3})
    assert (report.first, report.last, report.days) == ("2024-05-01T00:00:00+00:00", "2024-05-02T12:00:00+00:00", 1.5)
    assert report.repeat_rate == 0.25
    assert (report.median_events_per_user, report.median_events_per_item) == (2.0, 2.0)
    assert report.item_gaps == {"title": 0.5, "text": 0.25, "categories": 0.75, "price": 0.25}
    assert report.items_without_likes == 3


def test_json_has_all_of_it_and_the_text_what_a_person_needs(report: DataReport) -> None:
    assert json.loads(report.to_json())["interactions"]["reasons"] == {"value_nan": 3, "orphan_item": 2, "duplicate": 1}
    text = report.to_text()
    for part in (
        "value_nan",
        "60.00%",
        "price_nan",
        "events.csv",
        "25.00%",
        "buy 1, view 3",
        "1.5 days",
        "20.00%",
        *LINES,
    ):
        assert part in text
    assert max(len(line) for line in text.splitlines()) < 120


def test_a_table_of_which_nothing_is_left_can_be_described(tmp_path: Path, tables: Path) -> None:
    nothing = TableReport.of(Path("events.csv"), 2, pl.Series(["value_nan"] * 2))
    none = pl.scan_parquet(tables / "interactions.parquet").head(0)
    report = describe("shop", nothing, nothing, none, 0, ITEMS.clear())
    assert (report.users, report.first, report.repeat_rate, report.days) == (0, None, 0.0, 0.0)
    assert "time span     none" in report.to_text()


@pytest.mark.parametrize(
    ("limit", "line"),
    [
        (
            {"max_rejected_share": 0.3},
            "items.csv: 1 of 3 items rejected (33.3%), datasets.shop.thresholds.max_rejected_",
        ),
        (
            {"max_rejected_share": 0.5},
            "events.csv: 6 of 10 interactions rejected (60.0%), datasets.shop.thresholds.max_",
        ),
        (
            {"max_orphan_share": 0.1},
            "events.csv: 2 of 10 interactions rejected (20.0%), datasets.shop.thresholds.max_o",
        ),
        ({"max_duplicate_share": 0.0}, "events.csv: 1 of 10 interactions rejected (10.0%), datasets.shop.thresholds.m"),
        ({"min_interactions": 5}, "events.csv: interactions left: 4 (the first: timestamp '2024-05-01 "),
        (
            {"min_users": 3},
            "events.csv: users left: 2 (the first: user_id 'u'), datasets.shop.thresholds.min_users requires 3",
        ),
        (
            {"min_items": 3},
            "events.csv: items with an interaction left: 2 (the first: item_id 'a'), datasets.shop.thresh",
        ),
    ],
)
def test_a_limit_that_is_passed_is_one_short_line(
    report: DataReport, tables: Path, limit: dict[str, Any], line: str
) -> None:
    check(report, Thresholds(**OPEN), tables)
    with pytest.raises(DataError) as error:
        check(report, Thresholds(**{**OPEN, **limit}), tables)
    message = str(error.value)
    assert message.startswith(line)
    assert "\n" not in message
    assert len(message) < 500 + len(str(tables))


def test_a_limit_that_is_just_met_does_not_stop(report: DataReport, tables: Path) -> None:
    met = {"max_rejected_share": 0.6, "max_orphan_share": 0.2, "max_duplicate_share": 0.1, "min_interactions": 4}
    check(report, Thresholds(**{**OPEN, **met, "min_users": 2, "min_items": 2}), tables)


def test_a_column_that_is_mostly_unusable_stops_the_run_and_names_the_setting(report: DataReport, tables: Path) -> None:
    hints = {"price emptied: unreadable": "set decimal", "nan": "never"}
    with pytest.raises(
        DataError, match=r"^items.csv: price emptied: unreadable in 1 of 3 items, .*: set decimal or raise"
    ):
        check(report, Thresholds(**{**OPEN, "max_emptied_share": 0.3}), tables, hints)
    check(report, Thresholds(**OPEN), tables, hints)


def test_the_hint_of_a_reason_stands_in_the_line_that_stops(report: DataReport, tables: Path) -> None:
    with pytest.raises(DataError, match="then replace the zeros or raise the limit"):
        check(report, Thresholds(**{**OPEN, "max_rejected_share": 0.5}), tables, {"e_nan": "replace the zeros"})
