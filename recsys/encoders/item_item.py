"""Scores items by a model of item pairs: the sum, over the history, of the weight of an item times the pair's score."""

import numpy as np

from recsys.contracts import SECONDS_PER_DAY, FloatArray, History, IntArray, ItemItem, Parts


def history_weights(model: ItemItem, history: History, now: float) -> tuple[IntArray, FloatArray]:
    """Return the rows of the newest liked items, newest first, (m,) int32, and their weights, (m,) float32.

        weight = 0.5 ** (age_days of the item's newest like / half_life_days) * place_decay ** position, from 0

    Items that arrived after the training, which the model does not have, are left out. now: UTC seconds.
    """
    rows, _, times = history.liked
    items, place = history.liked_items
    last = np.empty(len(items), dtype=np.intp)
    last[place] = np.arange(len(rows))  # the last assignment, the newest event, wins
    newest = np.sort(last[items < len(model.indptr) - 1])[::-1][: int(model.params["last"])]
    age_days = np.maximum(now - times[newest], 0) / SECONDS_PER_DAY
    fresh = np.exp2(-age_days / float(model.params["half_life_days"]))
    weights: FloatArray = (fresh * float(model.params["place_decay"]) ** np.arange(len(newest))).astype(np.float32)
    return rows[newest], weights


def scores(model: ItemItem, history: History, now: float, n_items: int) -> FloatArray:
    """Return the scores of all items, (n_items,) float32; 0 for an item that has no pair with the history."""
    rows, weights = history_weights(model, history, now)
    begins, sizes = model.indptr[rows], model.indptr[rows + 1] - model.indptr[rows]
    pairs = np.arange(sizes.sum()) + np.repeat(begins - np.cumsum(sizes) + sizes, sizes)
    found = np.zeros(n_items, dtype=np.float32)
    np.add.at(found, model.rows[pairs], np.repeat(weights, sizes) * model.scores[pairs])
    return found


def explain(model: ItemItem, history: History, now: float, row: int) -> Parts | None:
    """Return what each item of the history adds to the score of the item in `row`; None if none has a pair with it."""
    rows, weights = history_weights(model, history, now)
    shares = np.zeros(len(rows))
    for at, (mine, weight) in enumerate(zip(rows.tolist(), weights.tolist(), strict=True)):
        part = slice(int(model.indptr[mine]), int(model.indptr[mine + 1]))
        shares[at] = weight * float(model.scores[part][model.rows[part] == row].sum())
    return Parts(rows, shares[None, :]) if shares.any() else None
