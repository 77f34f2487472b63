"""Cuts the interactions into train, valid and test.

`global_time`, the usual protocol, has three windows for all users, which begin at quantiles of the event times. As in
production, a window is scored without later events, and users and items that arrive in it are cold.

`per_user_holdout` is for data where most users come only once (MovieLens: a user rates everything in one sitting), so
that hardly any user of a global test window has a history. The last events of each user are test, those before are
valid. No user is cold. Some items are made cold: for some of them all events are test; for others all events that are
not test are valid, so that train has none. The disadvantage: a model may learn from later events of other users, so
figures are not comparable with `global_time`.
"""

import dataclasses
from datetime import datetime

import numpy as np
import polars as pl

from recsys.data.numbering import numbered
from recsys.data.split import WINDOWS, Facts, ScoredFold, Split, Window
from recsys.errors import DataError
from recsys.params import SplitParams


def make(
    interactions: pl.LazyFrame,
    items: pl.DataFrame,
    params: SplitParams,
    seed: int,
    described: pl.DataFrame | None = None,
) -> Split:
    """Split the canonical tables. described: the table of users with attributes, None without one.

    Raises:
        DataError: "interactions: 1 user(s), expected at least 2: give more data"
        DataError: "interactions: item_id 'x' is not in items: run `dvc repro prepare`"
        DataError: "split: none of the 12 interactions (...) is in the window 'valid', expected at least 1: ..."
        DataError: "split: no target in test: ..."
    """
    if items.height < 2:
        raise DataError(f"items: {items.height} item(s), expected at least 2: give more data")
    # ties are broken in this order, so it must not depend on the items
    items = items.sort("item_id")[np.random.default_rng(seed).permutation(items.height)]
    rows, user_ids = _encode(interactions, items["item_id"])
    if user_ids.len() < 2:
        raise DataError(f"interactions: {user_ids.len()} user(s), expected at least 2: give more data")
    if params.protocol == "global_time":
        rows = _global_time(rows, params, seed)
    else:
        rows = _per_user_holdout(rows, items.height, params, seed)
    events = _count(rows)
    facts = Facts(
        protocol=params.protocol,
        target_events=params.target_events,
        allow_repeat=params.allow_repeat,
        now=_ends(rows, params.protocol),
        query_time="now" if params.protocol == "global_time" else "last_event",
        n_users=user_ids.len(),
        n_items=items.height,
        events=events,
        windows={},
    )
    users = pl.DataFrame({"user_row": np.arange(user_ids.len(), dtype=np.int32), "user_id": user_ids})
    if described is not None:
        users = users.join(described, on="user_id", how="left", maintain_order="left")
    split = Split(rows, _catalogue(items, rows), users, facts)
    windows = {"valid": _window(split, "valid"), "test": _window(split, "test")}
    return dataclasses.replace(split, facts=facts.model_copy(update={"windows": windows}))


def _encode(interactions: pl.LazyFrame, item_ids: pl.Series) -> tuple[pl.DataFrame, pl.Series]:
    """Return the interactions with row numbers, sorted, and the user ids in row order."""
    columns = ["user_id", "item_id", "timestamp", "event", pl.col("value", "weight").cast(pl.Float32)]
    rows, (user_ids, known_ids) = numbered(interactions.select(columns), "user_id", "item_id")
    catalogue = pl.DataFrame({"item_id": item_ids, "row": np.arange(item_ids.len(), dtype=np.int32)})
    known = known_ids.to_frame().join(catalogue, on="item_id", how="left", maintain_order="left")
    if known["row"].null_count():
        unknown = known.filter(pl.col("row").is_null())["item_id"][0]
        raise DataError(f"interactions: item_id {unknown!r} is not in items: run `dvc repro prepare`")
    item_rows = known["row"].gather(rows["item_id"])
    rows = rows.rename({"user_id": "user_row", "item_id": "item_row"}).with_columns(item_row=item_rows)
    return rows.sort("user_row", "timestamp", "item_row", maintain_order=True), user_ids


def _global_time(rows: pl.DataFrame, params: SplitParams, seed: int) -> pl.DataFrame:
    """Return the window of each event: windows start at quantiles of all event times."""
    if params.cold_item_share:
        raise DataError(
            f"split.cold_item_share is {params.cold_item_share}, expected 0 with protocol 'global_time': "
            "its windows contain new items already"
        )
    time = pl.col("timestamp")
    valid_from = time.quantile(1 - params.test_share - params.valid_share, "higher")
    test_from = time.quantile(1 - params.test_share, "higher")
    by_time = rows.with_columns(fold=(time >= valid_from).cast(pl.UInt8) + (time >= test_from).cast(pl.UInt8))
    if by_time["fold"].n_unique() == len(WINDOWS):
        return by_time
    # with few different times (one, if an export has no times) a window could be empty: split equal times at random
    place = np.empty(rows.height, dtype=np.int64)
    place[np.lexsort((np.random.default_rng([seed, 2]).random(rows.height), rows["timestamp"].to_numpy()))] = np.arange(
        rows.height
    )
    starts = [
        np.ceil(rows.height * (1 - share)) for share in (params.test_share + params.valid_share, params.test_share)
    ]
    return rows.with_columns(fold=pl.Series(np.searchsorted(starts, place, side="right").astype(np.uint8)))


def _per_user_holdout(rows: pl.DataFrame, n_items: int, params: SplitParams, seed: int) -> pl.DataFrame:
    """Return the window of each event: a user's last ones are test, those before valid, as are all of held-out items.
    Items are held out for the validation window too, so that the share of new items can be learned there: as many as
    give new items the same share of the events in both windows. They do not change which events are test."""
    # a separate stream, so that held-out items are independent of the row order
    drawn = np.random.default_rng([seed, 1]).permutation(n_items)
    of_test = round(params.cold_item_share * n_items)
    odds = params.cold_item_share / (1 - params.cold_item_share)
    odds *= params.valid_share / (params.test_share * (1 - params.test_share))
    of_valid = round(odds / (1 + odds) * (n_items - of_test))
    held_out = np.zeros(n_items, dtype=np.uint8)
    held_out[drawn[:of_test]], held_out[drawn[of_test : of_test + of_valid]] = 2, 1
    rows = rows.with_columns(held_out=held_out[rows["item_row"].to_numpy()])
    kept = pl.col("held_out") < 2
    n_kept, place = kept.sum().over("user_row"), kept.cast(pl.Int32).cum_sum().over("user_row")
    in_test = place > (n_kept * (1 - params.test_share)).round()
    in_valid = place > (n_kept * (1 - params.test_share - params.valid_share)).round()
    fold = pl.when(~kept | in_test).then(2).when(in_valid | (pl.col("held_out") == 1)).then(1).otherwise(0)
    return rows.with_columns(fold=fold.cast(pl.UInt8)).drop("held_out")


def _count(rows: pl.DataFrame) -> dict[str, int]:
    counts = dict(zip(WINDOWS, np.bincount(rows["fold"].to_numpy(), minlength=3).tolist(), strict=True))
    for name, count in counts.items():
        if not count:
            first, last = rows.select(pl.col("timestamp").min().alias("a"), pl.col("timestamp").max().alias("b")).row(0)
            raise DataError(
                f"split: none of the {rows.height} interactions ({first:%Y-%m-%d %H:%M:%S} to {last:%Y-%m-%d %H:%M:%S})"
                f" is in the window {name!r}, expected at least 1: change split.valid_share or split.test_share"
            )
    return counts


def _ends(rows: pl.DataFrame, protocol: str) -> dict[str, datetime]:
    """Return fold -> end of its fit set: the start of its window, or the last event if windows overlap in time."""
    if protocol == "global_time":
        starts = rows.group_by("fold").agg(pl.col("timestamp").min()).sort("fold")["timestamp"]
        return {"valid": starts[1], "test": starts[2], "all": rows["timestamp"].max()}
    ends = rows.group_by("fold").agg(pl.col("timestamp").max()).sort("fold")["timestamp"].cum_max()
    return {"valid": ends[0], "test": ends[1], "all": ends[2]}


def _window(split: Split, fold: ScoredFold) -> Window:
    targets = split.targets(fold)
    if targets.is_empty():
        raise DataError(
            f"split: no target in {fold}: none of its {split.facts.events[fold]} interactions is a target event "
            f"({', '.join(split.facts.target_events)}) on an item new to its user: check split.target_events and "
            "split.allow_repeat, or give more data"
        )
    users, items = targets["user_row"].unique().to_numpy(), targets["item_row"].unique().to_numpy()
    return Window(
        targets=targets.height,
        users=len(users),
        cold_users=int(np.isin(users, split.cold_users(fold)).sum()),
        items=len(items),
        cold_items=int(np.isin(items, split.cold_items(fold)).sum()),
    )


def _catalogue(items: pl.DataFrame, rows: pl.DataFrame) -> pl.DataFrame:
    """Return the items in row order; `first_seen` becomes the time of the first event if that is earlier."""
    first = rows.group_by("item_row").agg(first_event=pl.col("timestamp").min())
    return (
        items.with_columns(row=np.arange(items.height, dtype=np.int32))
        .join(first, left_on="row", right_on="item_row", how="left", maintain_order="left")
        .with_columns(first_seen=pl.min_horizontal("first_seen", "first_event"))
        .select("row", pl.exclude("row", "first_event"))
    )
