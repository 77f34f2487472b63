"""Adds the faults of real logs to the made-up data. None of them is marked: validation has to find them.

Bad interactions are added to the good ones. Bad prices replace good prices.
"""

from datetime import timedelta

import numpy as np
import polars as pl

from recsys.datasets.shop_world.catalogue import ids, start
from recsys.datasets.shop_world.items import Items
from recsys.datasets.shop_world.world import World

KINDS = {"duplicate": 0.4, "bot": 0.3, "orphan": 0.2, "future": 0.1}
BOT_LOOKS = 500  # at least, unless there are fewer in all


def bad_rows(clean: pl.DataFrame, n_dirty: int, first_bot: int, shop: World, rng: np.random.Generator) -> pl.DataFrame:
    """Return `n_dirty` bad rows with the columns of `clean`, a mix of all KINDS.

    Duplicates are exact copies. Orphans name an item that no catalogue holds. Future rows come from a clock that is
    ahead, by a month to years. Bots are users from row `first_bot` on who look at one random item a second.
    """
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
    """Make the prices of a share of all items negative, among the less popular half: a shop would notice the others."""
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
    return pl.DataFrame(
        {
            "user_id": ids("u", pl.Series(first_bot + bot)),
            "item_id": ids("p", pl.Series(np.concatenate(looked_at))),
            "timestamp": begins[bot] + pl.Series(second) * timedelta(seconds=1),
            "event": pl.repeat("view", n, eager=True),
            "value": pl.repeat(None, n, dtype=pl.Float64, eager=True),
        },
        schema=clean.schema,
    )
