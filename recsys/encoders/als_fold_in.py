"""Computes a user's ALS vector from the history, at request time: one small linear system, no training library.

Source: Hu, Koren, Volinsky, "Collaborative Filtering for Implicit Feedback Datasets", ICDM 2008, equation 4, written as
    (Y'Y + lambda I + sum (c_i - 1) y_i y_i') x = sum c_i y_i
With few items it is solved in their space, by Woodbury's identity (Woodbury, "Inverting modified matrices", 1950).
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from recsys.contracts import SECONDS_PER_DAY, FloatArray, History, IntArray, Parts

Doubles = npt.NDArray[np.float64]


class AlsFoldIn:
    """The ALS encoder. vectors: (n_items, dim) item factors, zero if unknown; gram: (dim, dim), Y'Y + lambda I."""

    def __init__(self, vectors: FloatArray, gram: FloatArray, alpha: float, half_life_days: float) -> None:
        self._vectors = vectors
        self._gram = gram.astype(np.float64)
        self._inverse = np.linalg.inv(self._gram)
        self._alpha = alpha
        self._half_life_days = half_life_days

    def encode(self, history: History, now: float) -> FloatArray | None:
        """(dim,) float32, or None if the model has no vector for any liked item of the history."""
        _, items, confidence = self._liked(history, now)
        if not len(items):
            return None
        vector: FloatArray = self._solve(items, confidence, confidence @ items).astype(np.float32)
        return vector

    def explain(self, history: History, now: float, vectors: FloatArray) -> Parts | None:
        """Return the shares s_ij c_j of the paper's section 5: similarity for this user, times confidence."""
        rows, items, confidence = self._liked(history, now)
        if not len(items):
            return None
        solved = self._solve(items, confidence, items.T)  # (dim, m)
        return Parts(rows, (vectors @ solved) * confidence)

    def _solve(self, items: Doubles, confidence: Doubles, right: Doubles) -> Doubles:
        """Solve the system for a right-hand side (dim,) or (dim, n)."""
        more = confidence - 1
        if 2 * len(items) > len(self._gram) or not more.all():
            return np.linalg.solve(self._gram + (items.T * more) @ items, right).astype(np.float64)
        spread, solved = self._inverse @ items.T, self._inverse @ right
        inner = items @ spread
        inner.flat[:: len(inner) + 1] += 1 / more
        of_few: Doubles = solved - spread @ np.linalg.solve(inner, items @ solved)
        return of_few

    def _liked(self, history: History, now: float) -> tuple[IntArray, Doubles, Doubles]:
        """Return the liked items with a vector: rows (m,) int32; vectors (m, dim), confidences (m,) float64."""
        rows, counts = decayed_likes(history, now, self._half_life_days)
        confidence, items = self._alpha * counts, self._vectors[rows].astype(np.float64)
        known = items.any(axis=1) & (confidence > 0)
        return rows[known], items[known], confidence[known]


def decayed_likes(history: History, now: float, half_life_days: float) -> tuple[IntArray, Doubles]:
    """Return the liked items, (m,) int32, and the sum of weight * 0.5 ** (age_days / half_life_days) of each, (m,).

    A like after `now` counts in full; one that is so old that nothing is left of it counts 0.
    """
    rows, place = history.liked_items
    liked = history.weights > 0
    weights = decayed(history.weights[liked], history.times[liked], now, half_life_days)
    return rows, np.bincount(place, weights, minlength=len(rows)).astype(np.float64)


def decayed(weights: FloatArray, times: npt.NDArray[np.float64], now: float, half_life_days: float) -> FloatArray:
    """weight * 0.5 ** (age_days / half_life_days), (n_events,) float32; an event after `now` counts in full."""
    age_days = np.maximum(now - times, 0) / SECONDS_PER_DAY
    return (weights * np.exp2(-age_days / half_life_days)).astype(np.float32)


def build(vectors: FloatArray, params: Mapping[str, Any], arrays: Mapping[str, FloatArray]) -> AlsFoldIn:
    """Make the encoder from the params and arrays of the embeddings."""
    return AlsFoldIn(vectors, arrays["gram"], float(params["alpha"]), float(params["half_life_days"]))
