"""Finds the half-life at which decayed popularity predicts the next likes best.

Every half-life of a grid from minutes to years orders the catalogue once; no model is fitted.
"""

import sys

import numpy as np

from recsys.bundle.catalogue import with_popularity
from recsys.contracts import FloatArray, IntArray
from recsys.data.split import ScoredFold, Split
from recsys.evaluation.tuning.validation_task import draw_task, score_order
from recsys.params import Params
from recsys.ranking import top_k

HALF_LIVES_DAYS = [2.0**power for power in range(-6, 15)]  # 22 minutes, 45 minutes, ... to 45 years
NEARLY = 0.99
MOST_ITEMS = 10_000  # of the order, more than any list needs


def find(data: Split, params: Params) -> float:
    """Return the half-life in days: of those that are nearly as good as the best one, the longest."""
    task = draw_task(data, params, least_events=0)
    values = {}
    for days in reversed(HALF_LIVES_DAYS):
        values[days] = score_order(order(demand(data, days)[0]), task)
        print(f"tune popularity: half-life {days:g} days, NDCG@10 {values[days]:.4f}", file=sys.stderr, flush=True)
    return max(days for days, value in values.items() if value >= NEARLY * max(values.values()))


def order(recent: FloatArray) -> IntArray:
    """Return (m,) int32 rows of the items with demand, largest first."""
    return top_k(recent, min(MOST_ITEMS, int((recent > 0).sum()))).astype(np.int32)


def demand(data: Split, half_life_days: float, fold: ScoredFold = "valid") -> tuple[FloatArray, FloatArray]:
    """Return the decayed likes before the window of `fold`, and all likes, (n_items,) float32 each."""
    counted = with_popularity(data.catalogue, data.fit_rows(fold), data.now(fold), half_life_days)
    return counted["recent"].to_numpy(), counted["popularity"].to_numpy()
