"""Scenario `grocery`: every user has staples and buys each again at its own interval; few purchases are of new items.

`Households.gap` is the mean number of days between two purchases of a staple by its user. On each trip, part of the
basket are the staples that are most overdue; the other items are drawn by popularity and liked aisles.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl

from recsys.datasets.shop_world.catalogue import after_start, events, ids
from recsys.datasets.shop_world.config import Config
from recsys.datasets.shop_world.items import Floats, Ints

N_AISLES, N_LIKED = 20, 4
LIKED_AISLE = 4.0  # factor of the attraction of items in a liked aisle
N_STAPLES, STAPLE_SHARE = 12, 0.65  # number per user; share of the purchases
BASKET, MOST_IN_BASKET = 6.0, 20
CYCLE_SIGMA, OWN_SIGMA = 0.7, 0.3  # of the usual time: between items, and between the users of one item
OVERDUE_SIGMA, ACTIVITY_SIGMA = 0.2, 0.4
ZIPF_EXPONENT, ZIPF_OFFSET = 0.9, 5.0
ITEM_S = 5.0


@dataclass(frozen=True)
class Households:
    """The users and their trips. trip_user: (n_trips,) user rows; trip_day: (n_trips,) days since the log began,
    ascending per user; size: (n_trips,) number of items bought. pull: (n_users, n_items) log of each item's attraction.
    staples: (n_users, N_STAPLES) item rows; gap: same shape, days between purchases. aisle: (n_items,) number of the
    aisle; arrives: (n_items,) days since the log began."""

    trip_user: Ints
    trip_day: Floats
    size: Ints
    pull: Floats
    staples: Ints
    gap: Floats
    aisle: Ints
    arrives: Floats


def households(config: Config, seed: int) -> Households:
    """Draw the aisles and staples of the users, and the days of their trips."""
    rng = np.random.default_rng([seed, 0])
    users, items = config.users, config.items
    size = np.minimum(1 + rng.poisson(BASKET - 1, size=config.events), MOST_IN_BASKET)
    size = size[: np.searchsorted(np.cumsum(size), config.events) + 1]
    activity = rng.lognormal(0.0, ACTIVITY_SIGMA, size=users)
    trip_user = np.sort(rng.choice(users, size=len(size), p=activity / activity.sum()))
    number, trips = _number(trip_user), np.bincount(trip_user, minlength=users)
    trip_day = (number + rng.random(len(size))) / trips[trip_user] * config.days

    aisle = rng.integers(N_AISLES, size=items)
    arrives = np.zeros(items)
    new = rng.permutation(items)[: round(config.new_item_share * items)]
    arrives[new] = rng.uniform(1, config.days, size=len(new))
    popularity = -ZIPF_EXPONENT * np.log(rng.permutation(items) + ZIPF_OFFSET)
    liked = rng.random((users, N_AISLES)).argsort(axis=1) < N_LIKED
    pull = popularity + np.log(LIKED_AISLE) * liked[:, aisle]
    old = np.where(arrives > 0, -np.inf, pull + rng.gumbel(size=pull.shape))
    staples = np.argsort(-old, axis=1)[:, :N_STAPLES]
    pull[np.arange(users)[:, None], staples] = -np.inf  # staples are bought only when they are due

    cycle = rng.lognormal(0.0, CYCLE_SIGMA, size=items)
    gap = cycle[staples] * rng.lognormal(0.0, OWN_SIGMA, size=staples.shape)
    wanted = STAPLE_SHARE * BASKET * np.maximum(trips, 1) / config.days  # staples per day, from which the gaps follow
    gap *= ((1 / gap).sum(axis=1) / wanted)[:, None]
    return Households(trip_user, trip_day, size, pull, staples, gap, aisle, arrives)


def draw(config: Config, seed: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return raw items and exactly `config.events` purchases, sorted by time."""
    of, rng = households(config, seed), np.random.default_rng([seed, 1])
    bought = _baskets(of, rng)
    place = np.arange(MOST_IN_BASKET)
    taken = place < of.size[:, None]
    day = of.trip_day[:, None] + place * (ITEM_S / 86_400)
    who = np.broadcast_to(of.trip_user[:, None], bought.shape)[taken]
    purchases = events("g", who, bought[taken], after_start(config, day[taken] * 86_400e6), "purchase")
    items = pl.DataFrame(
        {
            "item_id": ids("g", pl.Series(np.arange(config.items))),
            "categories": [[f"Aisle {number + 1}"] for number in of.aisle.tolist()],
            "first_seen": after_start(config, of.arrives * 86_400e6),
        }
    )
    return items, purchases.head(config.events).sort("timestamp", maintain_order=True)


def _baskets(of: Households, rng: np.random.Generator) -> Ints:
    """Return (n_trips, MOST_IN_BASKET) item rows, of which the first `size` of each trip are bought."""
    number = _number(of.trip_user)
    last = -rng.random(of.gap.shape) * of.gap  # days: each staple was bought before the log began
    n_staples = np.minimum(rng.binomial(of.size, STAPLE_SHARE), N_STAPLES)
    bought = np.empty((len(of.trip_user), MOST_IN_BASKET), dtype=np.int64)
    for turn in range(int(number.max()) + 1):
        trips = np.flatnonzero(number == turn)
        user, day = of.trip_user[trips], of.trip_day[trips, None]
        overdue = (day - last[user]) / of.gap[user] * rng.lognormal(0.0, OVERDUE_SIGMA, size=of.gap[user].shape)
        order = np.argsort(-overdue, axis=1)
        due = np.argsort(order, axis=1) < n_staples[trips, None]
        last[user] = np.where(due, day, last[user])
        tried = of.pull[user] + rng.gumbel(size=of.pull[user].shape)
        tried[of.arrives > day] = -np.inf
        others = np.argsort(-tried, axis=1)[:, :MOST_IN_BASKET]
        first = np.take_along_axis(of.staples[user], order, axis=1)
        both = np.concatenate([first, others], axis=1)
        rank = np.concatenate([np.where(np.sort(~due, axis=1), 99, 0), np.full(others.shape, 1)], axis=1)
        best = np.argsort(rank, axis=1, kind="stable")[:, :MOST_IN_BASKET]
        bought[trips] = np.take_along_axis(both, best, axis=1)
    return bought


def _number(trip_user: Ints) -> Ints:
    """Return (n_trips,) the position of each trip among its user's trips, from 0; trip_user: ascending."""
    return np.arange(len(trip_user)) - np.searchsorted(trip_user, trip_user)
