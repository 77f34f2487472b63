"""The next event is asked for at its moment, with what was known then and nothing of later."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from benchmarks.models.next_event import by_hours
from recsys.contracts import epoch_seconds
from recsys.evaluation import next_event
from recsys.recommend.recommender import Recommender
from tests.evaluation import world


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> world.World:
    folder: Path = tmp_path_factory.mktemp("world")
    return world.make(folder, 1, lambda n: np.eye(n, 8, dtype=np.float32) + np.float32(0.1))


def test_each_event_of_the_window_is_a_question_unless_its_pair_is_old(made: world.World) -> None:
    found = next_event.replay({"popular": Recommender(made.bundle, "popular")}, made.split, "test", 10_000, 0.0, 1)
    pairs = made.split.interactions.sort("timestamp", "user_row", "item_row").with_columns(
        first=pl.struct("user_row", "item_row").is_first_distinct()
    )
    asked = pairs.filter("first", pl.col("fold") == 2)
    assert found.targets.tolist() == asked["item_row"].to_list()
    hours = (epoch_seconds(asked["timestamp"]) - made.split.now("test")) / 3600
    assert np.allclose(found.hours, hours)
    table = by_hours(found, (0.0, 1.0))
    assert table.filter(pl.col("from_hours").is_null())["events"].to_list() == [asked.height] * 2
    parts = table.filter(pl.col("from_hours").is_not_null())
    assert parts.group_by("variant").agg(pl.col("events").sum())["events"].to_list() == [asked.height] * 2


def test_live_lists_know_what_happened_until_then_and_nothing_later(made: world.World) -> None:
    """The lists of the first questions are the same when the rest of the window never happens."""
    few = 20
    recommenders = {"popular": Recommender(made.bundle, "popular")}
    whole = next_event.replay(recommenders, made.split, "test", 10_000, 0.0, 1)
    window = made.split.interactions.filter(pl.col("fold") == 2).sort("timestamp")
    end = window["timestamp"][few + 5]
    cut = made.split.events.filter(pl.col("timestamp") <= end)
    short = type(made.split)(cut, made.split.catalogue, made.split.users, made.split.facts)
    before = next_event.replay(recommenders, short, "test", 10_000, 0.0, 1)
    for name, lists in before.lists.items():
        assert (lists == whole.lists[name][: len(lists)]).all()
    frozen, live = whole.lists["popular"], whole.lists["popular" + next_event.LIVE]
    assert (frozen != live).any()


def test_the_sample_is_bounded_and_seeded(made: world.World) -> None:
    recommenders = {"popular": Recommender(made.bundle, "popular")}
    found = [next_event.replay(recommenders, made.split, "test", 15, 600.0, seed) for seed in (1, 1, 2)]
    assert [len(each.targets) for each in found] == [15] * 3
    assert (found[0].targets == found[1].targets).all()
    assert (found[0].targets != found[2].targets).any()
