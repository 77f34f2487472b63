"""Finds the half-life at which decayed popularity predicts the next likes best, and the one of the source `repeat`.

For each half-life in a grid from minutes to years the catalogue is sorted once by decayed likes; no model is fitted.
The half-lives of `repeat` are multiples of the median interval between two likes of an item by the same user.
"""

import sys

import numpy as np

from recsys.bundle import catalogue
from recsys.contracts import FloatArray, IntArray
from recsys.data.split import ScoredFold, Split
from recsys.encoders.repeats import liked
from recsys.evaluation.tuning.validation_task import AT, draw_task, score_order
from recsys.params import Params
from recsys.ranking import top_k

HALF_LIVES_DAYS = [2.0**power for power in range(-6, 15)]  # 22 minutes, 45 minutes, ... to 45 years
GAPS = [1 / 4, 1, 4, 16, 64]  # half-lives of `repeat`, in median intervals
NEARLY = 0.99
MOST_ITEMS = 10_000  # of the sorted catalogue, more than any list needs


def find(data: Split, params: Params) -> float:
    """Return the half-life of popularity in days: the longest of those that score nearly as high as the best one."""
    task = draw_task(data, params, least_events=0)
    values = {}
    for days in reversed(HALF_LIVES_DAYS):
        values[days] = score_order(order(demand(data, days)[0]), task)
        print(f"tune popularity: half-life {days:g} days, NDCG@10 {values[days]:.4f}", file=sys.stderr, flush=True)
    return max(days for days, value in values.items() if value >= NEARLY * max(values.values()))


def of_repeats(data: Split, params: Params) -> float:
    """Return the half-life of the source `repeat` in days; that of popularity if no item is liked twice by a user."""
    gap_days = catalogue.gap_days(data.fit_rows("valid"), data.catalogue.height)
    if not data.facts.allow_repeat or np.isnan(gap_days).all():
        return params.data.recent_half_life_days
    task, values = draw_task(data, params, least_events=1), {}
    for days in (float(f"{times * np.nanmedian(gap_days):.2g}") for times in GAPS):
        lists = np.full((len(task.histories), AT), -1, dtype=np.int32)
        for user, history in enumerate(task.histories):
            found = liked(history, task.nows[user], gap_days, days)
            best = top_k(found.frequency * found.due, AT)
            lists[user, : len(best)] = found.rows[best]
        values[days] = task.value(lists)
        print(f"tune repeat: half-life {days:g} days, NDCG@10 {values[days]:.4f}", file=sys.stderr, flush=True)
    return max(values, key=lambda days: values[days])


def order(recent: FloatArray) -> IntArray:
    """Return the rows of the items with `recent` (n_items,) above 0, (m,) int32, largest first, at most 10,000."""
    return top_k(recent, min(MOST_ITEMS, int((recent > 0).sum()))).astype(np.int32)


def demand(data: Split, half_life_days: float, fold: ScoredFold = "valid") -> tuple[FloatArray, FloatArray]:
    """Return the likes before the window of `fold`, with exponential decay and without, each (n_items,) float32."""
    counted = catalogue.with_popularity(data.catalogue, data.fit_rows(fold), data.now(fold), half_life_days)
    return counted["recent"].to_numpy(), counted["popularity"].to_numpy()
