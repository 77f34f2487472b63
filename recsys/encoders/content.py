"""Computes a user's vector as the weighted sum of the vectors of the liked items, new items included.

    u = sum over items of c_i h_i v_i / |c|
    c_i = sqrt(sum over the user's events with the item of weight * 0.5 ** (age_days / half_life_days))

v_i is the vector of item i, and h_i the informativeness of a like of it, which training learns: a like of an item that
everybody buys has a small one. |c| is the Euclidean length of the vector of all c_i.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from recsys.contracts import FloatArray, History, IntArray, Parts
from recsys.encoders.als_fold_in import Doubles, decayed_likes


class Pooled:
    """The encoder. vectors: (n_items, dim) float32, v; informativeness: (n_items,) float32, h."""

    def __init__(self, vectors: FloatArray, informativeness: FloatArray, half_life_days: float) -> None:
        self._vectors = vectors
        self._informativeness = informativeness
        self._half_life_days = half_life_days

    def encode(self, history: History, now: float) -> FloatArray | None:
        """Return the user's vector, (dim,) float32; None if no liked item has a vector."""
        rows, items, confidence = self._liked(history, now)
        if not items.any():
            return None
        pooled = (confidence * self._informativeness[rows]) @ items / np.linalg.norm(confidence)
        vector: FloatArray = pooled.astype(np.float32)
        return vector

    def explain(self, history: History, now: float, vectors: FloatArray) -> Parts | None:
        """Return what each liked item adds to the scores of the items with these `vectors`: its term of the sum u times
        their vectors. None if no liked item has a vector."""
        rows, items, confidence = self._liked(history, now)
        if not items.any():
            return None
        terms = (vectors @ items.T) * (confidence * self._informativeness[rows])
        has_vector = items.any(axis=1)
        return Parts(rows[has_vector], terms[:, has_vector] / np.linalg.norm(confidence))

    def _liked(self, history: History, now: float) -> tuple[IntArray, Doubles, Doubles]:
        """Return rows (m,) int32, vectors (m, dim) and c (m,) float64 of the liked items."""
        rows, counts = decayed_likes(history, now, self._half_life_days)
        if not counts.all():
            rows, counts = rows[counts > 0], counts[counts > 0]
        return rows, self._vectors.take(rows, axis=0).astype(np.float64), np.sqrt(counts)


def build(vectors: FloatArray, params: Mapping[str, Any], arrays: Mapping[str, FloatArray]) -> Pooled:
    """Build the encoder from the vectors, params and arrays of the model's `Embeddings`."""
    return Pooled(vectors, arrays["told"], float(params["half_life_days"]))
