"""Draws the raw tables of the shop, with the faults of real logs, in parts so that memory stays small at any size.

No fault is marked, as validation has to find it. Bad interactions are added to good ones, bad prices replace good ones.
"""

from collections.abc import Iterator
from datetime import timedelta

import numpy as np
import polars as pl

from recsys.datasets.shop_world import catalogue, sessions
from recsys.datasets.shop_world.catalogue import ids, start
from recsys.datasets.shop_world.items import Floats, Ints, Items
from recsys.datasets.shop_world.world import World

PART_EVENTS = 1_000_000
MOST_BOTS = 1_000  # maximum number of bots in a part, so that their ids differ between parts


def items(shop: World, seed: int) -> pl.DataFrame:
    """Return the raw catalogue, one row per item, some with a bad price."""
    rng = np.random.default_rng([seed, 1])
    published = catalogue.frame(shop.config, shop.items, rng)
    return negate_prices(published, shop.config.dirt_share, shop.items, rng)


def interactions(shop: World, seed: int) -> Iterator[pl.DataFrame]:
    """Yield the raw log, sorted by time, in parts of whole days with about PART_EVENTS rows; `config.events` in all.
    Columns: user_id, item_id, timestamp (us, UTC), event (view, cart, purchase), value (price x quantity or null)."""
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
        bad = bad_rows(clean, dirty[part], shop.config.users + part * MOST_BOTS, shop, rng)
        yield pl.concat([clean, bad]).sort("timestamp", maintain_order=True)


def _spread(total: int, shares: Floats) -> Ints:
    """Return `total`, split into whole numbers in proportion to `shares`."""
    bounds: Ints = np.rint(total * np.concatenate([[0.0], np.cumsum(shares)])).astype(np.int64)
    return np.diff(bounds)


def _day(shop: World, seed: int, day: int, n_events: int) -> pl.DataFrame:
    rng = np.random.default_rng([seed, 2, day])
    drawn = sessions.day(shop, day, n_events, rng)
    moments = catalogue.after_start(shop.config, day * 86_400 * 10**6 + (drawn.seconds * 1e6).astype(np.int64))
    quantity = 1 + rng.poisson(0.2, size=n_events)
    value = np.where(drawn.step == 2, np.round(shop.items.price[drawn.item] * quantity, 2), np.nan)
    rows = catalogue.events("p", drawn.user, drawn.item, moments, pl.Series(sessions.EVENTS)[drawn.step])
    return rows.with_columns(value=pl.Series(value).fill_nan(None))


KINDS = {"duplicate": 0.4, "bot": 0.3, "orphan": 0.2, "future": 0.1}
BOT_LOOKS = 500  # minimum number of events of a bot, unless all bad rows are fewer


def bad_rows(clean: pl.DataFrame, n_dirty: int, first_bot: int, shop: World, rng: np.random.Generator) -> pl.DataFrame:
    """Return `n_dirty` bad rows with the columns of `clean`, a mix of all KINDS. Duplicates are exact copies of rows.
    Orphans have an item_id that is not in the catalogue. Future rows are at least 30 days after the end of the log.
    Bots are users from row `first_bot` on who view one random item per second."""
    bounds = np.rint(n_dirty * np.cumsum([0.0, *KINDS.values()])).astype(int)
    n = dict(zip(KINDS, np.diff(bounds).tolist(), strict=True))
    lost = pl.Series(rng.integers(len(shop.items), 2 * len(shop.items), size=n["orphan"]))
    ahead_days = shop.config.days + pl.Series(rng.integers(30, 3000, size=n["future"]))
    return pl.concat(
        [
            _sample(clean, n["duplicate"], rng),
            _sample(clean, n["orphan"], rng).with_columns(item_id=ids("p", lost)),
            _sample(clean, n["future"], rng).with_columns(pl.col("timestamp") + ahead_days * timedelta(days=1)),
            _bots(clean, n["bot"], first_bot, shop, rng),
        ]
    )


def negate_prices(catalogue: pl.DataFrame, share: float, items: Items, rng: np.random.Generator) -> pl.DataFrame:
    """Return the catalogue with negative prices for a share of the items, all among the less popular half."""
    unpopular = items.popularity.argsort()[: (len(items) + 1) // 2]
    spoilt = np.zeros(len(items), dtype=bool)
    spoilt[rng.permutation(unpopular)[: round(share * len(items))]] = True
    return catalogue.with_columns(price=pl.when(pl.Series(spoilt)).then(-pl.col("price")).otherwise("price"))


def _sample(rows: pl.DataFrame, n: int, rng: np.random.Generator) -> pl.DataFrame:
    return rows[rng.integers(len(rows), size=n)]


def _bots(clean: pl.DataFrame, n: int, first_bot: int, shop: World, rng: np.random.Generator) -> pl.DataFrame:
    n_bots = max(1, n // BOT_LOOKS)
    bot = np.arange(n) * n_bots // max(1, n)
    looks = np.bincount(bot, minlength=n_bots)
    second = np.arange(n) - (np.cumsum(looks) - looks)[bot]
    begins = _sample(clean, n_bots, rng)["timestamp"]
    days = (begins - start(shop.config)).dt.total_days().to_list()
    looked_at = [
        rng.choice(np.flatnonzero(shop.items.pace(day)), size=size) for day, size in zip(days, looks, strict=True)
    ]
    moments = begins[bot] + pl.Series(second) * timedelta(seconds=1)
    views = catalogue.events("p", first_bot + bot, np.concatenate(looked_at), moments, "view")
    return views.with_columns(value=pl.lit(None, pl.Float64))
