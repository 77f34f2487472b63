"""Which raw rows are good: canonical dtypes first, then the rules of `recsys/data/schema.py` and those that need other
data.

A rejected row has one reason, the first of: what the adapter said; the first wrong column in the order of the schema
(`user_id_empty`, `timestamp_unreadable`, `value_nan`, ...); `unknown_event`, `orphan_item`, `future_timestamp`. What
only shows when all rows are read (`duplicate`, `repeated_item_id`, `bot_like_user`) is found by
`recsys/data/prepare.py`.
"""

from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path

import dataframely as dy
import polars as pl

from recsys.data.raw_tables import RAW, REJECT
from recsys.data.schema import Interactions, Items
from recsys.errors import DataError

ROW = "row"
_FAULTS = {
    "dtype": "unreadable",
    "nullability": "missing",
    "min_length": "empty",
    "max_length": "too_long",
    "inner_nullability": "contain_null",
    "inner_min_length": "contain_empty",
    "inner_max_length": "contain_too_long",
}


def _is_text(dtype: pl.DataType) -> bool:
    return dtype in (pl.String, pl.Categorical, pl.Enum) or dtype.is_integer()


def _is_number(dtype: pl.DataType) -> bool:
    return dtype == pl.String or dtype.is_numeric()


def _is_time(dtype: pl.DataType) -> bool:
    return dtype in (pl.Datetime, pl.Date) or dtype.is_integer()


def _is_bool(dtype: pl.DataType) -> bool:
    return dtype == pl.Boolean or dtype.is_integer()


def _is_texts(dtype: pl.DataType) -> bool:
    return dtype in (pl.List(pl.String), pl.List(pl.Null))


# dtype of the canonical column: which raw dtypes can be cast to it, and how to say so
_READABLE: dict[type[pl.DataType], tuple[Callable[[pl.DataType], bool], str]] = {
    pl.String: (_is_text, "String or whole numbers"),
    pl.Datetime: (_is_time, "Datetime, Date, or whole microseconds since 1970"),
    pl.Float64: (_is_number, "numbers"),
    pl.Float32: (_is_number, "numbers"),
    pl.Boolean: (_is_bool, "Boolean"),
    pl.List: (_is_texts, "List(String)"),
}


def interaction_rules(event_names: Iterable[str], item_ids: pl.Series, latest: datetime) -> type[dy.Schema]:
    """The schema of raw interactions with the rules that depend on the settings and on the items that were kept."""
    names, known = list(event_names), item_ids.implode()

    class CheckedInteractions(Interactions):
        row = dy.Int64()

        @dy.rule()
        def unknown_event(cls) -> pl.Expr:
            return pl.col("event").is_in(names)

        @dy.rule()
        def orphan_item(cls) -> pl.Expr:
            return pl.col("item_id").is_in(known)

        @dy.rule()
        def future_timestamp(cls) -> pl.Expr:
            return pl.col("timestamp") <= latest

    return CheckedInteractions


class CheckedItems(Items):
    """Raw items carry their row number until they are written."""

    row = dy.Int64()


def canonical_interactions(table: pl.LazyFrame, event_weights: dict[str, float], file: Path) -> pl.LazyFrame:
    """Name, order and complete the columns: no value becomes null, no weight that of the event (0 if it is unknown).

    Raises:
        DataError: "events.csv: no column 'user_id' among 'customer', 'sku': ..."
        DataError: "events.csv: column 'timestamp' is String, wanted Datetime, ..."
    """
    table = _numbered(table, ["user_id", "item_id", "timestamp", "event"], Interactions, file)
    by_event = pl.col("event").cast(pl.String).replace_strict(event_weights, default=0.0, return_dtype=pl.Float64)
    return table.with_columns(pl.col("weight").fill_null(by_event))


def canonical_items(table: pl.LazyFrame, file: Path) -> pl.LazyFrame:
    """Name, order and complete the columns: no title becomes the id, no text or categories are empty ones, and an item
    of which nothing is said is available.

    Raises:
        DataError: like `canonical_interactions`
    """
    table = _numbered(table, ["item_id"], Items, file)
    return table.with_columns(
        pl.col("title").fill_null(pl.col("item_id").cast(pl.String)),
        pl.col("text").fill_null(""),
        pl.col("categories").fill_null([]),
        pl.col("available").fill_null(True),
    )


def judge(batch: pl.DataFrame, rules: type[dy.Schema]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Part the rows: the good ones with canonical dtypes and their `row`, and `row`, `reason` of the others."""
    refused = batch.filter(pl.col(REJECT).is_not_null()).select(ROW, reason=REJECT)
    good, failure = rules.filter(batch.filter(pl.col(REJECT).is_null()).drop(REJECT), cast=True)
    details = failure.details()
    broken = [name for name in details.columns if name not in rules.columns()]
    by_column = {column: place for place, column in enumerate(rules.columns())}
    broken.sort(key=lambda rule: by_column.get(rule.partition("|")[0], len(by_column)))
    reason = pl.coalesce(pl.when(pl.col(rule) == "invalid").then(pl.lit(_reason(rule))) for rule in broken)
    return good, pl.concat([refused, details.select(ROW, reason=reason)])


def _reason(rule: str) -> str:
    """`price|nan` is called `price_nan`; rules of our own keep their name."""
    column, _, kind = rule.partition("|")
    if kind == "min":
        return f"{column}_negative" if column in ("price", "weight") else f"{column}_before_1990"
    return f"{column}_{_FAULTS.get(kind, kind)}" if kind else column


def _numbered(table: pl.LazyFrame, required: list[str], schema: type[dy.Schema], file: Path) -> pl.LazyFrame:
    """The columns of the schema in its order, each of a dtype that can be cast; with `row` and `reject`."""
    found = table.collect_schema()
    for column in required:
        if column not in found:
            there = ", ".join(repr(name) for name in found if name not in (REJECT, RAW)) or "none at all"
            raise DataError(f"{file}: no column {column!r}, the columns are {there}: add it or map another one to it")
    columns = []
    for name, wanted in schema.columns().items():
        dtype = found.get(name, pl.Null())
        if dtype == pl.Null:
            columns.append(pl.lit(None, dtype=wanted.dtype).alias(name))
            continue
        readable, text = _READABLE[wanted.dtype.base_type()]
        if not readable(dtype):
            example = table.select(pl.col(name).drop_nulls().first()).collect().to_series().to_list()
            raise DataError(f"{file}: column {name!r} is {dtype}, for example {example[0]!r:.60}, wanted {text}")
        columns.append(pl.col(name))
    reject = pl.col(REJECT).cast(pl.String) if REJECT in found else pl.lit(None, dtype=pl.String).alias(REJECT)
    return table.select(*columns, reject).with_row_index(ROW)
