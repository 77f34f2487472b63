"""Cuts the interactions into train, valid and test.

`global_time`, the usual protocol, has three windows for all users, which begin at quantiles of the event times. As in
production, a window is scored without later events, and users and items that arrive in it are cold.

`per_user_holdout` is for data where most users come only once (MovieLens: a user rates everything in one sitting), so
that hardly any user of a global test window has a history. The last events of each user are test, those before are
valid. No user is cold. Some items are made cold: for some of them all events are test; for others all events that are
not test are valid, so that train has none. The disadvantage: a model may learn from later events of other users, so
figures are not comparable with `global_time`.
"""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import polars as pl

from recsys.data import split as splits
from recsys.data.engines import Engine, local
from recsys.data.split_counts import SplitCounts
from recsys.errors import DataError
from recsys.params import SplitParams

BATCH_ROWS = 1_000_000
Cut = Callable[[pl.DataFrame, int], pl.DataFrame]  # adds the window of each row; given the number of rows before


def write(
    interactions: Path,
    items: pl.DataFrame,
    params: SplitParams,
    seed: int,
    folder: Path,
    described: pl.DataFrame | None = None,
    engine: Engine = local,
) -> splits.Facts:
    """Split the canonical tables, write the split into an existing folder and return its facts.

    interactions: a Parquet file; described: the table of users with attributes, None without one. The engine sorts the
    rows by user; they are then cut, counted and written by batches of whole users.

    Raises:
        DataError: "interactions: 1 user(s), expected at least 2: add data"
        DataError: "interactions: item_id 'x' is not in items: run `dvc repro prepare`"
        DataError: "split: none of the 12 interactions (...) is in the window 'valid', expected at least 1: ..."
        DataError: "split: no target in test: ..."
    """
    if items.height < 2:
        raise DataError(f"items: {items.height} item(s), expected at least 2: add data")
    # ties are broken in this order, so it must not depend on the items
    items = items.sort("item_id")[np.random.default_rng(seed).permutation(items.height)]
    work, parts = folder / "work", folder / "parts"
    for aside in (work, parts):
        aside.mkdir()
    rows, user_ids = engine.ordered(interactions, items["item_id"], work)
    if user_ids.len() < 2:
        raise DataError(f"interactions: {user_ids.len()} user(s), expected at least 2: add data")
    users = pl.DataFrame({"user_row": np.arange(user_ids.len(), dtype=np.int32), "user_id": user_ids})
    if described is not None:
        users = users.join(described, on="user_id", how="left", maintain_order="left")
    cut = (_global_time if params.protocol == "global_time" else _per_user_holdout)(rows, items.height, params, seed)
    counts = SplitCounts(params)
    for number, batch in enumerate(_whole_users(rows)):
        batch = cut(batch, counts.n_rows)
        counts.add(batch)
        batch.write_parquet(parts / f"{number:06}.parquet", compression="lz4")
    catalogue, facts = counts.catalogue(items), counts.facts(users.height, items.height)
    splits.write(pl.scan_parquet(sorted(parts.iterdir())), catalogue, users, facts, folder)
    for aside in (work, parts):
        shutil.rmtree(aside)
    return facts


def _whole_users(rows: pl.LazyFrame) -> Iterator[pl.DataFrame]:
    """Yield all rows, which are sorted by user, in batches that hold all rows of their users."""
    rest = pl.DataFrame(schema=rows.collect_schema())
    for read in rows.collect_batches(chunk_size=BATCH_ROWS):
        batch = pl.concat([rest, read])
        n_complete = batch["user_row"].search_sorted(batch["user_row"][-1])
        rest = batch[n_complete:]
        if n_complete:
            yield batch[:n_complete]
    yield rest


def _global_time(rows: pl.LazyFrame, n_items: int, params: SplitParams, seed: int) -> Cut:
    """Windows start at quantiles of all event times."""
    if params.cold_item_share:
        raise DataError(
            f"split.cold_item_share is {params.cold_item_share}, expected 0 with protocol 'global_time': "
            "its windows contain new items already"
        )
    time, shares = pl.col("timestamp"), (params.test_share + params.valid_share, params.test_share)
    starts = (time.quantile(1 - share, "higher").alias(str(share)) for share in shares)
    first, valid_from, test_from = rows.select(time.min(), *starts).collect(engine="streaming").row(0)
    if first < valid_from < test_from:
        fold = (time >= valid_from).cast(pl.UInt8) + (time >= test_from).cast(pl.UInt8)
        return lambda batch, before: batch.with_columns(fold=fold)
    # with few different times (one, if an export has no times) a window would be empty: split equal times at random
    times = rows.select(time).collect(engine="streaming")["timestamp"].to_numpy()
    order = np.lexsort((np.random.default_rng([seed, 2]).random(len(times)), times))
    windows = np.zeros(len(times), dtype=np.uint8)
    for share in shares:
        windows[order[int(np.ceil(len(times) * (1 - share))) :]] += 1
    return lambda batch, before: batch.with_columns(fold=pl.Series(windows[before : before + batch.height]))


def _per_user_holdout(rows: pl.LazyFrame, n_items: int, params: SplitParams, seed: int) -> Cut:
    """A user's last events are test, those before valid, as are all of held-out items. Items are held out for the
    validation window too, so that the share of new items can be learned there: as many as give new items the same share
    of the events in both windows. They do not change which events are test."""
    # a separate stream, so that held-out items are independent of the row order
    drawn = np.random.default_rng([seed, 1]).permutation(n_items)
    of_test = round(params.cold_item_share * n_items)
    odds = params.cold_item_share / (1 - params.cold_item_share)
    odds *= params.valid_share / (params.test_share * (1 - params.test_share))
    of_valid = round(odds / (1 + odds) * (n_items - of_test))
    held_out = np.zeros(n_items, dtype=np.uint8)
    held_out[drawn[:of_test]], held_out[drawn[of_test : of_test + of_valid]] = 2, 1
    kept = pl.col("held_out") < 2
    n_kept, place = kept.sum().over("user_row"), kept.cast(pl.Int32).cum_sum().over("user_row")
    in_test = place > (n_kept * (1 - params.test_share)).round()
    in_valid = place > (n_kept * (1 - params.test_share - params.valid_share)).round()
    fold = pl.when(~kept | in_test).then(2).when(in_valid | (pl.col("held_out") == 1)).then(1).otherwise(0)

    def cut(batch: pl.DataFrame, before: int) -> pl.DataFrame:
        batch = batch.with_columns(held_out=held_out[batch["item_row"].to_numpy()])
        return batch.with_columns(fold=fold.cast(pl.UInt8)).drop("held_out")

    return cut
