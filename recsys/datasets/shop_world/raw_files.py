"""The raw files of the synthetic data: `fetch` and `tables` of the adapters synthetic, news, grocery and control."""

import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import polars as pl

from recsys.data.raw_tables import RawTables
from recsys.datasets.shop_world import control, grocery, log, news
from recsys.datasets.shop_world.catalogue import END
from recsys.datasets.shop_world.config import Config
from recsys.datasets.shop_world.world import world
from recsys.errors import DataError

__all__ = ["Config", "fetch", "tables"]

ITEMS, PARTS = "items.parquet", "interactions-*.parquet"
# functions that draw items and interactions at once; the shop is drawn in parts
SCENARIOS: dict[str, Callable[[Config, int], tuple[pl.DataFrame, pl.DataFrame]]] = {
    "news": news.draw,
    "grocery": grocery.draw,
    "control": control.draw,
}


def fetch(config: Config, out: Path, seed: int) -> None:
    """Draw the data and write `items.parquet` and `interactions-000.parquet`, -001, ... into `out`."""
    if config.scenario == "shop":
        shop = world(config, seed)
        items, parts = log.items(shop, seed), log.interactions(shop, seed)
    else:
        items, events = SCENARIOS[config.scenario](config, seed)
        parts = iter([events])
    items.write_parquet(out / ITEMS)
    written = 0
    for part, events in enumerate(parts):
        events.write_parquet(out / PARTS.replace("*", f"{part:03d}"))
        written += len(events)
        print(f"{config.scenario}: {written:,} of {config.events:,} events", file=sys.stderr)


def tables(config: Config, raw: Path) -> RawTables:
    """Return the raw tables, which already have canonical columns.

    Raises:
        DataError: "data/raw: no items.parquet; run `dvc repro fetch`"
    """
    for pattern in (ITEMS, PARTS):
        if not any(raw.glob(pattern)):
            raise DataError(f"{raw}: no {pattern}; run `dvc repro fetch`")
    return RawTables(
        interactions=pl.scan_parquet(sorted(raw.glob(PARTS))),
        items=pl.scan_parquet(raw / ITEMS),
        interactions_file=raw / PARTS,
        items_file=raw / ITEMS,
        latest=END + timedelta(days=1),  # sessions may end after the last midnight
    )
