"""Features of a user's likes of each item: how often, how long ago, and the usual days between them."""

from dataclasses import dataclass

import numpy as np

from recsys.contracts import HALF_LIVES_DAYS, SECONDS_PER_DAY, FloatArray, History, IntArray


@dataclass(frozen=True)
class Liked:
    """The user's liked items, each once: rows (m,) int32 ascending; visits (m,), days_since the last like and
    usual_days between two visits (m,) float32, NaN where that is not known; frequency (m,), the decayed count.
    """

    rows: IntArray
    visits: FloatArray
    days_since: FloatArray
    usual_days: FloatArray
    frequency: FloatArray

    @property
    def due(self) -> FloatArray:
        """(m,) float32: how due each item is: 1/2 after one usual gap, near 0 right after a like; 1 without a gap."""
        gaps: FloatArray = self.days_since / self.usual_days
        return np.where(np.isnan(gaps), 1, gaps / (1 + gaps)).astype(np.float32)


def liked(history: History, now: float, gap_days: FloatArray, half_life_days: float) -> Liked:
    """Compute the features of a history. gap_days: (n_items,) float32, of the catalogue."""
    counts = history.weights > 0
    age_days = np.maximum(now - history.times[counts], 0) / SECONDS_PER_DAY
    rows, place = np.unique(history.rows[counts], return_inverse=True)
    oldest, newest = np.zeros(len(rows)), np.full(len(rows), np.inf)
    np.maximum.at(oldest, place, age_days)
    np.minimum.at(newest, place, age_days)
    order = np.lexsort((age_days, place))
    same_item, pause = np.diff(place[order]) == 0, np.diff(age_days[order])
    again = place[order][1:][same_item & (pause >= HALF_LIVES_DAYS[0])]
    visits = 1 + np.bincount(again, minlength=len(rows))
    with np.errstate(divide="ignore", invalid="ignore"):
        usual = np.where(visits > 1, (oldest - newest) / (visits - 1), gap_days[rows])
    frequency = np.bincount(place, np.exp2(-age_days / half_life_days), len(rows))
    single = (each.astype(np.float32) for each in (visits, newest, usual, frequency))
    return Liked(rows, *single)
