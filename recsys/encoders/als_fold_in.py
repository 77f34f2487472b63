"""Computes a user's vector of an ALS model from the history, at request time, by solving a small linear system.

Source: Hu, Koren, Volinsky, "Collaborative Filtering for Implicit Feedback Datasets", ICDM 2008, equation 4, written as
    (Y'Y + lambda I + sum (c_i - 1) y_i y_i') x = sum c_i y_i
x is the user's vector, y_i the vector of item i and c_i the confidence of the user in it. With few liked items a
smaller system is solved: (G + Y'DY)^-1 Y' = G^-1 Y' (I + D Y G^-1 Y')^-1, with G = Y'Y + lambda I over all items, but Y
and D = diag(c - 1) of the liked items (Woodbury, "Inverting modified matrices", 1950).
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from recsys.contracts import SECONDS_PER_DAY, FloatArray, History, IntArray, Parts

Doubles = npt.NDArray[np.float64]


class AlsFoldIn:
    """The ALS encoder. vectors: (n_items, dim) item factors, zeros for items that the model does not have; gram: (dim,
    dim), Y'Y + lambda I; alpha, half_life_days: as in training, see `recsys/models/als.py`. base: the confidence in an
    item before its likes add to it; regularization_per_item: what each liked item adds to lambda, see
    `recsys/models/als_spark.py`."""

    def __init__(
        self,
        vectors: FloatArray,
        gram: FloatArray,
        alpha: float,
        half_life_days: float,
        base: float = 0.0,
        regularization_per_item: float = 0.0,
    ) -> None:
        self._vectors = vectors
        self._gram = gram.astype(np.float64)
        self._per_item = regularization_per_item
        self._inverse = None if self._per_item else np.linalg.inv(self._gram)
        self._base = base
        self._alpha = alpha
        self._half_life_days = half_life_days

    def encode(self, history: History, now: float) -> FloatArray | None:
        """Return the user's vector, (dim,) float32; None if the model has no vector for any liked item."""
        _, items, confidence = self._liked(history, now)
        if not len(items):
            return None
        vector: FloatArray = self._solve(items, confidence, confidence).astype(np.float32)
        return vector

    def explain(self, history: History, now: float, vectors: FloatArray) -> Parts | None:
        """Return what each liked item adds to the scores of the items with these `vectors`: the similarity of the two
        items for this user, times c_i (section 5 of the paper). None if the model has no vector for any liked item."""
        rows, items, confidence = self._liked(history, now)
        if not len(items):
            return None
        solved = self._solve(items, confidence, np.diag(confidence))  # (dim, m)
        return Parts(rows, vectors @ solved)

    def _solve(self, items: Doubles, confidence: Doubles, of_items: Doubles) -> Doubles:
        """Solve the system with items' @ of_items as its right-hand side. items: (m, dim), of_items: (m,) or (m, n)."""
        more = confidence - 1
        if self._inverse is None or 2 * len(items) > len(self._gram):
            whole = self._gram + (items.T * more) @ items
            whole.ravel()[:: len(whole) + 1] += self._per_item * len(items)
            return np.linalg.solve(whole, items.T @ of_items).astype(np.float64, copy=False)
        spread = self._inverse @ items.T
        inner = more[:, None] * (items @ spread)
        inner.ravel()[:: len(inner) + 1] += 1
        of_few: Doubles = spread @ np.linalg.solve(inner, of_items)
        return of_few

    def _liked(self, history: History, now: float) -> tuple[IntArray, Doubles, Doubles]:
        """Return rows (m,) int32, vectors (m, dim) and confidences (m,) float64 of the liked items with a vector."""
        rows, counts = decayed_likes(history, now, self._half_life_days)
        confidence, items = self._base + self._alpha * counts, self._vectors.take(rows, axis=0)
        known = items.any(axis=1) & (counts > 0)
        if not known.all():
            rows, items, confidence = rows[known], items[known], confidence[known]
        return rows, items.astype(np.float64), confidence


def decayed_likes(history: History, now: float, half_life_days: float) -> tuple[IntArray, Doubles]:
    """Return the liked items, (m,) int32, and the sum of weight * 0.5 ** (age_days / half_life_days) of each, (m,).
    now: UTC seconds; a like after it has the age 0. The sum may be 0 for very old likes."""
    rows, place = history.liked_items
    _, weights, times = history.liked
    weights = decayed(weights, times, now, half_life_days)
    return rows, np.bincount(place, weights, minlength=len(rows)).astype(np.float64, copy=False)


def decayed(weights: FloatArray, times: npt.NDArray[np.float64], now: float, half_life_days: float) -> FloatArray:
    """Return weight * 0.5 ** (age_days / half_life_days) of each event, (n_events,) float32. times, now: UTC seconds;
    an event after `now` has the age 0."""
    age_days = np.maximum(now - times, 0) / SECONDS_PER_DAY
    return (weights * np.exp2(-age_days / half_life_days)).astype(np.float32)


def build(vectors: FloatArray, params: Mapping[str, Any], arrays: Mapping[str, FloatArray]) -> AlsFoldIn:
    """Build the encoder from the vectors, params and arrays of the model's `Embeddings`."""
    alpha, half_life_days = float(params["alpha"]), float(params["half_life_days"])
    base, per_item = float(params.get("base", 0)), float(params.get("regularization_per_item", 0))
    return AlsFoldIn(vectors, arrays["gram"], alpha, half_life_days, base, per_item)
