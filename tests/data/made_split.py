"""A split in memory, through the files that the stage writes."""

import dataclasses
import tempfile
from pathlib import Path

import polars as pl

from recsys.data import split as splits
from recsys.data import split_protocols
from recsys.data.engines import Engine, local
from recsys.params import SplitParams


def make(
    interactions: pl.LazyFrame,
    items: pl.DataFrame,
    params: SplitParams,
    seed: int,
    described: pl.DataFrame | None = None,
    engine: Engine = local,
) -> splits.Split:
    """What `write` writes, read again."""
    with tempfile.TemporaryDirectory() as folder:
        table, out = Path(folder, "interactions.parquet"), Path(folder, "split")
        interactions.sink_parquet(table)
        out.mkdir()
        split_protocols.write(table, items, params, seed, out, described, engine)
        made = splits.load(out)
        return dataclasses.replace(made, events=made.interactions.lazy())  # the folder goes
