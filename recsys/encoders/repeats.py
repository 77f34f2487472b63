"""Computes for each item that a user liked: how often, how long ago, and the usual days between the likes."""

from dataclasses import dataclass

import numpy as np

from recsys.contracts import HALF_LIVES_DAYS, SECONDS_PER_DAY, FloatArray, History, IntArray


@dataclass(frozen=True)
class Liked:
    """The items that a user liked. rows: (m,) int32 ascending, each once; the others are (m,) float32. visits: number
    of visits with a like; days_since: days since the last like; usual_days: usual days between two visits, NaN if
    unknown; frequency: number of likes with exponential decay."""

    rows: IntArray
    visits: FloatArray
    days_since: FloatArray
    usual_days: FloatArray
    frequency: FloatArray

    @property
    def due(self) -> FloatArray:
        """A factor for each item that grows with the time since its last like, (m,) float32 in [0, 1]. It is 0 right
        after the like, 1/2 after the item's usual days between two likes, then towards 1; 1 if these are unknown."""
        gaps: FloatArray = self.days_since / self.usual_days
        return np.where(np.isnan(gaps), 1, gaps / (1 + gaps)).astype(np.float32)


def liked(history: History, now: float, gap_days: FloatArray, half_life_days: float) -> Liked:
    """Compute the values for a history. now: UTC seconds; gap_days: (n_items,) usual days between likes of an item over
    all users, for items that this user liked in one visit only; half_life_days: that of `Liked.frequency`."""
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
