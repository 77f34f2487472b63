"""Compares two variants user by user: the one-sided paired t-test."""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from recsys.ranking import Values


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
    reach = float(stats.t.ppf(1 - alpha, n - 1)) * error
    if not differing:
        return Paired(value, other, error, reach, 1.0)
    p = float(stats.t.sf((value - other) / error, n - 1)) if error > 0 else float(value <= other)
    return Paired(value, other, error, reach, max(p, 0.5**differing))  # a floor, because a few equal users prove little
