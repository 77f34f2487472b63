"""Computes a user's ALS vector from the history, at request time: one small linear system, no training library.

Source: Hu, Koren, Volinsky, "Collaborative Filtering for Implicit Feedback Datasets", ICDM 2008, equation 4, written as
    (Y'Y + lambda I + sum (c_i - 1) y_i y_i') x = sum c_i y_i
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
        self._alpha = alpha
        self._half_life_days = half_life_days

    def encode(self, history: History, now: float) -> FloatArray | None:
        """(dim,) float32, or None if the model has no vector for any liked item of the history."""
        _, items, confidence = self._liked(history, now)
        if not len(items):
            return None
        system = self._gram + (items.T * (confidence - 1)) @ items
        vector: FloatArray = np.linalg.solve(system, confidence @ items).astype(np.float32)
        return vector

    def explain(self, history: History, now: float, vectors: FloatArray) -> Parts | None:
        """Return the shares s_ij c_j of section 5: similarity of i and j for this user, times confidence."""
        rows, items, confidence = self._liked(history, now)
        if not len(items):
            return None
        system = self._gram + (items.T * (confidence - 1)) @ items
        solved = np.linalg.solve(system, items.T)  # (dim, m)
        return Parts(rows, (vectors @ solved) * confidence)

    def _liked(self, history: History, now: float) -> tuple[IntArray, Doubles, Doubles]:
        """Return the liked items with a vector: rows (m,) int32; vectors (m, dim), confidences (m,) float64."""
        weights = decayed(history.weights, history.times, now, self._half_life_days)
        liked = weights > 0
        rows, position = np.unique(history.rows[liked], return_inverse=True)
        confidence = self._alpha * np.bincount(position, weights[liked], minlength=len(rows))
        items = self._vectors[rows].astype(np.float64)
        known = items.any(axis=1)
        return rows[known], items[known], confidence[known].astype(np.float64)


def decayed(weights: FloatArray, times: npt.NDArray[np.float64], now: float, half_life_days: float) -> FloatArray:
    """weight * 0.5 ** (age_days / half_life_days), (n_events,) float32; an event after `now` counts in full."""
    age_days = np.maximum(now - times, 0) / SECONDS_PER_DAY
    return (weights * np.exp2(-age_days / half_life_days)).astype(np.float32)


def build(vectors: FloatArray, params: Mapping[str, Any], arrays: Mapping[str, FloatArray]) -> AlsFoldIn:
    """Make the encoder from the params and arrays of the embeddings."""
    return AlsFoldIn(vectors, arrays["gram"], float(params["alpha"]), float(params["half_life_days"]))
