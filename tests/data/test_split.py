import dataclasses
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl
import pytest

from recsys.contracts import EMPTY_HISTORY, History
from recsys.data import split as splits
from recsys.errors import DataError
from recsys.output import file_hash

DAYS = [datetime(2024, 1, day, tzinfo=UTC) for day in range(1, 7)]


def split(query_time: Literal["now", "last_event"] = "now") -> splits.Split:
    interactions = pl.DataFrame(
        {
            "user_row": [0, 0, 0, 1, 1, 2],
            "item_row": [0, 1, 0, 1, 2, 3],
            "timestamp": DAYS,
            "event": ["view", "purchase", "purchase", "purchase", "purchase", "view"],
            "value": [None] * 6,
            "weight": [1.0] * 6,
            "fold": [0, 1, 2, 0, 2, 2],
        },
        schema_overrides={"user_row": pl.Int32, "item_row": pl.Int32, "value": pl.Float32, "fold": pl.UInt8},
    )
    facts = splits.Facts(
        protocol="global_time",
        target_events=["purchase"],
        allow_repeat=False,
        now={"valid": DAYS[1], "test": DAYS[2], "all": DAYS[5]},
        query_time=query_time,
        n_users=3,
        n_items=4,
        events={"train": 2, "valid": 1, "test": 3},
        windows={},
    )
    catalogue = pl.DataFrame({"row": np.arange(4, dtype=np.int32), "item_id": list("abcd")})
    users = pl.DataFrame({"user_row": np.arange(3, dtype=np.int32), "user_id": list("xyz")})
    return splits.Split(interactions.lazy(), catalogue, users, facts)


def test_where_the_chunks_of_a_table_end_does_not_show(tmp_path: Path) -> None:
    made, hashes = split(), []
    many = pl.DataFrame({"user_row": np.arange(300_000, dtype=np.int32)}).with_columns(pl.format("u{}", "user_row"))
    for name, users in (("one", many), ("two", pl.concat([many[:123_000], many[123_000:]], rechunk=False))):
        (tmp_path / name).mkdir()
        splits.save(dataclasses.replace(made, users=users), tmp_path / name)
        hashes.append(file_hash(tmp_path / name / "users.parquet"))
    assert users.n_chunks() == 2
    assert hashes[0] == hashes[1]


def test_a_fold_is_fitted_on_all_windows_before_its_own() -> None:
    assert [split().fit_rows(fold).height for fold in ("valid", "test", "all")] == [2, 3, 6]


def test_targets_are_new_pairs_of_target_events() -> None:
    assert split().targets("valid").rows() == [(0, 1)]
    assert split().targets("test").rows() == [(1, 2)]  # (0, 0) was seen before, (2, 3) is only a view


def test_a_target_event_that_is_no_like_is_no_target() -> None:
    made = split()
    weights = pl.Series("weight", [1.0] * 4 + [0.0, 1.0])
    rated_low = dataclasses.replace(made, events=made.events.with_columns(weights))
    assert rated_low.targets("test").is_empty()


def test_cold_means_no_event_in_the_fit_set() -> None:
    assert split().cold_items("test").tolist() == [2, 3]


def test_the_moment_of_the_query_follows_the_protocol() -> None:
    history = History(np.array([1], np.int32), np.ones(1, np.float32), np.array([5.0]))
    assert split().query_now("test", history) == DAYS[2].timestamp()
    assert split("last_event").query_now("test", history) == 5.0
    assert split("last_event").query_now("test", EMPTY_HISTORY) == DAYS[2].timestamp()


def test_a_history_is_what_the_user_did_before_the_window_oldest_first() -> None:
    first, second, none = split().histories("test", np.array([0, 1, 2], np.int32))
    assert first.rows.tolist() == [0, 1]
    assert first.times.tolist() == [DAYS[0].timestamp(), DAYS[1].timestamp()]
    assert second.rows.tolist() == [1]
    assert len(none) == 0


def test_a_model_is_fitted_on_what_came_before_and_knows_all_items() -> None:
    training = split().training("valid", seed=3, threads=1)
    assert training.interactions["fold"].to_list() == [0, 0]
    assert (training.n_users, training.n_items, training.now) == (3, 4, DAYS[1].timestamp())


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    splits.save(split(), tmp_path)
    again = splits.load(tmp_path)
    assert again.facts == split().facts
    for name in ("interactions", "catalogue", "users"):
        assert getattr(again, name).equals(getattr(split(), name))


@pytest.mark.parametrize("name", ["split.json", "users.parquet"])
def test_an_unreadable_split_is_one_clear_line(tmp_path: Path, name: str) -> None:
    splits.save(split(), tmp_path)
    (tmp_path / name).write_text("{")
    with pytest.raises(DataError, match="not a readable split") as error:
        splits.load(tmp_path)
    assert "\n" not in str(error.value)
