"""The split data: interactions in train, valid and test windows, with row numbers in place of ids.

    catalogue.parquet     row int32, item_id, title, text, categories, price, available, first_seen, attributes, and
                          vector, if the data supply some; in row order, which is a seeded shuffle: ties broken
                          by row are broken at random
    users.parquet         user_row int32, user_id, and attributes if the data describe users
    interactions.parquet  user_row, item_row int32, timestamp, event, value, weight float32, fold uint8 (the window of
                          the event: 0 train, 1 valid, 2 test), sorted by (user_row, timestamp, item_row)
    split.json            `Facts`

A fold is named after the window that it is scored on: the models of `valid` are fitted on train, those of `test` on
train and valid, those of `all` on everything, for the release. The rows that a fold is fitted on are its fit set, and
also its users' histories. `recsys/data/split_protocols.py` decides which row belongs to which window.
"""

import json
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import polars as pl

from recsys.contracts import BoolArray, History, IntArray, TrainingData, epoch_seconds
from recsys.errors import DataError, ParamsError, one_line
from recsys.params import Section

Fold = Literal["valid", "test", "all"]
ScoredFold = Literal["valid", "test"]
SCORED: tuple[ScoredFold, ...] = ("valid", "test")
ROW_GROUP_ROWS = 500_000
WINDOWS = {"train": 0, "valid": 1, "test": 2}
FITTED_BELOW = {"valid": 1, "test": 2, "all": 3}
PAIR = ["user_row", "item_row"]


class Window(Section):
    """Counts of a scored window: targets (user-item pairs), their users and items, and how many of these are cold."""

    targets: int
    users: int
    cold_users: int
    items: int
    cold_items: int


class Facts(Section):
    """The content of `split.json`. now: fold -> end of its fit set, UTC; events: window -> number of rows. query_time:
    the time at which evaluation queries for a user: "now", or the "last_event" of the user's history."""

    protocol: Literal["global_time", "per_user_holdout"]
    target_events: list[str]
    allow_repeat: bool
    now: dict[str, datetime]
    query_time: Literal["now", "last_event"]
    n_users: int
    n_items: int
    events: dict[str, int]
    windows: dict[str, Window]


@dataclass(frozen=True)
class Split:
    """The tables of a split; the docstring of this module lists the columns. events: the interactions, read only when
    collected."""

    events: pl.LazyFrame
    catalogue: pl.DataFrame
    users: pl.DataFrame
    facts: Facts

    @cached_property
    def interactions(self) -> pl.DataFrame:
        """All `events`, in memory."""
        return self.events.collect()

    def fit_rows(self, fold: Fold) -> pl.DataFrame:
        """Return the interactions that `fold` is fitted on; they are also its users' histories."""
        return self.interactions.filter(pl.col("fold") < FITTED_BELOW[fold])

    def histories(self, fold: Fold, users: IntArray) -> list[History]:
        """Return the history of each of these users (user rows): the user's events before the window of `fold`."""
        fitted = self.fit_rows(fold)
        n_events = np.bincount(fitted["user_row"].to_numpy(), minlength=self.users.height)
        ends = np.cumsum(n_events)
        rows, weights = fitted["item_row"].to_numpy(), fitted["weight"].to_numpy()
        times = epoch_seconds(fitted["timestamp"])
        parts = [slice(int(ends[user] - n_events[user]), int(ends[user])) for user in users]
        return [History(rows[part], weights[part], times[part]) for part in parts]

    def targets(self, fold: ScoredFold) -> pl.DataFrame:
        """Return the targets in the window of `fold`: distinct user_row, item_row, sorted. A target is an item with a
        target event of a weight above 0; items of the user's history only with `allow_repeat`."""
        return targets_in(self.interactions, fold, self.facts.target_events, self.facts.allow_repeat)

    def training(self, fold: Fold, seed: int, threads: int) -> TrainingData:
        n_users, n_items = self.users.height, self.catalogue.height
        events = self.events.filter(pl.col("fold") < FITTED_BELOW[fold])
        return TrainingData(events, self.catalogue, n_users, n_items, self.now(fold), seed, threads)

    def now(self, fold: Fold) -> float:
        return self.facts.now[fold].timestamp()

    def end(self, fold: ScoredFold) -> float | None:
        """Return the end of the window of `fold`, UTC seconds; None if the windows overlap in time."""
        if self.facts.protocol != "global_time":
            return None
        return self.now("test" if fold == "valid" else "all")

    def query_now(self, fold: Fold, history: History) -> float:
        """Return the time of a query for a user with this history, UTC seconds; see `Facts.query_time`."""
        own_clock = self.facts.query_time == "last_event" and len(history) > 0
        return float(history.times[-1]) if own_clock else self.now(fold)

    def available(self, fold: Fold) -> BoolArray:
        """(n_items,) bool: the items that may be shown in `fold`. The catalogue has only the present availability,
        which only the fold `all` uses. In the other folds every item counts as available. One exception: if the split
        is by user, so that windows overlap in time, items without an event up to the window of `fold` are left out."""
        if fold == "all":
            return self.catalogue["available"].to_numpy()
        available = np.ones(self.catalogue.height, dtype=np.bool_)
        if self.facts.protocol != "global_time":  # here `first_seen` excludes such items
            until = pl.col("fold") <= WINDOWS[fold]
            for there, rows in ((False, ~until), (True, until)):
                available[self.interactions.filter(rows)["item_row"].to_numpy()] = there
        return available

    def cold_items(self, fold: Fold) -> IntArray:
        """(m,) int32 items without a single event in the fit set, ascending."""
        rows = self.fit_rows(fold)["item_row"].to_numpy()
        return np.flatnonzero(np.bincount(rows, minlength=self.catalogue.height) == 0).astype(np.int32)


def targets_in(rows: pl.DataFrame, fold: ScoredFold, target_events: list[str], allow_repeat: bool) -> pl.DataFrame:
    """Return what `Split.targets` says, of rows that are all rows of their users."""
    wanted = rows.lazy().filter(
        pl.col("fold") == WINDOWS[fold], pl.col("event").is_in(target_events), pl.col("weight") > 0
    )
    if not allow_repeat:
        fitted = rows.lazy().filter(pl.col("fold") < FITTED_BELOW[fold])
        wanted = wanted.join(fitted, on=PAIR, how="anti")
    return wanted.select(PAIR).unique().sort(PAIR).collect()


def folds(names: list[str], kind: Any = Fold, **options: list[Path]) -> list[Any]:
    """Return these names of folds if all are of this kind, `Fold` or `ScoredFold`: Typer has no lists of literals.
    options: what was given for each fold, by the name of the option.

    Raises:
        ParamsError: "--fold 'vlaid': expected one of valid, test, all"
        ParamsError: "--fold is given 2 times and --out 1 times: give one --out for each --fold"
    """
    if odd := set(names) - set(get_args(kind)):
        raise ParamsError(f"--fold {min(odd)!r}: expected one of {', '.join(get_args(kind))}")
    for option, given in options.items():
        if len(given) != len(names):
            times = f"--fold is given {len(names)} times and --{option} {len(given)} times"
            raise ParamsError(f"{times}: give one --{option} for each --fold")
    return names


def save(split: Split, folder: Path) -> None:
    """Write the split into an existing folder, as four files."""
    write(split.interactions.lazy(), split.catalogue, split.users, split.facts, folder)


def write(interactions: pl.LazyFrame, catalogue: pl.DataFrame, users: pl.DataFrame, facts: Facts, folder: Path) -> None:
    """Write what `save` writes; the interactions pass through as a stream."""
    path = folder / "interactions.parquet"
    interactions.sink_parquet(path, compression="lz4", row_group_size=ROW_GROUP_ROWS)
    for name, table in (("catalogue", catalogue), ("users", users)):  # the bytes must not show where chunks ended
        table.rechunk().write_parquet(folder / f"{name}.parquet", compression="zstd")
    content = facts.model_dump(mode="json")
    (folder / "split.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def load(folder: Path) -> Split:
    """Read a split that `save` wrote.

    Raises:
        DataError: "data/split: not a readable split (...); run `dvc repro split`"
    """
    try:
        events = pl.scan_parquet(folder / "interactions.parquet")
        events.collect_schema()  # raises if the file is not readable
        return Split(
            events=events,
            catalogue=pl.read_parquet(folder / "catalogue.parquet"),
            users=pl.read_parquet(folder / "users.parquet"),
            facts=Facts.model_validate_json((folder / "split.json").read_bytes()),
        )
    except (OSError, ValueError, pl.exceptions.PolarsError) as error:
        raise DataError(f"{folder}: not a readable split ({one_line(str(error))}); run `dvc repro split`") from error
