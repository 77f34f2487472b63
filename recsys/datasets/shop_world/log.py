"""The raw tables of the shop, drawn in parts so that memory does not grow with the number of events."""

from collections.abc import Iterator
from datetime import timedelta

import numpy as np
import polars as pl

from recsys.datasets.shop_world import catalogue, dirt, sessions
from recsys.datasets.shop_world.items import Floats, Ints
from recsys.datasets.shop_world.world import World

PART_EVENTS = 1_000_000
MOST_BOTS = 1_000  # in a part; keeps the ids of bots apart


def items(shop: World, seed: int) -> pl.DataFrame:
    """The raw catalogue, one row per item, some with a bad price."""
    rng = np.random.default_rng([seed, 1])
    published = catalogue.frame(shop.config, shop.items, rng)
    return dirt.negate_prices(published, shop.config.dirt_share, shop.items, rng)


def interactions(shop: World, seed: int) -> Iterator[pl.DataFrame]:
    """The raw log in parts of whole days, about PART_EVENTS rows each, by time; `config.events` rows in all.

    Columns: user_id, item_id, timestamp (us, UTC), event (view, cart or purchase), value (price x quantity, or null).
    """
    n_dirty = round(shop.config.dirt_share * shop.config.events)
    per_day = _spread(shop.config.events - n_dirty, sessions.traffic(shop))
    part_of_day = np.cumsum(per_day) // PART_EVENTS
    numbers = np.unique(part_of_day)
    per_part = np.array([per_day[part_of_day == number].sum() for number in numbers])
    dirty = _spread(n_dirty, per_part / per_part.sum())
    for part, number in enumerate(numbers):
        days = np.flatnonzero((part_of_day == number) & (per_day > 0))
        clean = pl.concat([_day(shop, seed, day, per_day[day]) for day in days.tolist()])
        rng = np.random.default_rng([seed, 3, part])
        bad = dirt.bad_rows(clean, dirty[part], shop.config.users + part * MOST_BOTS, shop, rng)
        yield pl.concat([clean, bad]).sort("timestamp", maintain_order=True)


def _spread(total: int, shares: Floats) -> Ints:
    """Split `total` into whole numbers in proportion to `shares`, by rounding the running sum."""
    bounds: Ints = np.rint(total * np.concatenate([[0.0], np.cumsum(shares)])).astype(np.int64)
    return np.diff(bounds)


def _day(shop: World, seed: int, day: int, n_events: int) -> pl.DataFrame:
    rng = np.random.default_rng([seed, 2, day])
    events = sessions.day(shop, day, n_events, rng)
    midnight = catalogue.start(shop.config) + timedelta(days=day)
    quantity = 1 + rng.poisson(0.2, size=n_events)
    value = np.round(shop.items.price[events.item] * quantity, 2)
    return pl.DataFrame(
        {
            "user_id": catalogue.ids("u", pl.Series(events.user)),
            "item_id": catalogue.ids("p", pl.Series(events.item)),
            "timestamp": midnight + pl.Series((events.seconds * 1e6).astype(np.int64)).cast(pl.Duration("us")),
            "event": pl.Series(sessions.EVENTS)[events.step],
            "value": pl.Series(np.where(events.step == 2, value, np.nan)).fill_nan(None),
        }
    )
