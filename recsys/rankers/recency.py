"""Best source score x share of the item's demand that is recent: score * recent / (popularity + smoothing).

On shops, where tastes follow the season, this simple product is hard to beat; on films it hurts. So a data set has to
choose it on its validation window, never by default.
"""

import numpy as np

from recsys.bundle.bundle import Bundle
from recsys.contracts import FloatArray, IntArray, Query, RankedWhy, Term
from recsys.params import Section


class Config(Section):
    """smoothing: users an item needs before its ratio counts fully; keeps one lucky sale from ruling the list."""

    smoothing: float


class Recency:
    """Scores below zero count as zero: a factor cannot turn dislike into like."""

    def __init__(self, bundle: Bundle, config: Config) -> None:
        self._smoothed = bundle.catalogue.popularity + np.float32(config.smoothing)
        self._recent = bundle.catalogue.recent

    def rank(self, query: Query, rows: IntArray, scores: FloatArray) -> FloatArray:
        best: FloatArray = np.fmax.reduce(scores, axis=0).clip(min=0)
        return best * self._factor(query, rows)

    def _factor(self, query: Query, rows: IntArray) -> FloatArray:
        """(m,) float32: what a score is multiplied with."""
        recent = self._recent if query.live is None else query.live.demand
        ratio: FloatArray = recent[rows] / self._smoothed[rows]
        return ratio

    def explain(
        self, query: Query, rows: IntArray, scores: FloatArray, labels: list[str], at: IntArray
    ) -> list[RankedWhy]:
        """The score of the best source, carried on to the history, times the factor."""
        reasons = []
        for place, recent in zip(at.tolist(), self._factor(query, rows[at]).tolist(), strict=True):
            column = np.nan_to_num(scores[:, place], nan=-np.inf)
            label = labels[int(column.argmax())]
            score = max(float(column.max()), 0.0)
            factors = {label: score, "recent_share": recent}
            reasons.append(RankedWhy([Term(f"{label}_score", score * recent, label)], factors))
        return reasons


def build(bundle: Bundle, config: Config) -> Recency:
    """See `Recency`."""
    return Recency(bundle, config)
