"""Popularity counted by hand, and the catalogue as the online path sees it."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from recsys.bundle import catalogue

NOW = datetime(2024, 6, 30, tzinfo=UTC)
SCHEMA = pl.Schema(
    {"user_row": pl.Int32(), "item_row": pl.Int32(), "timestamp": pl.Datetime("us", "UTC"), "weight": pl.Float32()}
)


def items(n: int = 4) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "row": np.arange(n, dtype=np.int32),
            "item_id": [f"item {row}" for row in range(n)],
            "available": [row != 1 for row in range(n)],
            "first_seen": [None] + [NOW] * (n - 1),
        },
        schema_overrides={"first_seen": pl.Datetime("us", "UTC")},
    )


def counted(*events: tuple[int, int, float, float]) -> pl.DataFrame:
    """events: (user, item, age in days, weight); the half-life is 10 days."""
    rows = [(user, item, NOW - timedelta(days=age), weight) for user, item, age, weight in events]
    interactions = pl.DataFrame(rows, schema=SCHEMA, orient="row")
    return catalogue.with_popularity(items(), interactions, NOW.timestamp(), half_life_days=10)


def test_popularity_counts_users_and_recent_halves_with_age() -> None:
    frame = counted((0, 0, 0, 1.0), (1, 0, 10, 5.0), (2, 2, 20, 1.0))
    assert frame["popularity"].to_list() == [2, 0, 1, 0]
    assert frame["recent"].to_list() == [1.5, 0, 0.25, 0]


def test_a_user_counts_once_at_the_time_of_the_last_event() -> None:
    frame = counted((0, 0, 30, 1.0), (0, 0, 10, 1.0), (0, 0, 20, 1.0))
    assert (frame["popularity"][0], frame["recent"][0]) == (1, 0.5)


def test_events_of_weight_zero_are_no_likes() -> None:
    assert counted((0, 0, 0, 0.0))["popularity"].to_list() == [0, 0, 0, 0]


def test_the_share_that_liked_an_item_is_of_all_users_who_had_it() -> None:
    """User 0 came round to item 0, user 1 did not; item 2 pleased nobody."""
    frame = counted((0, 0, 9, 0.0), (0, 0, 3, 1.0), (0, 0, 1, 1.0), (1, 0, 2, 0.0), (1, 2, 4, 0.0), (1, 3, 0, 1.0))
    assert frame.schema["liked_share"] == pl.Float32
    np.testing.assert_array_equal(frame["liked_share"], [0.5, np.nan, 0, 1])


def test_an_event_after_now_counts_as_one_of_now() -> None:
    assert counted((0, 3, -5, 1.0))["recent"][3] == 1.0


def test_no_events_at_all() -> None:
    frame = counted()
    assert frame["recent"].to_list() == [0, 0, 0, 0]
    assert frame["recent"].dtype == pl.Float32


def test_written_and_read(tmp_path: Path) -> None:
    catalogue.write(counted((0, 2, 0, 1.0)), tmp_path)
    made = catalogue.load(tmp_path)
    assert len(made) == 4
    assert made.available.tolist() == [True, False, True, True]
    assert made.popularity.tolist() == made.recent.tolist() == [0, 0, 1, 0]
    np.testing.assert_array_equal(made.liked_share, [np.nan, np.nan, 1, np.nan])
    assert np.isnan(made.first_seen[0])
    assert made.first_seen[1] == NOW.timestamp()
    assert made.ids.position("item 3") == 3
    assert made.ids.external_id(2) == "item 2"


def test_a_bundle_of_before_says_nothing_of_who_did_not_like_an_item(tmp_path: Path) -> None:
    catalogue.write(counted((0, 2, 0, 1.0)).drop("liked_share"), tmp_path)
    made = catalogue.load(tmp_path)
    assert made.liked_share.dtype == np.float32
    assert np.isnan(made.liked_share).all()
