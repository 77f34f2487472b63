"""Scores items by pairs with the items of a history. Linear: each item of the history has an exact share of a score."""

import numpy as np

from recsys.contracts import SECONDS_PER_DAY, FloatArray, History, IntArray, ItemItem, Parts


def history_weights(model: ItemItem, history: History, now: float) -> tuple[IntArray, FloatArray]:
    """Return the newest liked items, each once, newest first, and their weights: (m,) both.

        weight = 0.5 ** (age_days of its newest like / half_life_days) * place_decay ** place

    Rows that the model does not have, because the item arrived after training, are left out.
    """
    liked = np.flatnonzero((history.weights > 0) & (history.rows < len(model.indptr) - 1))[::-1]
    rows, first = np.unique(history.rows[liked], return_index=True)
    newest = np.argsort(first, kind="stable")[: int(model.params["last"])]
    age_days = np.maximum(now - history.times[liked[first[newest]]], 0) / SECONDS_PER_DAY
    fresh = np.exp2(-age_days / float(model.params["half_life_days"]))
    weights: FloatArray = (fresh * float(model.params["place_decay"]) ** np.arange(len(newest))).astype(np.float32)
    return rows[newest], weights


def scores(model: ItemItem, history: History, now: float, n_items: int) -> FloatArray:
    """Return (n_items,) float32 scores; 0 for an item without a pair with the history."""
    rows, weights = history_weights(model, history, now)
    found = np.zeros(n_items, dtype=np.float32)
    for row, weight in zip(rows.tolist(), weights.tolist(), strict=True):
        part = slice(int(model.indptr[row]), int(model.indptr[row + 1]))
        found[model.rows[part]] += np.float32(weight) * model.scores[part]  # the rows of an item differ
    return found


def explain(model: ItemItem, history: History, now: float, row: int) -> Parts | None:
    """Return the share of each item of the history in the score of the item in `row`; None if it has no pair."""
    rows, weights = history_weights(model, history, now)
    shares = np.zeros(len(rows))
    for at, (mine, weight) in enumerate(zip(rows.tolist(), weights.tolist(), strict=True)):
        part = slice(int(model.indptr[mine]), int(model.indptr[mine + 1]))
        shares[at] = weight * float(model.scores[part][model.rows[part] == row].sum())
    return Parts(rows, shares[None, :]) if shares.any() else None
