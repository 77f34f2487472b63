"""Computes the curves of the report: by length of the list, by known items of a user, by known events of an item."""

from collections.abc import Mapping

import numpy as np
import polars as pl

from recsys.contracts import IntArray
from recsys.evaluation import metrics
from recsys.evaluation.results import DIGITS, FLOATS
from recsys.evaluation.sample import Sample
from recsys.evaluation.segments import NEW_USER

KNOWN_EVENTS = {"0": (0, 0), "1-3": (1, 3), "4-10": (4, 10), "more": (11, np.inf)}  # first and last number


def by_length(lists: Mapping[str, IntArray], sample: Sample) -> pl.DataFrame:
    """Return recall and NDCG for every length of the list: columns variant, k, recall, ndcg."""
    table = []
    for variant, rows in lists.items():
        found, n_targets = metrics.hits(rows, sample.targets), sample.targets.lengths
        for k in range(1, rows.shape[1] + 1):
            recall, ndcg = metrics.recall(found[:, :k], n_targets), metrics.ndcg(found[:, :k], n_targets)
            table.append((variant, k, float(recall.mean()), float(ndcg.mean())))
    frame = pl.DataFrame(table, schema=["variant", "k", "recall", "ndcg"], orient="row")
    return frame.with_columns(FLOATS.round(DIGITS))


def new_users(table: pl.DataFrame, metric: str) -> pl.DataFrame:
    """Return one metric by the number of liked items in the query: always of the same users, whose newest items are
    used. Columns: variant, known_items, value, low, high (interval). table: result of `results.against`."""
    rows = table.filter(pl.col("segment").str.starts_with(NEW_USER), metric=metric)
    known = pl.col("segment").str.strip_prefix(NEW_USER).cast(pl.Int64)
    return rows.select("variant", "value", "low", "high", known_items=known)


def ramp(lists: Mapping[str, IntArray], sample: Sample, k: int) -> pl.DataFrame:
    """Return how often items are recommended, by the number of their events in the fit set. Columns: variant;
    known_events, the group; items, the number of items in it; wanted, their share of all targets; shown, their share of
    the first k of all lists; found, the share of their targets among the first k. New items with shown < wanted are
    recommended too rarely."""
    wanted, table = sample.targets.rows, []
    for variant, rows in lists.items():
        slots, owners = rows[:, :k], sample.targets.owners
        hit = (slots[owners] == wanted[:, None]).any(axis=1)
        for label, (least, most) in KNOWN_EVENTS.items():
            items = (sample.known_events >= least) & (sample.known_events <= most)
            mine = items[wanted]
            found = hit[mine].mean() if mine.any() else np.nan
            shown = items[slots[slots >= 0]].mean() if (slots >= 0).any() else np.nan
            table.append((variant, label, int(items.sum()), float(mine.mean()), float(shown), float(found)))
    columns = ["variant", "known_events", "items", "wanted", "shown", "found"]
    return pl.DataFrame(table, schema=columns, orient="row").with_columns(FLOATS.fill_nan(None).round(DIGITS))
