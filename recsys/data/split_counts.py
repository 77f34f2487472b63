"""Counts the rows of a split, batch by batch, for the facts in `split.json` and for the catalogue."""

from datetime import datetime

import numpy as np
import polars as pl

from recsys.data.split import FITTED_BELOW, SCORED, WINDOWS, Facts, ScoredFold, Window, targets_in
from recsys.errors import DataError
from recsys.params import SplitParams


class SplitCounts:
    """The sums over all rows added so far."""

    def __init__(self, params: SplitParams) -> None:
        self.n_rows = 0
        self._params = params
        self._folds: list[pl.DataFrame] = []  # of each batch: fold, events, first, last
        self._items: list[pl.DataFrame] = []  # of all batches, once one is added: item_row, first_event, first_fold
        self._windows = {fold: {"targets": 0, "users": 0, "cold_users": 0} for fold in SCORED}
        self._targets = {fold: np.empty(0, dtype=np.int32) for fold in SCORED}  # their distinct items

    def add(self, batch: pl.DataFrame) -> None:
        """Add rows of the split, among them all rows of their users."""
        self.n_rows += batch.height
        time = pl.col("timestamp")
        self._folds.append(batch.group_by("fold").agg(events=pl.len(), first=time.min(), last=time.max()))
        self._items.append(batch.group_by("item_row").agg(first_event=time.min(), first_fold=pl.col("fold").min()))
        joined = pl.concat(self._items).group_by("item_row").agg(pl.all().min())
        self._items = [joined]
        for fold in SCORED:
            targets = targets_in(batch, fold, self._params.target_events, self._params.allow_repeat)
            users = targets.select("user_row").unique()
            known = batch.lazy().filter(pl.col("fold") < FITTED_BELOW[fold]).select("user_row").unique()
            counts = self._windows[fold]
            counts["targets"] += targets.height
            counts["users"] += users.height
            counts["cold_users"] += users.join(known.collect(), on="user_row", how="anti").height
            self._targets[fold] = np.union1d(self._targets[fold], targets["item_row"].to_numpy())

    def facts(self, n_users: int, n_items: int) -> Facts:
        """Return the facts on all rows; raise if a window has no row or no target."""
        by_fold = pl.concat(self._folds).group_by("fold").agg(
            pl.col("events").sum(), pl.col("first").min(), pl.col("last").max()
        ).sort("fold")  # fmt: skip
        found = dict(by_fold.select("fold", "events").iter_rows())
        events = {name: found.get(window, 0) for name, window in WINDOWS.items()}
        for name, count in events.items():
            if not count:
                first, last = by_fold.select(pl.col("first").min(), pl.col("last").max()).row(0)
                raise DataError(
                    f"split: none of the {self.n_rows} interactions ({first:%Y-%m-%d %H:%M:%S} to "
                    f"{last:%Y-%m-%d %H:%M:%S}) is in the window {name!r}, expected at least 1: change "
                    "split.valid_share or split.test_share"
                )
        return Facts(
            protocol=self._params.protocol,
            target_events=self._params.target_events,
            allow_repeat=self._params.allow_repeat,
            now=self._ends(by_fold),
            query_time="now" if self._params.protocol == "global_time" else "last_event",
            n_users=n_users,
            n_items=n_items,
            events=events,
            windows={fold: self._window(fold, events[fold]) for fold in SCORED},
        )

    def catalogue(self, items: pl.DataFrame) -> pl.DataFrame:
        """Return the items, which are in row order, with `row`; `first_seen` becomes the time of the first event if
        that is earlier."""
        first = self._items[0].select("item_row", "first_event")
        return (
            items.with_columns(row=np.arange(items.height, dtype=np.int32))
            .join(first, left_on="row", right_on="item_row", how="left", maintain_order="left")
            .with_columns(first_seen=pl.min_horizontal("first_seen", "first_event"))
            .select("row", pl.exclude("row", "first_event"))
        )

    def _ends(self, by_fold: pl.DataFrame) -> dict[str, datetime]:
        """Return fold -> end of its fit set: the start of its window, or the last event if windows overlap in time."""
        if self._params.protocol == "global_time":
            return {"valid": by_fold["first"][1], "test": by_fold["first"][2], "all": by_fold["last"].max()}
        return dict(zip(FITTED_BELOW, by_fold["last"].cum_max(), strict=True))

    def _window(self, fold: ScoredFold, n_events: int) -> Window:
        if not self._windows[fold]["targets"]:
            raise DataError(
                f"split: no target in {fold}: none of its {n_events} interactions is a target event "
                f"({', '.join(self._params.target_events)}) on an item new to its user: check split.target_events and "
                "split.allow_repeat, or add data"
            )
        known = self._items[0].filter(pl.col("first_fold") < FITTED_BELOW[fold])["item_row"].to_numpy()
        items = self._targets[fold]
        return Window(**self._windows[fold], items=len(items), cold_items=int((~np.isin(items, known)).sum()))
