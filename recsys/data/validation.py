"""Validates raw rows: dtypes, then the limits of `recsys/schemas/field_limits.py`, then rules that need other data.

A rejected row has one reason, the first of: the adapter's reason; the first column that cannot be cast
(`value_unreadable`); the first invalid column in the order of the schema (`user_id_missing`, `value_nan`, ...);
`unknown_event`, `orphan_item`, `future_timestamp`. `recsys/data/prepare.py` detects the faults that need all rows:
`duplicate`, `repeated_item_id`, `repeated_user_id`, `bot_like_user`.
"""

from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path

import polars as pl

from recsys.data.raw_tables import DERIVED, NOTES, RAW, REJECT, noted
from recsys.data.schema import INTERACTIONS, ITEMS, Schema
from recsys.errors import DataError
from recsys.schemas import field_limits as limits

ROW, UNREADABLE = "row", "unreadable"
# Events whose value is a score or null, never a paid amount that could be returned.
UNPAID_EVENTS = ("view", "click", "cart", "like", "dislike", "rating")
Threshold = float | dict[str, float] | None


_NUMBERS = (lambda raw: raw == pl.String or raw.is_numeric(), "numbers")
# canonical dtype -> which raw dtypes can be cast to it, and their names in messages
_READABLE: dict[type[pl.DataType], tuple[Callable[[pl.DataType], bool], str]] = {
    pl.String: (lambda raw: raw in (pl.String, pl.Categorical, pl.Enum) or raw.is_integer(), "String or whole numbers"),
    pl.Datetime: (
        lambda raw: raw in (pl.Datetime, pl.Date) or raw.is_integer(),
        "Datetime, Date, or whole microseconds since 1970",
    ),
    pl.Float64: _NUMBERS,
    pl.Float32: _NUMBERS,
    pl.Boolean: (lambda raw: raw == pl.Boolean or raw.is_integer(), "Boolean"),
    pl.List: (lambda raw: raw in (pl.List(pl.String), pl.List(pl.Null), pl.List(pl.Float32)), "List(String)"),
}


def interaction_faults(event_names: Iterable[str], item_ids: pl.Series, latest: datetime) -> pl.Expr:
    """Return the polars expression for each row's reason to be rejected, null for a valid one. event_names: the valid
    events; item_ids: the ids of the kept items; latest: the latest valid time."""
    event, names = pl.col("event"), [*event_names, limits.RETURN]
    return pl.coalesce(
        column_faults(INTERACTIONS),
        pl.when(~event.is_in(names)).then(pl.lit("unknown_event")),
        pl.when(~pl.col("item_id").is_in(item_ids.implode())).then(pl.lit("orphan_item")),
        pl.when(pl.col("timestamp") > latest).then(pl.lit("future_timestamp")),
    )


def canonical_interactions(
    table: pl.LazyFrame, event_weights: dict[str, float], file: Path, like_from: Threshold = None
) -> pl.LazyFrame:
    """Return the table with the canonical columns and dtypes. file: for messages.

    A missing column `value` is null, a missing `weight` comes from event_weights. An amount below zero is a return,
    with weight 0. like_from: one limit, or event -> limit; events with a lower value get weight 0. With it, values are
    ratings, which may be below zero, and only those of purchases and returns are amounts.

    Raises:
        DataError: "events.csv: no column 'user_id', the columns are 'customer', 'sku': add it, ..."
        DataError: "events.csv: column 'timestamp' is String, expected Datetime, ..."
    """
    table = numbered(table, ["user_id", "item_id", "timestamp", "event"], INTERACTIONS, file)
    event, value = pl.col("event"), pl.col("value")
    paid = event.is_in([limits.PURCHASE, limits.RETURN]) if like_from is not None else ~event.is_in(UNPAID_EVENTS)
    returned = (paid & (value < 0)).fill_null(False)
    read = {
        "event": pl.when(returned).then(pl.lit(limits.RETURN)).otherwise(event),
        "value": pl.when(returned).then(-value).otherwise(value),
    }
    table = noted(table, read, "event read as return", pl.when(returned).then(pl.lit("")))
    weights = {limits.RETURN: 0.0} | event_weights
    by_event = _by_event(weights, pl.Float32()).fill_null(0.0)
    least: pl.Expr = pl.lit(like_from if like_from is not None else 0.0)
    if isinstance(like_from, dict):
        least = _by_event(like_from, pl.Float64())
    weight = pl.when(event == limits.RETURN).then(by_event).when(value < least).then(0.0)
    return table.with_columns(weight=weight.otherwise(pl.col("weight").fill_null(by_event)))


def _by_event(values: dict[str, float], dtype: pl.DataType) -> pl.Expr:
    """Return the value of each row's event, or null. With `replace_strict` polars would first read all rows."""
    return pl.coalesce(pl.when(pl.col("event") == name).then(pl.lit(value, dtype)) for name, value in values.items())


def canonical_items(table: pl.LazyFrame, file: Path) -> pl.LazyFrame:
    """Return the table with the canonical columns and dtypes. file: for messages.

    A missing title becomes the id, missing text and categories are empty, and an item is available by default.

    Raises:
        DataError: like `canonical_interactions`
    """
    table = numbered(table, ["item_id"], ITEMS, file)
    return table.with_columns(
        pl.col("title").fill_null(pl.col("item_id")),
        pl.col("text").fill_null(""),
        pl.col("categories").fill_null([]),
        pl.col("available").fill_null(True),
    )


def judge(batch: pl.DataFrame, faults: pl.Expr) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the good rows, and `row` and `reason` of the rejected ones. faults: expression for this reason, else
    null."""
    judged = batch.with_columns(reason=pl.coalesce(REJECT, faults))
    good = judged.filter(pl.col("reason").is_null()).drop("reason", REJECT, UNREADABLE, NOTES)
    return good, judged.filter(pl.col("reason").is_not_null()).select(ROW, "reason")


def column_faults(schema: Schema) -> pl.Expr:
    """Return the expression for the reason to reject a row, a fault of one of its columns; null for a good row."""
    faults: list[pl.Expr] = [pl.col(UNREADABLE)]
    for name, column in schema.items():
        if not column.nullable:
            faults.append(pl.when(pl.col(name).is_null()).then(pl.lit(f"{name}_missing")))
        if column.fault is not None:
            faults.append(pl.lit(f"{name}_") + column.fault)
    return pl.coalesce(faults)


def numbered(table: pl.LazyFrame, required: list[str], schema: Schema, file: Path) -> pl.LazyFrame:
    """Return the columns of the schema in its dtypes, with `row`, `reject`, `notes` and a mark for each invalid
    cell."""
    found = table.collect_schema()
    for column in required:
        if column not in found:
            there = ", ".join(repr(name) for name in found if name not in (REJECT, RAW, NOTES)) or "none at all"
            raise DataError(f"{file}: no column {column!r}, the columns are {there}: add it, or map another one to it")
    columns, unreadable = [], []
    for name, wanted in schema.items():
        dtype = found.get(name, pl.Null())
        if dtype == pl.Null:
            columns.append(pl.lit(None, dtype=wanted.dtype).alias(name))
            continue
        readable, text = _READABLE[wanted.dtype.base_type()]
        if not readable(dtype):
            example = table.select(pl.col(name).drop_nulls().first()).collect().to_series().to_list()
            raise DataError(f"{file}: column {name!r} is {dtype}, for example {example[0]!r:.60}, expected {text}")
        cast = pl.col(name).cast(wanted.dtype, strict=False)
        columns.append(cast)
        if dtype != wanted.dtype:
            lost = cast.is_null() & pl.col(name).is_not_null()
            unreadable.append(pl.when(lost).then(pl.lit(f"{name}_unreadable")))
    optional = {REJECT: pl.String(), NOTES: pl.String(), DERIVED: pl.Boolean()}
    for name, dtype in optional.items():
        columns.append((pl.col(name) if name in found else pl.lit(None)).cast(dtype).alias(name))
    lost_first = pl.coalesce(*unreadable, pl.lit(None, pl.String)).alias(UNREADABLE)
    return table.select(*columns, lost_first).with_row_index(ROW).with_columns(pl.col(ROW).cast(pl.Int64))
