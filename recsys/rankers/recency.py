"""Best source score x share of the item's demand that is recent: score * recent / (popularity + smoothing).

On shops, where tastes follow the season, this simple product is hard to beat; on films it hurts. So a data set has to
choose it on its validation window, never by default.
"""

import numpy as np

from recsys.bundle.bundle import Bundle
from recsys.bundle.catalogue import Catalogue
from recsys.contracts import FloatArray, IntArray, Query, RankedWhy, Term
from recsys.params import Section


class Config(Section):
    """smoothing: users an item needs before its ratio counts fully; keeps one lucky sale from ruling the list."""

    smoothing: float


class Recency:
    """Scores below zero count as zero: a factor cannot turn dislike into like."""

    def __init__(self, bundle: Bundle, config: Config) -> None:
        self._factor = factor(bundle.catalogue, config.smoothing)

    def rank(self, query: Query, rows: IntArray, scores: FloatArray) -> FloatArray:
        best: FloatArray = np.fmax.reduce(scores, axis=0).clip(min=0)
        return best * self._factor[rows]

    def explain(
        self, query: Query, rows: IntArray, scores: FloatArray, labels: list[str], at: IntArray
    ) -> list[RankedWhy]:
        """The score of the best source, carried on to the history, times the factor."""
        reasons = []
        for place in at.tolist():
            column = np.nan_to_num(scores[:, place], nan=-np.inf)
            label, recent = labels[int(column.argmax())], float(self._factor[rows[place]])
            score = max(float(column.max()), 0.0)
            factors = {label: score, "recent_share": recent}
            reasons.append(RankedWhy([Term(f"{label}_score", score * recent, label)], factors))
        return reasons


def factor(catalogue: Catalogue, smoothing: float) -> FloatArray:
    """(n_items,) float32: what a score is multiplied with."""
    ratio: FloatArray = catalogue.recent / (catalogue.popularity + np.float32(smoothing))
    return ratio


def build(bundle: Bundle, config: Config) -> Recency:
    """See `Recency`."""
    return Recency(bundle, config)
