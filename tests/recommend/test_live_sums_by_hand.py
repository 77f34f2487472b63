"""The sums of live likes, worked out by hand: decay, the prior of the training, and what follows what."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from recsys.bundle import bundle
from recsys.bundle.bundle import Bundle
from recsys.contracts import LiveCounts
from recsys.recommend import live_counts
from recsys.recommend.live_counts import FEWEST_PERSONS, LIKES
from tests.support import bundles

TRAINED = bundles.NOW.timestamp()
DAY = 86_400.0
HALF_LIFE = 7.0  # days, of the hand-made bundle


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder: Path = tmp_path_factory.mktemp("sums") / "bundle"
    return bundle.load(bundles.write(folder))


def frame(*rows: tuple[str, str, float, float]) -> pl.DataFrame:
    """person, item_id, time, share."""
    return pl.DataFrame(rows, schema=LIKES, orient="row")


def counted(shop: Bundle, likes: pl.DataFrame, now: float) -> LiveCounts:
    return live_counts.count(likes, shop, now, shop.catalogue.ids.position)


def with_counts(shop: Bundle, popularity: list[float], recent: list[float]) -> Bundle:
    """The shop with these counts of its first items, 0 of the others."""
    padded = [each + [0.0] * (bundles.N_ITEMS - len(each)) for each in (popularity, recent)]
    arrays = [np.array(each, dtype=np.float32) for each in padded]
    return replace(shop, catalogue=replace(shop.catalogue, popularity=arrays[0], recent=arrays[1]))


def test_a_like_of_now_counts_in_full_and_the_largest_demand_is_first() -> None:
    now = TRAINED
    old, ahead = ("u:b", "y", now - DAY, 1.0), ("u:d", "z", now + 5, 0.25)
    likes = frame(("u:a", "x", now, 1.0), old, ("u:c", "y", now, 0.5), ahead)
    found = live_counts.demand(likes, 1 / DAY, now)
    assert found.rows() == [("x", 1.0, 1), ("y", 0.5, 2), ("z", 0.25, 1)]
    slow = live_counts.demand(
        frame(("u:a", "x", now, 1.0), ("u:b", "y", now - DAY, 1.0), ("u:c", "y", now, 1.0)), 1, now
    )
    assert slow.rows() == [("y", 1.5, 2), ("x", 1.0, 1)]


def test_equal_demands_are_in_the_order_of_their_ids() -> None:
    found = live_counts.demand(frame(("u:a", "y", TRAINED, 1.0), ("u:b", "x", TRAINED, 1.0)), 1, TRAINED)
    assert found["item_id"].to_list() == ["x", "y"]


@pytest.mark.parametrize(("age", "fresh"), [(-5.0, 1.0), (0.0, 1.0), (HALF_LIFE, 0.5), (2 * HALF_LIFE, 0.25)])
def test_the_counts_of_the_training_fade_down_to_the_prior(shop: Bundle, age: float, fresh: float) -> None:
    now = TRAINED + age * DAY
    found = counted(shop, frame(("u:a", bundles.ITEM_IDS[2], now, 1.0), ("u:b", "born since", now, 1.0)), now)
    recent = shop.catalogue.recent.astype(np.float64)
    prior = live_counts.prior_persons(shop.catalogue)
    expected = recent * (fresh + prior / recent.sum())
    expected[2] += 1.0
    assert found.total == pytest.approx(expected.sum(), rel=1e-9)
    assert found.demand == pytest.approx(expected, rel=1e-5)
    assert (
        found.popular.rows.tolist()
        == np.flatnonzero(expected)[np.argsort(-expected[expected > 0], kind="stable")].tolist()
    )


def test_where_less_than_one_like_is_recent_the_prior_still_counts_in_full(shop: Bundle) -> None:
    quiet = with_counts(shop, [8.0, 2.0], [0.04, 0.01])
    found = counted(quiet, frame(), TRAINED)
    prior = live_counts.prior_persons(quiet.catalogue)
    assert found.total == pytest.approx(0.05 + prior, rel=1e-6)


def test_counts_come_back_as_they_were_packed(shop: Bundle) -> None:
    now = TRAINED + DAY
    likes = [("u:a", bundles.ITEM_IDS[row], now - 60 + row, 1.0) for row in (1, 2, 3)]
    found = counted(shop, frame(*likes), now)
    again = live_counts.unpack(found.pack(), shop)
    assert (again.read_at, again.total, again.version) == (found.read_at, found.total, found.version)
    assert again.demand.tolist() == found.demand.tolist()
    assert again.follows.indptr.tolist() == found.follows.indptr.tolist()
    assert again.follows.scores.tolist() == found.follows.scores.tolist()
    assert again.popular.rows.tolist() == found.popular.rows.tolist()


@pytest.mark.parametrize(
    ("popularity", "recent", "prior"),
    [
        # as shares: 3/4, 1/4 and 1/2, 1/2; n = 8: drift 1/8 - (1 - 1/2) / 8 = 1/16, spread 3/8: 6 - 1
        ([6.0, 2.0], [4.0, 4.0], max(5.0, FEWEST_PERSONS / 0.5)),
        # n = 100: drift 1/8 - 1/200 = .12, spread 3/8: 3.125 - 1 = 2.125, less than the fewest
        ([6.0, 2.0], [50.0, 50.0], FEWEST_PERSONS / 0.5),
        # the same shares: chance explains all, so as many persons as there are
        ([60.0, 20.0], [30.0, 10.0], 40.0),
        # 12/16, 4/16 and 11/16, 5/16 of n = 16: drift 2/256 - (1 - 146/256) / 16 < 0
        ([12.0, 4.0], [11.0, 5.0], 16.0),
        # 0.9, 0.1 and 0.7, 0.3 of n = 50: drift .08 - .42 / 50 = .0716, spread .18: 1.514 in place of 3 / .7
        ([90.0, 10.0], [35.0, 15.0], FEWEST_PERSONS / 0.7),
        # six equal items of which one is gone: drift 1/30 - (1 - 1/5) / 40 = 1/75, spread 5/6: 61.5, at most 40
        ([10.0] * 6, [8.0] * 5, 40.0),
        ([10.0] * 6, [0.1] * 5, FEWEST_PERSONS / 0.2),
        # .75, .25 and .65, .35 of n = 1000: drift .02 - .455 / 1000, spread .375, whatever the sum of the shares
        ([750.0, 250.0], [650.0, 350.0], 0.375 / 0.019545 - 1),
        ([0.075, 0.025], [650.0, 350.0], 0.375 / 0.019545 - 1),
        ([5.0, 5.0], [0.0, 0.0], 0.0),
    ],
)  # fmt: skip
def test_the_prior_by_hand(shop: Bundle, popularity: list[float], recent: list[float], prior: float) -> None:
    assert live_counts.prior_persons(with_counts(shop, popularity, recent).catalogue) == pytest.approx(prior, rel=1e-5)


def test_the_share_of_a_person_divides_what_follows(shop: Bundle) -> None:
    """1 then 2 by a person of share 1/2, 1 then 3 by one of share 1, both a half-life ago."""
    now = TRAINED + DAY
    then = now - HALF_LIFE * DAY
    ids = bundles.ITEM_IDS
    likes = frame(
        ("u:a", ids[1], then, 0.5), ("u:a", ids[2], then, 0.5), ("u:b", ids[1], then, 1.0), ("u:b", ids[3], then, 1.0)
    )
    found = live_counts.co_visits(
        likes, {ids[row]: row for row in range(bundles.N_ITEMS)}, bundles.N_ITEMS, HALF_LIFE, now
    )
    worth = {2: 0.5 * 0.5, 3: 0.5 * 1.0}
    assert found.indptr[[0, 1, 2]].tolist() == [0, 0, 2]
    assert found.indptr[-1] == 2
    assert dict(zip(found.rows.tolist(), found.scores.tolist(), strict=True)) == pytest.approx(
        {row: each / (sum(worth.values()) + 2) for row, each in worth.items()}
    )


def test_items_further_apart_are_worth_less_and_beyond_the_window_nothing(shop: Bundle) -> None:
    now, ids = TRAINED + DAY, bundles.ITEM_IDS
    apart = live_counts.WINDOW + 1
    likes = frame(*(("u:a", ids[row], now + row - 10, 1.0) for row in range(apart + 1)))
    found = live_counts.co_visits(likes, {ids[row]: row for row in range(bundles.N_ITEMS)}, bundles.N_ITEMS, 1e6, now)
    part = slice(int(found.indptr[0]), int(found.indptr[1]))
    worth = {row: 1 / row for row in range(1, apart)}
    assert dict(zip(found.rows[part].tolist(), found.scores[part].tolist(), strict=True)) == pytest.approx(
        {row: each / (sum(worth.values()) + len(worth)) for row, each in worth.items()}, rel=1e-4
    )
