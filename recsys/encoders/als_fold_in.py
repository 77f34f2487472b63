"""A user's ALS vector from the history, at request time: one small linear system, no training library.

Source: Hu, Koren, Volinsky, "Collaborative Filtering for Implicit Feedback Datasets", ICDM 2008, equation 4, written as
    (Y'Y + lambda I + sum (c_i - 1) y_i y_i') x = sum c_i y_i
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from recsys.contracts import SECONDS_PER_DAY, FloatArray, History


class AlsFoldIn:
    """vectors: (n_items, dim) item factors, zero for unknown items; gram: (dim, dim), Y'Y + lambda I."""

    def __init__(self, vectors: FloatArray, gram: FloatArray, alpha: float, half_life_days: float) -> None:
        self._vectors = vectors
        self._gram = gram.astype(np.float64)
        self._alpha = alpha
        self._half_life_days = half_life_days

    def encode(self, history: History, now: float) -> FloatArray | None:
        """(dim,) float32, or None when no item of the history is known and liked."""
        age_days = (now - history.times) / SECONDS_PER_DAY
        weights = history.weights * np.exp2(-np.maximum(age_days, 0) / self._half_life_days)
        rows, position = np.unique(history.rows[weights > 0], return_inverse=True)
        confidence = self._alpha * np.bincount(position, weights[weights > 0], minlength=len(rows))
        items = self._vectors[rows].astype(np.float64)
        known = items.any(axis=1)
        if not known.any():
            return None
        items, confidence = items[known], confidence[known]
        system = self._gram + (items.T * (confidence - 1)) @ items
        vector: FloatArray = np.linalg.solve(system, confidence @ items).astype(np.float32)
        return vector


def build(vectors: FloatArray, params: Mapping[str, Any], arrays: Mapping[str, FloatArray]) -> AlsFoldIn:
    """See `AlsFoldIn`."""
    return AlsFoldIn(vectors, arrays["gram"], float(params["alpha"]), float(params["half_life_days"]))
