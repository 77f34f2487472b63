"""The engine `spark`: Spark SQL, on this machine or a cluster, see docs/spark.md."""

from pathlib import Path

import polars as pl

from recsys.data.numbering import not_in_items
from recsys.data.spark import address, session, written

PLACE = "_metadata.row_index"  # Spark's column with the position of a row in its Parquet file


def frequent(parts: Path, key: list[str], above: int, work: Path) -> pl.DataFrame:
    """Implement `Engine.frequent`."""
    with session() as spark:
        counts = spark.read.parquet(address(parts)).groupBy(*key).count()
        found = written(counts.filter(f"count > {above}").select(*key), work / "frequent")
    types = pl.read_parquet_schema(next(parts.glob("*.parquet")))  # Spark has no unsigned numbers
    return found.cast({name: types[name] for name in key}).collect()


def n_distinct(table: Path, key: list[str], work: Path) -> int:
    """Implement `Engine.n_distinct`."""
    with session() as spark:
        return int(spark.read.parquet(address(table)).select(*key).distinct().count())


def ordered(interactions: Path, item_ids: pl.Series, work: Path) -> tuple[pl.LazyFrame, pl.Series]:
    """Implement `Engine.ordered`."""
    items, users = work / "items.parquet", work / "users.parquet"
    item_ids.alias("item_id").to_frame().write_parquet(items)
    with session() as spark:
        events = spark.read.parquet(address(interactions)).selectExpr("*", f"{PLACE} AS place")
        rows_of_items = spark.read.parquet(address(items)).selectExpr("item_id", f"int({PLACE}) AS item_row")
        unknown = events.join(rows_of_items, "item_id", "left_anti").agg({"item_id": "min"}).first()[0]
        if unknown is not None:
            raise not_in_items(unknown)
        user_ids = written(events.select("user_id").distinct(), work / "distinct").collect()["user_id"].sort()
        user_ids.to_frame().write_parquet(users)
        rows_of_users = spark.read.parquet(address(users)).selectExpr("user_id", f"int({PLACE}) AS user_row")
        events = events.join(rows_of_users, "user_id").join(rows_of_items, "item_id")
        events = events.orderBy("user_row", "timestamp", "item_row", "place").selectExpr(
            "user_row", "item_row", "timestamp", "event", "float(value) AS value", "float(weight) AS weight"
        )
        return written(events, work / "rows"), user_ids
