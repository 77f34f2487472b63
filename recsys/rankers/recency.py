"""Orders candidates by the best source score times the recent share of the item's demand:

    best score * recent demand / (popularity + smoothing)

On data of shops, where demand is seasonal, few rankers are better than this simple product; on ratings of films it
lowers NDCG. So it is not the default: choose it on the validation window of your data.
"""

import numpy as np

from recsys.bundle.bundle import Bundle
from recsys.contracts import FloatArray, IntArray, Query, RankerReasons, Term
from recsys.params import Section


class Config(Section):
    """smoothing: added to the popularity, so that a rare item is not first after one sale; None: as in the manifest."""

    smoothing: float | None = None


class Recency:
    """The ranker of this module. Negative source scores are set to 0: a larger factor would move them down."""

    def __init__(self, bundle: Bundle, config: Config) -> None:
        smoothing = bundle.manifest.smoothing if config.smoothing is None else config.smoothing
        self._smoothed = bundle.catalogue.popularity + np.float32(smoothing)
        self._recent = bundle.catalogue.recent

    def rank(self, query: Query, rows: IntArray, scores: FloatArray) -> FloatArray:
        best: FloatArray = np.fmax.reduce(scores, axis=0).clip(min=0)
        return best * self._factor(query, rows)

    def _factor(self, query: Query, rows: IntArray) -> FloatArray:
        recent = self._recent if query.live is None else query.live.demand
        ratio: FloatArray = recent[rows] / self._smoothed[rows]
        return ratio

    def explain(
        self, query: Query, rows: IntArray, scores: FloatArray, labels: list[str], at: IntArray
    ) -> list[RankerReasons]:
        """Explain a score as one term, of the source with the best score, and two factors; see `ExplainsRanking`."""
        reasons = []
        for place, recent in zip(at.tolist(), self._factor(query, rows[at]).tolist(), strict=True):
            column = np.nan_to_num(scores[:, place], nan=-np.inf)
            label = labels[int(column.argmax())]
            score = max(float(column.max()), 0.0)
            factors = {label: score, "recent_share": recent}
            reasons.append(RankerReasons([Term(f"{label}_score", score * recent, label)], factors))
        return reasons


def build(bundle: Bundle, config: Config) -> Recency:
    """Build the ranker for a bundle."""
    return Recency(bundle, config)
