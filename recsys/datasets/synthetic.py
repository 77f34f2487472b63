"""A made-up shop, drawn from the seed: no download, any size, and the taste of every user is known.

Users have moods (a department in a style), items words that tell theirs, demand is Zipf-distributed and moves with
trends and seasons, new users and items arrive all the time, and the log has the dirt of real ones. See `shop_world/`.
"""

import sys
from datetime import timedelta
from pathlib import Path

import polars as pl

from recsys.data.raw_tables import RawTables
from recsys.datasets.shop_world import log
from recsys.datasets.shop_world.catalogue import END
from recsys.datasets.shop_world.config import Config
from recsys.datasets.shop_world.world import world
from recsys.errors import DataError

__all__ = ["Config", "fetch", "tables"]

ITEMS, PARTS = "items.parquet", "interactions-*.parquet"


def fetch(config: Config, out: Path, seed: int) -> None:
    """Draw the shop and write `items.parquet` and `interactions-000.parquet`, -001, ... into `out`."""
    shop = world(config, seed)
    log.items(shop, seed).write_parquet(out / ITEMS)
    written = 0
    for part, events in enumerate(log.interactions(shop, seed)):
        events.write_parquet(out / PARTS.replace("*", f"{part:03d}"))
        written += len(events)
        print(f"synthetic: {written:,} of {config.events:,} events", file=sys.stderr)


def tables(config: Config, raw: Path) -> RawTables:
    """The raw tables as they are: the shop already speaks in canonical columns.

    Raises:
        DataError: "data/raw: no items.parquet; run the stage fetch"
    """
    for pattern in (ITEMS, PARTS):
        if not any(raw.glob(pattern)):
            raise DataError(f"{raw}: no {pattern}; run the stage fetch")
    return RawTables(
        interactions=pl.scan_parquet(sorted(raw.glob(PARTS))),
        items=pl.scan_parquet(raw / ITEMS),
        interactions_file=raw / PARTS,
        items_file=raw / ITEMS,
        latest=END + timedelta(days=1),  # sessions may run past the last midnight
    )
