"""Confidence intervals of means over users by the percentile bootstrap, and the paired t-test of two variants.

Source: Efron, "Bootstrap methods: another look at the jackknife", 1979.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import special

from recsys.ranking import Values

CHUNK = 100  # replicates at a time, to bound memory: 4 MB for 5,000 users


@dataclass(frozen=True)
class Bootstrap:
    """Bootstrap over users. replicates: number of resamples; confidence: level of the intervals, such as 0.95."""

    replicates: int
    confidence: float
    seed: int

    def interval(self, values: Values) -> tuple[Values, Values, Values]:
        """Return mean and interval of each column.

        values: (n_users, n_columns) float64, NaN where a user has no value, which the mean leaves out. For a paired
        interval pass the difference of two variants per user as a column.
        Returns (mean, low, high), each (n_columns,), NaN for a column without any value.

        >>> bootstrap = Bootstrap(replicates=1000, confidence=0.95, seed=1)
        >>> mean, low, high = bootstrap.interval(np.array([[0.0], [1.0]] * 50))
        >>> float(mean[0]), bool(0.35 < low[0] < 0.45 and 0.55 < high[0] < 0.65)
        (0.5, True)
        """
        known = np.isfinite(values)
        gaps = ~known.all(axis=0)  # columns without NaN always have n_users values in a resample
        sums, present = np.where(known, values, 0.0), known[:, gaps].astype(np.float64)
        rng, drawn = np.random.default_rng(self.seed), np.empty((self.replicates, values.shape[1]))
        for start in range(0, self.replicates, CHUNK):
            weights = _draws(rng, min(CHUNK, self.replicates - start), len(values))
            counts = np.full((len(weights), values.shape[1]), float(len(values)))
            counts[:, gaps] = weights @ present
            drawn[start : start + CHUNK] = _ratio(weights @ sums, counts)
        tail = (1.0 - self.confidence) / 2.0
        low, high = np.full(values.shape[1], np.nan), np.full(values.shape[1], np.nan)
        some = known.any(axis=0)
        if some.any():
            low[some], high[some] = np.nanquantile(drawn[:, some], [tail, 1.0 - tail], axis=0)
        return _ratio(sums.sum(axis=0), known.sum(axis=0)), low, high


@dataclass(frozen=True)
class Paired:
    """The comparison of two variants: their means, the standard error of the difference, and the one-sided p-value."""

    value: float
    other: float
    error: float
    reach: float  # distance of each confidence bound from the difference
    p: float

    @property
    def difference(self) -> float:
        return self.value - self.other

    def __str__(self) -> str:
        low, high = self.difference - self.reach, self.difference + self.reach
        return (
            f"{self.value:.4f} against {self.other:.4f}, difference {self.difference:+.4f}, "
            f"between {low:+.4f} and {high:+.4f}"
        )


def paired(values: Values, others: Values, alpha: float) -> Paired:
    """Test whether `values` exceed `others`, both (n_users,) float64 of the same users; NaN users are left out.
    alpha: level of each confidence bound, see `Paired.reach`; the p-value does not depend on it.

    >>> found = paired(np.array([0.2, 0.4, 0.6, 0.8]), np.array([0.1, 0.2, 0.3, 0.4]), 0.05)
    >>> round(found.difference, 3), round(found.p, 3)
    (0.25, 0.062)
    """
    both = np.isfinite(values) & np.isfinite(others)
    n, differences = int(both.sum()), (values - others)[both]
    differing = int(np.count_nonzero(differences))
    value, other = (float(of[both].mean()) if n else 0.0 for of in (values, others))
    if n < 2:
        return Paired(value, other, np.inf, np.inf, 1.0)
    error = float(differences.std(ddof=1) / np.sqrt(n))
    reach = float(special.stdtrit(n - 1, 1 - alpha)) * error
    if not differing:
        return Paired(value, other, error, reach, 1.0)
    p = float(special.stdtr(n - 1, (other - value) / error)) if error > 0 else float(value <= other)
    return Paired(value, other, error, reach, max(p, 0.5**differing))  # a floor, because a few equal users prove little


def _draws(rng: np.random.Generator, replicates: int, n_users: int) -> Values:
    """(replicates, n_users) float64: how often each user is drawn when n_users are drawn with replacement."""
    drawn = rng.integers(0, n_users, size=(replicates, n_users)) + np.arange(replicates)[:, None] * n_users
    counts = np.bincount(drawn.ravel(), minlength=replicates * n_users)
    return counts.reshape(replicates, n_users).astype(np.float64)


def _ratio(total: Values, count: npt.NDArray[Any]) -> Values:
    ratio: Values = np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
    return ratio
