"""Turns raw rows into canonical tables; every rejected row goes to quarantine with its reason.

    interactions.parquet, items.parquet   `recsys/data/schema.py`, rows in the order of the raw data
    users.parquet, vectors.parquet        likewise, if the data have them
    quarantine.parquet                    all other rows, so that kept + quarantined = read, for each table

Rows are read and validated by batches, so memory stays far below the size of the data; faults that need all rows
(duplicates, bots) are detected afterwards on hashes and counts, by an engine.
"""

import shutil
import sys
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import polars.selectors as cs

from recsys.data import validation
from recsys.data.engines import Engine, local
from recsys.data.raw_tables import DERIVED, NOTES, RAW, REJECT, RawTables
from recsys.data.report import DataReport, TableReport, describe
from recsys.data.schema import INTERACTIONS, ITEMS, USERS, VECTORS, Schema
from recsys.data.validation import ROW, judge
from recsys.errors import DataError
from recsys.params import DatasetParams

CHUNK_ROWS = 250_000
ROW_GROUP_ROWS = 500_000
COLUMNS = list(INTERACTIONS)
HASH, DAY = "hash", "day"  # columns of the parts: of all canonical columns, and of the time in UTC
_HASH = pl.struct(COLUMNS).hash().alias(HASH)
_DAY = pl.col("timestamp").dt.date().alias(DAY)
BAD_ROWS = {ROW: pl.Int64, "reason": pl.String}


def prepare(raw: RawTables, dataset: str, params: DatasetParams, out: Path, engine: Engine = local) -> DataReport:
    """Write the tables into the folder `out` and return the report on them; the engine counts what needs all rows.

    The same rows and settings give the same bytes. If `raw.latest` is None, events after the present time are rejected.

    Raises:
        DataError: "events.csv: no column 'user_id', the columns are ..."; "events.csv: no rows, expected ..."
    """
    items, bad_items, n_items, item_notes = _check_items(raw)
    parts, work = out / "parts", out / "work"
    for aside in (parts, work):
        aside.mkdir()
    bad_interactions, n_interactions, notes = _check_interactions(raw, params, items["item_id"], parts)
    kept = pl.scan_parquet(sorted(parts.iterdir()))
    copies = bots = pl.DataFrame(schema=BAD_ROWS)
    if not raw.distinct:
        copies = _duplicates(kept, engine.frequent(parts, [HASH], 1, work))
        kept = _without(kept, copies)
    if (limit := params.thresholds.max_events_per_user_day) is not None:
        bots = _bots(kept, engine.frequent(parts, ["user_id", DAY], limit, work), limit)
        kept = _without(kept, bots)
    bad_interactions = pl.concat([bad_interactions, copies, bots])
    _write(kept.select(COLUMNS), out / "interactions.parquet")
    pairs = engine.n_distinct(out / "interactions.parquet", ["user_id", "item_id"], work)
    for aside in (parts, work):
        shutil.rmtree(aside)
    kept = pl.scan_parquet(out / "interactions.parquet")
    items, n_derived = _without_rejected(items, kept)
    _write(items.lazy(), out / "items.parquet")
    bad = [
        _quarantined("interactions", raw.interactions, bad_interactions),
        _quarantined("items", raw.items, bad_items),
    ]
    users = vectors = None
    if raw.vectors is not None:
        vectors, bad_vectors = _check_vectors(raw.vectors, raw.vectors_file, items["item_id"], out)
        bad.append(_quarantined("vectors", raw.vectors, bad_vectors))
    if raw.users is not None:
        users, bad_users = _check_users(raw.users, raw.users_file, out)
        bad.append(_quarantined("users", raw.users, bad_users))
    _write(pl.concat(bad).lazy(), out / "quarantine.parquet")
    return describe(
        dataset,
        TableReport.of(raw.interactions_file, n_interactions, bad_interactions["reason"], notes),
        TableReport.of(raw.items_file, n_items + n_derived, bad_items["reason"], item_notes),
        kept,
        pairs,
        items,
        raw.files,
        users,
        vectors,
    )


def _check_users(raw: pl.LazyFrame, file: Path, out: Path) -> tuple[TableReport, pl.DataFrame]:
    """Write `users.parquet`; return its report, and `row` and `reason` of the rejected rows."""
    table = _collect(validation.numbered(raw, ["user_id"], USERS, file), file)
    good, bad = _first_of_each(table, USERS)
    _write(good.select(list(USERS)).lazy(), out / "users.parquet")
    return TableReport.of(file, table.height, bad["reason"], _count_notes(table)), bad


def _check_vectors(raw: pl.LazyFrame, file: Path, item_ids: pl.Series, out: Path) -> tuple[TableReport, pl.DataFrame]:
    """Write `vectors.parquet`: item_id and vector, an array of float32; return what `_check_users` returns. raw:
    item_id and vector (list of float32); item_ids: the kept items.

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


def _first_of_each(table: pl.DataFrame, schema: Schema) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the good rows, the first one of each id (first column), and `row` and `reason` of the rejected rows."""
    columns, (good, bad) = list(schema), judge(table, validation.column_faults(schema))
    copy, again = ~pl.struct(columns).is_first_distinct(), ~pl.col(columns[0]).is_first_distinct()
    reason = pl.when(copy).then(pl.lit("duplicate")).when(again).then(pl.lit(f"repeated_{columns[0]}"))
    good = good.with_columns(reason=reason)
    return good.filter(pl.col("reason").is_null()), pl.concat([_bad_rows(bad), _bad_rows(good.drop_nulls("reason"))])


def _check_items(raw: RawTables) -> tuple[pl.DataFrame, pl.DataFrame, int, Counter[str]]:
    """Return (good items, `row` and `reason` of the rejected ones, number of rows, note -> number of rows with it).

    Of items with the same id the first is kept. Items that occur only in interactions are not counted here.
    """
    table = _collect(validation.canonical_items(raw.items, raw.items_file), raw.items_file)
    if table.is_empty() and DERIVED not in raw.items.collect_schema():
        raise DataError(f"{raw.items_file}: no rows, expected at least one: replace the file")
    good, bad = _first_of_each(table, ITEMS)
    derived = table.filter(pl.col(DERIVED))
    bad = bad.join(derived, on=ROW, how="anti")
    return good.select(*ITEMS, DERIVED), bad, table.height - derived.height, _count_notes(table)


def _check_interactions(
    raw: RawTables, params: DatasetParams, item_ids: pl.Series, parts: Path
) -> tuple[pl.DataFrame, int, Counter[str]]:
    """Write the good rows into `parts`; return what `_check_items` returns, without the good rows."""
    like_from = params.thresholds.like_from
    table = validation.canonical_interactions(raw.interactions, params.event_weights, raw.interactions_file, like_from)
    faults = validation.interaction_faults(params.event_weights, item_ids, raw.latest or datetime.now(UTC))
    bad, n_read, notes = [pl.DataFrame(schema=BAD_ROWS)], 0, Counter[str]()
    try:
        for number, batch in enumerate(table.collect_batches(chunk_size=CHUNK_ROWS)):
            good, rejected = judge(batch, faults)
            good = good.drop(DERIVED).with_columns(_HASH, _DAY)
            good.write_parquet(parts / f"{number:06}.parquet", compression="lz4")
            bad.append(_bad_rows(rejected))
            notes += _count_notes(batch)
            n_read += batch.height
            if n_read % 1_000_000 == 0:
                print(f"prepare: {n_read:,} interactions read", file=sys.stderr)
    except pl.exceptions.PolarsError as error:
        raise _unreadable(raw.interactions_file, error) from error
    if not n_read:
        raise DataError(f"{raw.interactions_file}: no rows, expected at least one: replace the file")
    return pl.concat(bad), n_read, notes


def _count_notes(table: pl.DataFrame) -> Counter[str]:
    notes = table[NOTES].drop_nulls().str.strip_chars()
    single = notes.filter(notes != "").str.split("\n").explode()
    return Counter(dict(single.value_counts().iter_rows()))


def _without_rejected(items: pl.DataFrame, kept: pl.LazyFrame) -> tuple[pl.DataFrame, int]:
    """Remove the items that occur only in rejected interactions; also return how many occur only in kept ones."""
    named = kept.select("item_id").unique().collect(engine="streaming")["item_id"].implode()
    derived = pl.col(DERIVED).fill_null(False)
    items = items.filter(~derived | pl.col("item_id").is_in(named))
    return items.drop(DERIVED), items.filter(derived).height


def _duplicates(kept: pl.LazyFrame, repeated: pl.DataFrame) -> pl.DataFrame:
    """Return the rows that equal an earlier one in all columns; repeated: the hashes that several rows have."""
    rows = kept.join(repeated.lazy(), on=HASH, how="semi").sort(ROW).collect(engine="streaming")
    copies = rows.filter(~pl.struct(COLUMNS).is_first_distinct())
    return _bad_rows(copies.with_columns(reason=pl.lit("duplicate")))


def _bots(kept: pl.LazyFrame, busy: pl.DataFrame, limit: int) -> pl.DataFrame:
    """Return all rows of users with more than `limit` events on some day (UTC); busy: user_id and day of those with
    more if copies count."""
    rows = kept.join(busy.lazy().select("user_id").unique(), on="user_id", how="semi").sort(ROW)
    rows = rows.filter((pl.len().over("user_id", DAY) > limit).any().over("user_id"))
    return _bad_rows(rows.select(ROW, reason=pl.lit("bot_like_user")).collect())


def _without(kept: pl.LazyFrame, bad: pl.DataFrame) -> pl.LazyFrame:
    return kept.join(bad.lazy(), on=ROW, how="anti", maintain_order="left")


def _quarantined(name: str, table: pl.LazyFrame, bad: pl.DataFrame) -> pl.DataFrame:
    """Return the rejected rows with their raw cells as JSON; floats become text, as JSON has no NaN or infinity."""
    columns = table.collect_schema().names()
    content = pl.col(RAW) if RAW in columns else pl.struct(pl.exclude(REJECT, NOTES, DERIVED))
    numbered = table.select(content.alias(RAW)).with_row_index(ROW).with_columns(pl.col(ROW).cast(pl.Int64))
    rows = numbered.join(bad.lazy(), on=ROW).collect(engine="streaming").sort(ROW)
    cells = rows[RAW].struct.unnest().with_columns(cs.float().cast(pl.String), cs.binary().bin.encode("hex"))
    json = cells.select(pl.struct(pl.all()).struct.json_encode()).to_series()
    return rows.select(pl.lit(name).alias("table"), "reason", ROW, json.alias(RAW))


def _bad_rows(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.select(pl.col(name).cast(dtype) for name, dtype in BAD_ROWS.items())


def _write(table: pl.LazyFrame, path: Path) -> None:
    table.sink_parquet(path, compression="zstd", compression_level=3, row_group_size=ROW_GROUP_ROWS)


def _collect(table: pl.LazyFrame, file: Path) -> pl.DataFrame:
    try:
        return table.collect(engine="streaming")
    except pl.exceptions.PolarsError as error:
        raise _unreadable(file, error) from error


def _unreadable(file: Path, error: Exception) -> DataError:
    return DataError(f"{file}: cannot be read ({' '.join(str(error).split()):.200}): repair or replace the file")
