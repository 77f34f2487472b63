"""The features of a learned ranker, computed by the same function in training and in serving.

Of every model: the score, relative to the best candidate's; its rank, as log(1 + place); the score times the recent
share of the item's demand; the cosines to the user's newest likes, the best and the mean. Of the item: the recent
share, and the recent demand in units of the average item's. Of the user: how many items are liked, and how many days
since the last event. NaN says that it is not known. An item's whole popularity is left out on purpose: with it the
trees learn the items of one window by heart, which pays off in that window only.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from recsys.contracts import SECONDS_PER_DAY, FloatArray, History, IntArray, Query

if TYPE_CHECKING:
    from recsys.bundle.bundle import Bundle

OF_A_MODEL = {"score": 1, "rank": -1, "times_recent": 1, "nearest": 1, "likeness": 1}
OF_ITEM_AND_USER = {"recent_share": 1, "recent_demand": 1, "liked": 0, "idle_days": 0}
NEWEST = 20  # likes that the cosines look at
SMOOTHING = 20  # users an item needs before its recent share counts fully


def names(models: Sequence[str]) -> dict[str, int]:
    """Return every feature in order, with its sense: 1 may only raise a score, -1 only lower it, 0 either.

    >>> list(names(["als"]))[:2]
    ['als_score', 'als_rank']
    """
    return {f"{model}_{name}": sense for model in models for name, sense in OF_A_MODEL.items()} | OF_ITEM_AND_USER


def split(feature: str) -> tuple[str | None, str]:
    """Split a feature's name into its model (None for a feature of the item or user) and the rest.

    >>> split("als_long_times_recent"), split("recent_share")
    (('als_long', 'times_recent'), (None, 'recent_share'))
    """
    for name in OF_A_MODEL:
        if feature.endswith(f"_{name}") and feature not in OF_ITEM_AND_USER:
            return feature.removesuffix(f"_{name}"), name
    return None, feature


class RankingFeatures:
    """Computes the features of one bundle's items for these models."""

    def __init__(self, bundle: "Bundle", models: Sequence[str]) -> None:
        self.names = tuple(names(models))
        self._vectors = {model: bundle.models[model].embeddings.vectors for model in models}
        self._lengths = {model: np.linalg.norm(vectors, axis=1) for model, vectors in self._vectors.items()}
        self._smoothed = bundle.catalogue.popularity + np.float32(SMOOTHING)
        self._recent = bundle.catalogue.recent
        self._mean = max(float(self._recent.mean()), 1e-9)

    def of(self, query: Query, rows: IntArray) -> FloatArray:
        """Compute the features: query with its vectors, rows (m,) int32 -> (m, n_features) float32."""
        recent, mean = self._recent[rows], self._mean
        if query.live is not None:
            recent, mean = query.live.demand[rows], max(query.live.total / len(query.live.demand), 1e-9)
        share = recent / self._smoothed[rows]
        likes = liked(query.history)[-NEWEST:]
        columns: list[FloatArray] = []
        for model, vectors in self._vectors.items():
            columns += self._of_model(query.vectors.get(model), vectors, self._lengths[model], rows, likes, share)
        history = query.history
        idle = (query.now - history.times[-1]) / SECONDS_PER_DAY if len(history.rows) else np.nan
        user = [np.full(len(rows), value, dtype=np.float32) for value in (n_liked(history), idle)]
        return np.column_stack([*columns, share, recent / mean, *user]).astype(np.float32)

    @staticmethod
    def _of_model(
        vector: FloatArray | None,
        vectors: FloatArray,
        lengths: FloatArray,
        rows: IntArray,
        likes: IntArray,
        share: FloatArray,
    ) -> list[FloatArray]:
        if vector is None:
            return [np.full(len(rows), np.nan, dtype=np.float32)] * len(OF_A_MODEL)
        mine, known = vectors[rows], lengths[rows] > 0
        score = mine @ vector
        score[~known] = np.nan
        score /= max(float(np.nanmax(score, initial=-np.inf)), 1e-9)
        rank = np.empty(len(rows), dtype=np.float32)
        rank[np.argsort(-score, kind="stable")] = np.log1p(np.arange(len(rows)))
        rank[~known] = np.nan
        best = mean = np.full(len(rows), np.nan, dtype=np.float32)
        likes = likes[lengths[likes] > 0]
        if len(likes):
            unit = (vectors[likes] / lengths[likes, None]).T
            cosines = mine @ unit / np.where(known, lengths[rows], np.nan)[:, None]
            best, mean = cosines.max(axis=1), cosines.mean(axis=1)
        return [score, rank, score.clip(min=0) * share, best, mean]


def liked(history: History) -> IntArray:
    """Return (n,) int32: the rows of the events with weight above 0, oldest first."""
    return history.rows[history.weights > 0]


def n_liked(history: History) -> int:
    """Return how many different items the user liked."""
    return len(np.unique(liked(history)))


def by_formula(feature: FloatArray, recent_demand: FloatArray) -> FloatArray:
    """Return the score by one feature, (m,) float32: 0 or more; rows where it is NaN score below 0, by demand."""
    unknown = recent_demand / (1 + recent_demand) - 1
    ordered: FloatArray = np.where(np.isnan(feature), unknown, feature.clip(min=0)).astype(np.float32)
    return ordered
