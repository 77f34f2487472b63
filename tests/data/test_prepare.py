"""Nothing is lost: every raw row is either kept or in quarantine with its reason, whatever the dirt."""

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from recsys.data import prepare as module
from recsys.data import schema
from recsys.data.prepare import prepare
from recsys.data.raw_tables import RawTables
from recsys.data.validation import ROW
from recsys.errors import DataError
from recsys.params import DatasetParams

TIME = datetime(2024, 5, 1, tzinfo=UTC)
FILE = Path("events.csv")
ITEMS = pl.DataFrame({"item_id": ["a", "b", "ü"]})


def settings(weights: dict[str, float] | None = None, **thresholds: Any) -> DatasetParams:
    limits = {"min_interactions": 1, "min_users": 1, "min_items": 1}
    shares = dict.fromkeys(("max_rejected_share", "max_duplicate_share", "max_orphan_share"), 1.0)
    return DatasetParams.model_validate(
        {
            "adapter": {},
            "event_weights": weights or {"view": 1.0, "buy": 2.0},
            "thresholds": {**limits, **shares, **thresholds},
            "split": {"protocol": "global_time", "valid_share": 0.1, "test_share": 0.1, "target_events": ["view"]},
            "recent_half_life_days": 1,
            "models": {},
            "release_candidates": ["als"],
        }
    )


def event(user: Any = "u", item: Any = "a", minute: float = 0, **more: Any) -> dict[str, Any]:
    return {
        "user_id": user,
        "item_id": item,
        "timestamp": TIME + timedelta(minutes=minute),
        "event": "view",
        "value": None,
        **more,
    }


def tables(rows: list[dict[str, Any]], items: pl.DataFrame = ITEMS) -> RawTables:
    schema = {"value": pl.Float64, "weight": pl.Float64}
    frame = pl.DataFrame(rows, schema_overrides=schema, infer_schema_length=None)
    return RawTables(frame.lazy(), items.lazy(), FILE, Path("items.csv"), latest=TIME + timedelta(days=365))


def outcome(out: Path, name: str = "interactions") -> tuple[pl.DataFrame, dict[int, str]]:
    """The kept rows, and the reason of each quarantined one."""
    bad = pl.read_parquet(out / "quarantine.parquet").filter(pl.col("table") == name)
    return pl.read_parquet(out / f"{name}.parquet"), dict(bad.select(ROW, "reason").iter_rows())


def dirty(n: int, seed: int) -> list[dict[str, Any]]:
    rng = np.random.default_rng(seed)
    values = [None, 1.0, -1.0, float("nan"), float("inf")]
    return [
        event(
            rng.choice(np.array(["u", "v", "", None, "名"], dtype=object)),
            rng.choice(np.array(["a", "b", "ü", "zz", None], dtype=object)),
            float(rng.choice([0.0, 1.0, 2.0, 1e6, -2e7])),
            event=rng.choice(np.array(["view", "buy", "like", None], dtype=object)),
            value=values[rng.integers(len(values))],
        )
        for _ in range(n)
    ]


def expected(rows: list[dict[str, Any]]) -> dict[int, str]:
    """The same verdicts, one row at a time in plain Python."""
    verdicts, seen = {}, set()
    for number, row in enumerate(rows):
        minute = (row["timestamp"] - TIME).total_seconds() / 60
        value = row["value"]
        faults = [
            ("user_id_missing", row["user_id"] is None),
            ("user_id_empty", row["user_id"] == ""),
            ("item_id_missing", row["item_id"] is None),
            ("timestamp_before_1990", minute < -1e7),
            ("event_missing", row["event"] is None),
            ("value_infinite", value == float("inf")),
            ("value_nan", value is not None and value != value),
            ("unknown_event", row["event"] == "like"),
            ("orphan_item", row["item_id"] == "zz"),
            ("future_timestamp", minute > 365 * 24 * 60),
            ("duplicate", tuple(row.values()) in seen),
        ]
        if reason := next((name for name, broken in faults if broken), None):
            verdicts[number] = reason
        else:
            seen.add(tuple(row.values()))
    return verdicts


@pytest.mark.parametrize("chunk_rows", [97, 1_000_000])
def test_every_row_is_kept_or_quarantined_as_a_plain_loop_would(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk_rows: int
) -> None:
    monkeypatch.setattr(module, "CHUNK_ROWS", chunk_rows)
    rows = dirty(3_000, seed=1)
    report = prepare(tables(rows), "shop", settings(), tmp_path)
    kept, bad = outcome(tmp_path)
    assert bad == expected(rows)
    assert kept["timestamp"].to_list() == [row["timestamp"] for i, row in enumerate(rows) if i not in bad]
    assert report.interactions.read == 3_000 == kept.height + len(bad)
    assert report.interactions.reasons == dict(Counter(bad.values()).most_common())
    assert len(set(bad.values())) == 11


def test_the_three_tables_are_canonical_and_nothing_else_is_left_behind(tmp_path: Path) -> None:
    prepare(tables(dirty(500, seed=2)), "shop", settings(), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "interactions.parquet",
        "items.parquet",
        "quarantine.parquet",
    ]
    assert pl.read_parquet_schema(tmp_path / "quarantine.parquet") == {
        "table": pl.String, "reason": pl.String, "row": pl.Int64, "raw": pl.String,
    }  # fmt: skip
    for name, table in (("interactions", schema.INTERACTIONS), ("items", schema.ITEMS)):
        frame = pl.read_parquet(tmp_path / f"{name}.parquet")
        assert frame.schema == {column: of.dtype for column, of in table.items()}
        for column, of in table.items():
            assert of.nullable or not frame[column].null_count()
            assert of.fault is None or not frame.select(of.fault.alias("fault"))["fault"].count()


def test_the_same_rows_give_the_same_bytes(tmp_path: Path) -> None:
    rows = dirty(2_000, seed=3)
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        prepare(tables(rows), "shop", settings(), tmp_path / name)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


def test_of_exact_copies_the_first_is_kept(tmp_path: Path) -> None:
    rows = [event(), event(minute=1), event(), event(value=1.0), event(event="buy"), event()]
    prepare(tables(rows), "shop", settings(), tmp_path)
    kept, bad = outcome(tmp_path)
    assert bad == {2: "duplicate", 5: "duplicate"}
    assert kept.height == 4


def test_rows_with_an_equal_hash_are_no_duplicates_unless_they_are_equal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pl.Expr, "hash", lambda self: self.is_null().cast(pl.UInt64))
    rows = [event("u"), event("v"), event("u"), event("w")]
    prepare(tables(rows), "shop", settings(), tmp_path)
    assert outcome(tmp_path)[1] == {2: "duplicate"}


def test_all_rows_of_a_user_with_too_many_events_on_one_day_are_quarantined(tmp_path: Path) -> None:
    busy = [event("bot", minute=minute) for minute in range(10)]
    calm = [event("person", minute=24 * 60 * (minute // 9) + minute) for minute in range(20)]
    another_day = [event("bot", "b", minute=5 * 24 * 60)]
    prepare(tables(busy + calm + another_day), "shop", settings(max_events_per_user_day=9), tmp_path)
    kept, bad = outcome(tmp_path)
    assert bad == dict.fromkeys([*range(10), 30], "bot_like_user")
    assert kept["user_id"].unique().to_list() == ["person"]


def test_of_equal_item_ids_the_first_good_one_is_kept(tmp_path: Path) -> None:
    items = pl.DataFrame(
        {
            "item_id": ["a", "a", "a", "b", "a", "b"],
            "title": ["bad", "first", "first", "b", "second", "b"],
            "price": [-1.0, 2.0, 2.0, None, 3.0, None],
        }
    )
    report = prepare(tables([event()], items), "shop", settings(), tmp_path)
    kept, bad = outcome(tmp_path, "items")
    assert kept["title"].to_list() == ["first", "b"]
    assert bad == {0: "price_negative", 2: "duplicate", 4: "repeated_item_id", 5: "duplicate"}
    assert (report.items.read, report.items.kept) == (6, 2)


def test_events_on_a_rejected_item_are_orphans(tmp_path: Path) -> None:
    items = pl.DataFrame({"item_id": ["a", "b"], "price": [1.0, -1.0]})
    prepare(tables([event(), event(item="b"), event(item="c")], items), "shop", settings(), tmp_path)
    assert outcome(tmp_path)[1] == {1: "orphan_item", 2: "orphan_item"}


def test_quarantine_shows_the_row_as_it_was_found(tmp_path: Path) -> None:
    rows = [event("ü", value=float("nan")), event("u", value=-1.0, reject="returned"), event()]
    prepare(tables(rows), "shop", settings(), tmp_path)
    raw = [json.loads(text) for text in pl.read_parquet(tmp_path / "quarantine.parquet")["raw"]]
    assert raw[0] == {
        "user_id": "ü",
        "item_id": "a",
        "timestamp": "2024-05-01T00:00:00+00:00",
        "event": "view",
        "value": "NaN",
    }
    assert raw[1]["value"] == "-1.0"
    with_raw = [{**row, "raw": {"line": number, "sku": "x"}} for number, row in enumerate(rows)]
    prepare(tables(with_raw), "shop", settings(), tmp_path)
    assert pl.read_parquet(tmp_path / "quarantine.parquet")["raw"].to_list() == [
        '{"line":0,"sku":"x"}',
        '{"line":1,"sku":"x"}',
    ]


def test_without_a_limit_of_the_data_events_after_now_are_in_the_future(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    rows = [event(), event(), event()]
    rows[1]["timestamp"], rows[2]["timestamp"] = now - timedelta(minutes=1), now + timedelta(hours=1)
    raw = tables(rows)
    prepare(RawTables(raw.interactions, raw.items, FILE, FILE), "shop", settings(), tmp_path)
    assert outcome(tmp_path)[1] == {2: "future_timestamp"}


@pytest.mark.parametrize("empty", ["interactions", "items"])
def test_a_table_without_rows_is_one_line(tmp_path: Path, empty: str) -> None:
    raw = tables([event()])
    parts = {"interactions": raw.interactions, "items": raw.items}
    parts[empty] = parts[empty].head(0)
    with pytest.raises(DataError, match=rf"^{empty}\.x: no rows, expected"):
        prepare(
            RawTables(parts["interactions"], parts["items"], Path("interactions.x"), Path("items.x")),
            "shop",
            settings(),
            tmp_path,
        )


def test_a_damaged_file_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "events.parquet"
    pl.DataFrame([event(minute=minute) for minute in range(1000)]).write_parquet(path)
    content = bytearray(path.read_bytes())
    content[4:200] = b"\0" * 196
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"events.parquet: cannot be read \(.*\): repair or replace") as error:
        prepare(RawTables(pl.scan_parquet(path), ITEMS.lazy(), path, FILE), "shop", settings(), tmp_path)
    assert "\n" not in str(error.value)


def test_items_that_only_interactions_name_are_kept_if_one_of_these_is(tmp_path: Path) -> None:
    items = pl.DataFrame({"item_id": ["a", "b", "c", "", "d"], "derived": [None, True, True, True, None]})
    rows = [event(item="b"), event("", "c"), event(item=""), event(item="e")]
    report = prepare(tables(rows, items), "shop", settings(), tmp_path)
    kept, bad = outcome(tmp_path, "items")
    assert kept["item_id"].to_list() == ["a", "b", "d"]
    assert kept.columns == list(schema.ITEMS)
    assert bad == {}
    assert (report.items.read, report.items.kept, report.interactions.rejected) == (3, 3, 3)


def test_notes_are_counted_over_all_rows_and_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHUNK_ROWS", 2)
    notes = ["a", "\na\nb", "", None, "b"]
    rows = [event(minute=minute, notes=note) for minute, note in enumerate(notes)]
    rows.append(event("", value=-1.0, event="buy", notes="a"))
    report = prepare(tables(rows), "shop", settings(), tmp_path)
    assert report.interactions.notes == {"a": 3, "b": 2, "event read as return": 1}
    assert "notes" not in pl.read_parquet(tmp_path / "quarantine.parquet")["raw"][0]


def test_shares_of_gaps_and_of_items_that_nobody_liked(tmp_path: Path) -> None:
    items = pl.DataFrame({"item_id": ["a", "b"], "title": ["A", None], "price": [None, 1.0], "categories": [["k"], []]})
    report = prepare(tables([event(), event(item="b", weight=0.0)], items), "shop", settings(), tmp_path)
    assert report.item_gaps == {"title": 0.5, "text": 1.0, "categories": 0.5, "price": 0.5}
    assert (report.seen_items, report.items_without_likes) == (2, 1)
