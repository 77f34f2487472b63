"""Reads the API's store: the events that it accepted, and the items that the shop sent to it.

    adapter: {url: null, guests: true, earlier: null}

A visitor's event belongs to the user the visitor was merged into, or to a user `anonymous:<id>`. Erased users are left
out. Items that only events have are items too. Equal events with different event_ids are both kept. An unusable cell
of an item is emptied and counted. The store changes all the time: `dvc repro --force fetch` copies it again.
docs/stores.md describes its tables.
"""

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

import polars as pl

from recsys.data import schema
from recsys.data.raw_tables import DERIVED, NOTES, RawTables, noted
from recsys.errors import DataError
from recsys.params import Section
from recsys.schemas.field_limits import GUEST, is_packed_vector
from recsys.schemas.store_reader import Forgotten, Rows, snapshot
from recsys.schemas.store_schema import DEFAULT_URL, URL_VARIABLE, select_from

PART_ROWS = 500_000
TIME = pl.Datetime("us", "UTC")
EVENT_COLUMNS = {
    "person": pl.String, "user_id": pl.String, "anonymous_id": pl.String, "item_id": pl.String, "event": pl.String,
    "value": pl.Float64, "timestamp": pl.Float64,
}  # fmt: skip
EVENTS = f"{select_from('events', *EVENT_COLUMNS)} ORDER BY timestamp, event_id"
ITEM_COLUMNS: dict[str, Any] = {
    "item_id": pl.String, "title": pl.String, "text": pl.String, "categories": pl.List(pl.String), "price": pl.Float64,
    "available": pl.Boolean, "first_seen": pl.Float64, "attributes": pl.String,
    "vector": pl.Binary,
}  # fmt: skip
ITEMS = f"{select_from('items', *ITEM_COLUMNS)} ORDER BY item_id"
PARTS, PUT, EARLIER, EARLIER_ITEMS = "events-*.parquet", "items.parquet", "earlier.parquet", "earlier-items.parquet"
EARLIER_VECTORS = "earlier-vectors.parquet"


class Config(Section):
    """url: of the store; None: environment variable RECSYS_STORE_URL (for passwords) or sqlite:///store/events.sqlite.

    guests: whether visitors without a user_id are included. earlier: a folder with interactions.parquet and
    items.parquet, and vectors.parquet if there is one, from before the store, such as a copy of data/tables, to put
    first; erased users are left out of it.
    """

    url: str | None = None
    guests: bool = True
    earlier: Path | None = None


def fetch(config: Config, out: Path, seed: int) -> dict[str, Any]:
    """Copy events and items, all as of one moment, into `out`; `seed` has no effect.

    Raises:
        SourceUnreachableError: "store/events.sqlite: no such file; set RECSYS_STORE_URL to the store of the API"
        DataError: "postgresql://...: the store cannot be read (...) ..."; "earlier/items.parquet: no such file ..."
    """
    url = config.url or os.environ.get(URL_VARIABLE) or DEFAULT_URL
    with snapshot(url) as select:
        forgotten = Forgotten(select)
        items = _frame(map(_with_names, select(ITEMS)), {**ITEM_COLUMNS, NOTES: pl.String})
        n_events = 0
        for number, part in enumerate(_parts(select(EVENTS))):
            who = part["user_id"].fill_null(part["anonymous_id"])  # several users may share a device
            kept = part.filter(~(forgotten.moment(who) >= part["timestamp"]).fill_null(False))
            kept.drop("user_id", "anonymous_id").write_parquet(out / PARTS.replace("*", f"{number:03d}"))
            n_events += kept.height
    items.write_parquet(out / PUT)
    if config.earlier is not None:
        interactions = _table(config.earlier, "interactions")
        interactions.filter(forgotten.moment(interactions["user_id"]).is_null()).write_parquet(out / EARLIER)
        _table(config.earlier, "items").write_parquet(out / EARLIER_ITEMS)
        if (config.earlier / "vectors.parquet").is_file():
            _table(config.earlier, "vectors").write_parquet(out / EARLIER_VECTORS)
    return {"source": "events store", "database": url.partition(":")[0], "events": n_events, "items": items.height}


def tables(config: Config, raw: Path) -> RawTables:
    """Return interactions and items; an item's fields in the store override those of the folder `earlier`.

    Raises:
        DataError: "data/raw: no file 'items.parquet'; run `dvc repro fetch`"
    """
    if not (raw / PUT).is_file():
        raise DataError(f"{raw}: no file {PUT!r}; run `dvc repro fetch`")
    guest = pl.col("person").str.starts_with("a:")
    name = pl.col("person").str.slice(2)
    interactions = (
        pl.scan_parquet(sorted(raw.glob(PARTS)))
        .filter(~guest | config.guests)
        .select(
            "item_id", "event", "value",
            user_id=pl.when(guest).then(pl.lit(GUEST) + name).otherwise(name),
            timestamp=_time("timestamp"),
        )
    )  # fmt: skip
    items = pl.scan_parquet(raw / PUT).with_columns(first_seen=_time("first_seen"))
    vectors = _vectors(items.select("item_id", "vector").drop_nulls("vector").collect())
    items = _without_bad_cells(items.drop("vector"))
    columns = [name for name in ITEM_COLUMNS if name != "vector"]
    if config.earlier is not None:
        earlier = pl.scan_parquet(raw / EARLIER).drop("weight")
        interactions = pl.concat([earlier, interactions], how="diagonal")
        known = pl.scan_parquet(raw / EARLIER_ITEMS)
        both = items.join(known, on="item_id", how="full", coalesce=True, suffix="_earlier")
        later = [name for name in known.collect_schema() if name != "item_id"]  # older tables have no attributes
        items = both.with_columns(pl.coalesce(name, f"{name}_earlier") for name in later).select(*columns, NOTES)
        if (raw / EARLIER_VECTORS).is_file():
            before = pl.read_parquet(raw / EARLIER_VECTORS).cast(vectors.schema)
            vectors = pl.concat([vectors, before.join(vectors, on="item_id", how="anti")])
    seen = interactions.select("item_id").unique().join(items, on="item_id", how="anti")
    seen = seen.with_columns(pl.lit(True).alias(DERIVED))
    items = pl.concat([items, seen], how="diagonal").sort("item_id")
    distinct = config.earlier is None  # such events may be in the store too
    return RawTables(
        interactions, items, interactions_file=raw / PARTS, items_file=raw / PUT, distinct=distinct,
        vectors=vectors.lazy() if vectors.height else None, vectors_file=raw / PUT,
    )  # fmt: skip


def _vectors(stored: pl.DataFrame) -> pl.DataFrame:
    """Return item_id and vector, a list of float32, by length. stored: its vector as bytes."""
    parts = [pl.DataFrame(schema={"item_id": pl.String, "vector": pl.List(pl.Float32)})]
    size, vector = pl.col("vector").bin.size(), pl.col("vector").bin
    for n_bytes in stored.select(size.unique().sort()).to_series():
        read = vector.reinterpret(dtype=pl.Array(pl.Float32, n_bytes // 4), endianness="little")
        parts.append(stored.filter(size == n_bytes).with_columns(read.cast(pl.List(pl.Float32))))
    return pl.concat(parts)


def _without_bad_cells(items: pl.LazyFrame) -> pl.LazyFrame:
    for column, (_, fault, _) in schema.ITEMS.items():
        if column != "item_id" and fault is not None:
            items = noted(items, {column: pl.when(fault.is_null()).then(pl.col(column))}, f"{column} emptied: ", fault)
    return items


def _time(name: str) -> pl.Expr:
    return (pl.col(name) * 1e6).round().cast(pl.Int64, strict=False).cast(TIME)


def _table(folder: Path, name: str) -> pl.DataFrame:
    file = folder / f"{name}.parquet"
    if not file.is_file():
        raise DataError(f"{file}: no such file; correct datasets.events.adapter.earlier in params.yaml")
    return pl.read_parquet(file)


def _parts(rows: Rows) -> Iterator[pl.DataFrame]:
    """Yield the rows in batches; without rows one empty batch, so that a file is written."""
    yield _frame(islice(rows, PART_ROWS), EVENT_COLUMNS)
    while (part := _frame(islice(rows, PART_ROWS), EVENT_COLUMNS)).height:
        yield part


def _frame(rows: Iterable[tuple[Any, ...]], columns: dict[str, Any]) -> pl.DataFrame:
    """Return the rows as a frame; a value of another type than its column, which SQLite allows, becomes null."""
    cells = list(zip(*rows, strict=True)) or [()] * len(columns)
    return pl.DataFrame(cells, columns, orient="col", strict=False)


def _with_names(item: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return the row of an item with its categories, JSON in the store, as a list; a note if they or its vector are
    unreadable."""
    *before, categories, price, available, first_seen, attributes, packed = item
    names = None
    with suppress(ValueError, TypeError):
        names = json.loads(categories)
    is_list = isinstance(names, list) and all(isinstance(name, str) for name in names)
    vector = packed if is_packed_vector(packed) else None
    notes = {"categories": categories is not None and not is_list, "vector": vector != packed}
    note = "\n".join(f"{name} emptied: unreadable" for name, unreadable in notes.items() if unreadable) or None
    return *before, names if is_list else None, price, available, first_seen, attributes, vector, note
