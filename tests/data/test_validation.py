"""Each rule of the canonical tables: which row breaks it, and under which name."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from recsys.data.schema import ITEMS
from recsys.data.validation import canonical_interactions, canonical_items, column_faults, interaction_faults, judge
from recsys.errors import DataError
from recsys.schemas.field_limits import MAX_CATEGORIES, MAX_ID_LENGTH, MAX_TITLE_LENGTH

WEIGHTS = {"view": 1.0, "buy": 5.0}
NOON = datetime(2024, 5, 1, 12)  # noqa: DTZ001 - without a zone
LATEST = datetime(2025, 1, 1, tzinfo=UTC)
FILE = Path("events.csv")
GOOD = {"user_id": "u", "item_id": "i", "timestamp": datetime(2024, 5, 1, tzinfo=UTC), "event": "view", "value": 2.5}
ITEM = {"item_id": "i", "title": "t", "text": "x", "categories": ["a"], "price": 1.0, "available": True}
RULES = interaction_faults(WEIGHTS, pl.Series(["i", "ü"]), LATEST)


def judged(rows: pl.LazyFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    return judge(canonical_interactions(rows, WEIGHTS, FILE).collect(), RULES)


def judged_items(rows: pl.LazyFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    return judge(canonical_items(rows, FILE).collect(), column_faults(ITEMS))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"user_id": None}, "user_id_missing"),
        ({"user_id": ""}, "user_id_empty"),
        ({"user_id": "x" * (MAX_ID_LENGTH + 1)}, "user_id_too_long"),
        ({"item_id": None}, "item_id_missing"),
        ({"item_id": ""}, "item_id_empty"),
        ({"item_id": "i2"}, "orphan_item"),
        ({"timestamp": None}, "timestamp_missing"),
        ({"timestamp": datetime(1970, 1, 20, tzinfo=UTC)}, "timestamp_before_1990"),
        ({"timestamp": LATEST + timedelta(microseconds=1)}, "future_timestamp"),
        ({"event": None}, "event_missing"),
        ({"event": "like"}, "unknown_event"),
        ({"value": float("nan")}, "value_nan"),
        ({"value": float("inf")}, "value_infinite"),
        ({"value": 1.1e12}, "value_too_large"),
        ({"user_id": "u\x00"}, "user_id_control_character"),
        ({"item_id": "i "}, "item_id_padded"),
        ({"user_id": "u\u200b"}, "user_id_invisible"),
        ({"timestamp": datetime(2100, 1, 1, tzinfo=UTC)}, "timestamp_after_2100"),
        ({"weight": -1.0}, "weight_negative"),
        ({"reject": "cancelled", "user_id": None}, "cancelled"),
        ({"event": "like", "item_id": "i2"}, "unknown_event"),
        ({"timestamp": LATEST + timedelta(days=1), "user_id": ""}, "user_id_empty"),
    ],
)
def test_a_bad_interaction_is_rejected_under_the_first_rule_it_breaks(change: dict[str, Any], reason: str) -> None:
    good, bad = judged(pl.LazyFrame([GOOD, {**GOOD, **change}, GOOD], infer_schema_length=None))
    assert bad.rows() == [(1, reason)]
    assert good["row"].to_list() == [0, 2]


@pytest.mark.parametrize(
    "change",
    [
        {"value": None},
        {"value": -3.0},
        {"timestamp": LATEST},
        {"item_id": "ü"},
        {"user_id": "名前 👩🚀"},
        {"user_id": "x" * MAX_ID_LENGTH},
        {"weight": 0.0},
    ],
)
def test_what_is_odd_but_right_is_kept(change: dict[str, Any]) -> None:
    good, bad = judged(pl.LazyFrame([{**GOOD, **change}]))
    assert bad.is_empty()
    assert good.select(change.keys()).row(0, named=True) == change


def test_the_weight_is_that_of_the_event_unless_it_is_given() -> None:
    rows = [{**GOOD, "weight": None}, {**GOOD, "event": "buy", "weight": None}, {**GOOD, "weight": 0.5}]
    assert judged(pl.LazyFrame(rows, infer_schema_length=None))[0]["weight"].to_list() == [1.0, 5.0, 0.5]
    assert judged(pl.LazyFrame([GOOD]))[0]["weight"].to_list() == [1.0]


def test_text_that_is_no_number_rejects_only_its_row() -> None:
    good, bad = judged(pl.LazyFrame([{**GOOD, "value": "1.5"}, {**GOOD, "value": "1,5"}, {**GOOD, "value": None}]))
    assert bad.rows() == [(1, "value_unreadable")]
    assert good["value"].to_list() == [1.5, None]


@pytest.mark.parametrize(
    ("timestamps", "read"),
    [
        (pl.Series([NOON]), datetime(2024, 5, 1, 12, tzinfo=UTC)),
        (pl.Series([NOON], dtype=pl.Datetime("ns")), datetime(2024, 5, 1, 12, tzinfo=UTC)),
        (
            pl.Series([NOON]).dt.replace_time_zone("Europe/Berlin"),
            datetime(2024, 5, 1, 10, tzinfo=UTC),
        ),
        (pl.Series([date(2024, 5, 1)]), datetime(2024, 5, 1, tzinfo=UTC)),
        (pl.Series([1_714_564_800_000_000]), datetime(2024, 5, 1, 12, tzinfo=UTC)),
    ],
)
def test_any_kind_of_time_becomes_utc(timestamps: pl.Series, read: datetime) -> None:
    good, _ = judged(pl.DataFrame(GOOD).with_columns(timestamps.alias("timestamp")).lazy())
    assert good["timestamp"].to_list() == [read]


def test_whole_numbers_are_fine_as_ids() -> None:
    good, _ = judge(
        canonical_interactions(pl.LazyFrame([{**GOOD, "user_id": 7, "item_id": 9}]), WEIGHTS, FILE).collect(),
        interaction_faults(WEIGHTS, pl.Series(["9"]), LATEST),
    )
    assert good.select("user_id", "item_id").row(0) == ("7", "9")


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (
            {"timestamp": "yesterday"},
            "events.csv: column 'timestamp' is String, for example 'yesterday', expected Datetime,",
        ),
        (
            {"user_id": 7.5},
            "events.csv: column 'user_id' is Float64, for example 7.5, expected String or whole numbers",
        ),
        ({"value": [1.0]}, "events.csv: column 'value' is List(Float64), for example [1.0], expected numbers"),
    ],
)
def test_a_column_of_a_wrong_dtype_is_one_line_with_file_column_and_value(change: dict[str, Any], line: str) -> None:
    with pytest.raises(DataError) as error:
        judged(pl.LazyFrame([{**GOOD, **change}]))
    assert str(error.value).startswith(line)
    assert "\n" not in str(error.value)


def test_a_missing_column_is_one_line_with_the_columns_there_are() -> None:
    with pytest.raises(
        DataError, match=r"^events.csv: no column 'user_id', the columns are 'item_id', 'timestamp', 'ev"
    ):
        judged(pl.LazyFrame([GOOD]).drop("user_id"))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"item_id": ""}, "item_id_empty"),
        ({"title": "x" * 10_000_000}, "title_too_long"),
        ({"price": -0.01}, "price_negative"),
        ({"price": float("nan")}, "price_nan"),
        ({"categories": ["a", ""]}, "categories_contain_bad_name"),
        ({"categories": ["a", "b\nc"]}, "categories_contain_bad_name"),
        ({"title": "a\nb"}, "title_control_character"),
        ({"price": float("inf")}, "price_infinite"),
        ({"categories": ["a"] * (MAX_CATEGORIES + 1)}, "categories_too_long"),
        ({"first_seen": datetime(1970, 1, 1, tzinfo=UTC)}, "first_seen_before_1990"),
    ],
)
def test_a_bad_item_is_rejected_under_the_first_rule_it_breaks(change: dict[str, Any], reason: str) -> None:
    good, bad = judged_items(pl.LazyFrame([ITEM, {**ITEM, **change}], infer_schema_length=None))
    assert bad.rows() == [(1, reason)]
    assert good["row"].to_list() == [0]


def test_what_is_not_known_of_an_item_gets_a_neutral_value() -> None:
    bare, _ = judged_items(pl.LazyFrame({"item_id": ["i"]}))
    nulls, _ = judged_items(pl.LazyFrame([{**dict.fromkeys(ITEM), "item_id": "i"}]))
    assert bare.row(0) == nulls.row(0) == (0, "i", "i", "", [], None, True, None, None, None)
    assert judged_items(pl.LazyFrame([{**ITEM, "title": "x" * MAX_TITLE_LENGTH, "price": 0.0}]))[1].is_empty()


ORDERS = {"purchase": 5.0, "buy": 2.0, "view": 1.0, "rating": 1.0, "return": 0.0}


@pytest.mark.parametrize(
    ("event", "value", "like_from", "read"),
    [
        ("purchase", -20.0, None, ("return", 20.0, 0.0)),
        ("buy", -20.0, None, ("return", 20.0, 0.0)),
        ("return", -20.0, None, ("return", 20.0, 0.0)),
        ("return", 20.0, None, ("return", 20.0, 0.0)),
        ("return", None, 3.0, ("return", None, 0.0)),
        ("purchase", 20.0, None, ("purchase", 20.0, 5.0)),
        ("purchase", 0.0, None, ("purchase", 0.0, 5.0)),
        ("view", -1.0, None, ("view", -1.0, 0.0)),
        ("rating", -1.0, None, ("rating", -1.0, 0.0)),
        ("rating", -1.0, -2.0, ("rating", -1.0, 1.0)),
        ("buy", -1.0, -2.0, ("buy", -1.0, 2.0)),
        ("purchase", -1.0, -2.0, ("return", 1.0, 0.0)),
        ("rating", 3.5, 4.0, ("rating", 3.5, 0.0)),
        ("rating", 4.0, 4.0, ("rating", 4.0, 1.0)),
        ("rating", None, 4.0, ("rating", None, 1.0)),
        ("rating", 3.5, {"rating": 4.0}, ("rating", 3.5, 0.0)),
        ("buy", 3.5, {"rating": 4.0}, ("buy", 3.5, 2.0)),
    ],
)
def test_what_was_given_back_or_rated_low_is_no_like(
    event: str, value: float | None, like_from: Any, read: tuple[str, float | None, float]
) -> None:
    row = {**GOOD, "event": event, "value": value}
    table = pl.LazyFrame([row], schema_overrides={"value": pl.Float64})
    canonical = canonical_interactions(table, ORDERS, FILE, like_from).collect()
    assert canonical.select("event", "value", "weight").row(0) == read
    good, _ = judge(canonical, interaction_faults(["buy"], pl.Series(["i"]), LATEST))
    assert good.height == (read[0] in ("buy", "return"))  # a return needs no weight of its own


def test_a_weight_of_the_data_makes_no_like_of_a_return() -> None:
    row = {**GOOD, "event": "purchase", "value": -1.0, "weight": 3.0}
    assert canonical_interactions(pl.LazyFrame([row]), ORDERS, FILE).collect()["weight"].to_list() == [0.0]
