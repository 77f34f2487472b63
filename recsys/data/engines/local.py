"""The engine `local`: polars; row numbers and hashes of all interactions are in memory."""

from pathlib import Path

import numpy as np
import polars as pl

from recsys.data.numbering import not_in_items, numbered


def frequent(parts: Path, key: list[str], above: int, work: Path) -> pl.DataFrame:
    """Implement `Engine.frequent`."""
    counts = pl.scan_parquet(sorted(parts.iterdir())).group_by(key).len()
    return counts.filter(pl.col("len") > above).select(key).collect(engine="streaming")


def n_distinct(table: Path, key: list[str], work: Path) -> int:
    """Implement `Engine.n_distinct`: keys are counted by a hash of 64 bits."""
    hashes = pl.scan_parquet(table).select(pl.struct(key).hash().n_unique())
    return int(hashes.collect(engine="streaming").item())


def ordered(interactions: Path, item_ids: pl.Series, work: Path) -> tuple[pl.LazyFrame, pl.Series]:
    """Implement `Engine.ordered`."""
    columns = ["user_id", "item_id", "timestamp", "event", pl.col("value", "weight").cast(pl.Float32)]
    rows, (user_ids, known_ids) = numbered(pl.scan_parquet(interactions).select(columns), "user_id", "item_id")
    catalogue = pl.DataFrame({"item_id": item_ids, "row": np.arange(item_ids.len(), dtype=np.int32)})
    known = known_ids.to_frame().join(catalogue, on="item_id", how="left", maintain_order="left")
    if known["row"].null_count():
        raise not_in_items(known.filter(pl.col("row").is_null())["item_id"][0])
    item_rows = known["row"].gather(rows["item_id"])
    rows = rows.rename({"user_id": "user_row", "item_id": "item_row"}).with_columns(item_row=item_rows)
    return rows.sort("user_row", "timestamp", "item_row", maintain_order=True).lazy(), user_ids
