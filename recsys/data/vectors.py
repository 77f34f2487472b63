"""Checks the vectors that the data supply for items, such as image embeddings, and writes `vectors.parquet`."""

from pathlib import Path

import polars as pl

from recsys.data import validation
from recsys.data.report import TableReport
from recsys.data.schema import VECTORS
from recsys.data.validation import ROW, judge


def check(raw: pl.LazyFrame, file: Path, item_ids: pl.Series, out: Path) -> tuple[TableReport, pl.DataFrame]:
    """Write the good rows, item_id and vector, an array of float32; return the report, and `row` and `reason` of the
    rejected rows. raw: item_id, vector (list of float32); item_ids: the kept items.

    All vectors must have the most frequent length; of several lengths that are equally frequent, the shortest.
    """
    table = validation.numbered(raw, ["item_id", "vector"], VECTORS, file).collect(engine="streaming")
    good, bad = judge(table, validation.column_faults(VECTORS))
    lengths = good["vector"].list.len().alias("length").value_counts()
    length = next(iter(lengths.sort(["count", "length"], descending=[True, False])["length"].to_list()), 1)
    faults = pl.coalesce(
        pl.when(~pl.col("item_id").is_first_distinct()).then(pl.lit("repeated_item_id")),
        pl.when(~pl.col("item_id").is_in(item_ids.implode())).then(pl.lit("orphan_item")),
        pl.when(pl.col("vector").list.len() != length).then(pl.lit("vector_of_another_length")),
    )
    good = good.with_columns(reason=faults)
    kept = good.filter(pl.col("reason").is_null()).select("item_id", pl.col("vector").list.to_array(length))
    kept.write_parquet(out / "vectors.parquet", compression="zstd")
    bad = pl.concat([bad, good.drop_nulls("reason").select(ROW, "reason")]).sort(ROW)
    return TableReport.of(file, table.height, bad["reason"]), bad
