"""Looks up the columns of another file, such as the customer and the time of an order for each of its lines."""

import polars as pl

from recsys.datasets._files.settings import JoinedFile
from recsys.datasets._files.sources import OWN, REASON
from recsys.errors import DataError

KEY, AGAIN = "(key)", "(rows)"


def join(table: pl.LazyFrame, name: str, file: JoinedFile, other: pl.LazyFrame) -> pl.LazyFrame:
    """Append the columns of `other` as `name.column`, from its row with the same key; equal rows count as one.

    A row of `table` is refused, as `no_row_in_<name>` or `several_rows_in_<name>`, unless there is exactly one.

    Raises:
        DataError: "orders: no column 'id' to join on, the columns are ...: correct datasets.files.adapter...."
    """
    other = other.filter(pl.col(REASON).is_null()).drop(*OWN)
    key = file.key or file.on
    for columns, wanted in ((table.collect_schema(), file.on), (other.collect_schema(), key)):
        if wanted not in columns:
            there = ", ".join(repr(column) for column in columns if column not in OWN)
            raise DataError(
                f"{name}: no column {wanted!r} to join on, the columns are {there:.400}:"
                f" correct datasets.files.adapter.interactions.joins.{name} in params.yaml"
            )
    rows = other.unique(maintain_order=True).with_columns(_text(key).alias(KEY))
    rows = rows.with_columns(pl.len().over(KEY).alias(AGAIN)).unique(KEY, keep="first", maintain_order=True)
    rows = rows.rename({column: f"{name}.{column}" for column in other.collect_schema()})
    found = table.with_columns(_text(file.on).alias(KEY)).join(rows, on=KEY, how="left", maintain_order="left")
    none, several = pl.lit(f"no_row_in_{name}"), pl.lit(f"several_rows_in_{name}")
    fault = pl.when(pl.col(AGAIN).is_null()).then(none).when(pl.col(AGAIN) > 1).then(several)
    return found.with_columns(pl.coalesce(REASON, fault).alias(REASON)).drop(KEY, AGAIN)


def _text(column: str) -> pl.Expr:
    return pl.col(column).cast(pl.String).str.strip_chars()
