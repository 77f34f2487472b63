"""Engines do the steps of the stages `prepare` and `split` that need all interactions at once: count, number and sort.

Each file of this folder is an engine; `engine` in `params.yaml` names one. All other steps need one row or one user at
a time and are the same code for every engine, and every engine writes the same bytes.
"""

from pathlib import Path
from typing import Protocol

import polars as pl

from recsys.errors import ParamsError
from recsys.params import EngineName


class Engine(Protocol):
    """The module of an engine. work: an existing empty folder for its own files, which the caller deletes."""

    def frequent(self, parts: Path, key: list[str], above: int, work: Path) -> pl.DataFrame:
        """Return the keys, distinct values of the columns `key`, that more than `above` rows have, in any order.
        parts: folder of Parquet files with the same columns."""
        ...

    def n_distinct(self, table: Path, key: list[str], work: Path) -> int:
        """Return how many keys, distinct values of the columns `key`, a Parquet file has."""
        ...

    def ordered(self, interactions: Path, item_ids: pl.Series, work: Path) -> tuple[pl.LazyFrame, pl.Series]:
        """Return the rows of a canonical table with row numbers in place of ids, and the ids of the users.

        interactions: a Parquet file; item_ids: (n_items,) str, each at its row number. The rows: user_row, item_row
        int32, timestamp, event, value, weight float32, sorted by user_row, timestamp, item_row, equal ones in the order
        of the file; the lazy table may read from `work`. The ids of the users: (n_users,) str, distinct, sorted by
        their UTF-8 bytes, each at its row number.

        Raises:
            DataError: see `numbering.not_in_items`
        """
        ...


def load(name: EngineName) -> Engine:
    """Import the engine.

    Raises:
        ParamsError: "engine: duckdb needs the package duckdb: pip install '.[duckdb]'"
    """
    try:
        if name == "duckdb":
            from recsys.data.engines import duckdb  # only who names it installs it

            return duckdb
        if name == "spark":
            from recsys.data.engines import spark

            return spark
    except ModuleNotFoundError as missing:
        raise ParamsError(f"engine: {name} needs the package {missing.name}: pip install '.[{name}]'") from None
    from recsys.data.engines import local

    return local
