"""Scores items by pairs with the items of a history. Linear: each item of the history has an exact share of a score."""

import numpy as np

from recsys.contracts import SECONDS_PER_DAY, FloatArray, History, IntArray, ItemItem, Parts


def history_weights(model: ItemItem, history: History, now: float) -> tuple[IntArray, FloatArray]:
    """Return the newest liked items, each once, newest first, and their weights: (m,) both.

        weight = 0.5 ** (age_days of its newest like / half_life_days) * place_decay ** place

    Rows that the model does not have, because the item arrived after training, are left out.
    """
    rows, _, times = history.liked
    items, place = history.liked_items
    last = np.empty(len(items), dtype=np.intp)
    last[place] = np.arange(len(rows))  # the last event of an item stays
    newest = np.sort(last[items < len(model.indptr) - 1])[::-1][: int(model.params["last"])]
    age_days = np.maximum(now - times[newest], 0) / SECONDS_PER_DAY
    fresh = np.exp2(-age_days / float(model.params["half_life_days"]))
    weights: FloatArray = (fresh * float(model.params["place_decay"]) ** np.arange(len(newest))).astype(np.float32)
    return rows[newest], weights


def scores(model: ItemItem, history: History, now: float, n_items: int) -> FloatArray:
    """Return (n_items,) float32 scores; 0 for an item without a pair with the history."""
    rows, weights = history_weights(model, history, now)
    begins, sizes = model.indptr[rows], model.indptr[rows + 1] - model.indptr[rows]
    pairs = np.arange(sizes.sum()) + np.repeat(begins - np.cumsum(sizes) + sizes, sizes)
    found = np.zeros(n_items, dtype=np.float32)
    np.add.at(found, model.rows[pairs], np.repeat(weights, sizes) * model.scores[pairs])
    return found


def explain(model: ItemItem, history: History, now: float, row: int) -> Parts | None:
    """Return the share of each item of the history in the score of the item in `row`; None if it has no pair."""
    rows, weights = history_weights(model, history, now)
    shares = np.zeros(len(rows))
    for at, (mine, weight) in enumerate(zip(rows.tolist(), weights.tolist(), strict=True)):
        part = slice(int(model.indptr[mine]), int(model.indptr[mine + 1]))
        shares[at] = weight * float(model.scores[part][model.rows[part] == row].sum())
    return Parts(rows, shares[None, :]) if shares.any() else None
