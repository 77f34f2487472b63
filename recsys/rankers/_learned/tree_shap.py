"""Computes SHAP values of a tree ensemble: exact, additive contributions of each feature to a score.

    score = base + sum over features of contribution

Source: Lundberg et al., "From local explanations to global understanding with explainable AI for trees", Nature Machine
Intelligence 2020 (path-dependent feature perturbation). For a coalition, the set of features whose values are known, a
leaf has the probability that a row with these values reaches it, a product of one factor per feature on its path: o (1
if the row passes all tests of the feature, else 0) for a feature of the coalition, z (the share of training rows that
pass them) for another one. All leaves of all trees are computed at once.
"""

from math import factorial
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from recsys.contracts import FloatArray

Doubles = npt.NDArray[np.float64]


class Test(NamedTuple):
    """One test on the path to a leaf, passed if (x <= threshold) == left, by NaN if `nan_passes`. covered: the share of
    the training rows at the node that pass it."""

    feature: int
    threshold: float
    left: bool
    nan_passes: bool
    covered: float


class TreeShap:
    """Computes contributions. leaves: (value, tests on the path) of all leaves; base: the score without features."""

    def __init__(self, leaves: list[tuple[float, list[Test]]], n_features: int) -> None:
        self._n_features = n_features
        self._values = np.array([value for value, _ in leaves])
        paths = [sorted(tests) for _, tests in leaves]
        features = [sorted({test.feature for test in tests}) for tests in paths]
        self._longest = max([1, *map(len, features)])
        tests = [test for path in paths for test in path]
        self._at = np.array([test.feature for test in tests], dtype=np.intp)
        self._threshold = np.array([test.threshold for test in tests])
        self._left = np.array([test.left for test in tests], dtype=np.bool_)
        self._nan_passes = np.array([test.nan_passes for test in tests], dtype=np.bool_)
        # a column per feature on the path; the columns of shorter paths are filled with o = z = 1, which change nothing
        shape = (len(leaves), self._longest)
        self._feature_of = np.zeros(shape, dtype=np.intp)
        self._z = np.ones(shape)
        self._place = np.array(
            [
                leaf * self._longest + features[leaf].index(test.feature)
                for leaf, path in enumerate(paths)
                for test in path
            ],
            dtype=np.intp,
        )
        np.multiply.at(self._z.reshape(-1), self._place, [test.covered for test in tests])
        self._feature_of.reshape(-1)[self._place] = self._at
        d = self._longest
        self._weights = [factorial(s) * factorial(d - s - 1) / factorial(d) for s in range(d)]
        self.base = float(self._values @ self._z.prod(axis=1))

    def contributions(self, x: FloatArray) -> Doubles:
        """Return how much each feature adds to the score of each row of x: (m, n_features) float64, where each row adds
        up to the score minus `base`. x: (m, n_features) float32."""
        found = np.zeros((len(x), self._n_features))
        for row, values in enumerate(x.astype(np.float64)):
            o = self._passed(values)
            phi = np.empty_like(o)
            for player in range(self._longest):
                others = [at for at in range(self._longest) if at != player]
                # line s: the sum over all coalitions of s other features
                coalitions = np.zeros((self._longest, len(o)))
                coalitions[0] = 1
                for at in others:
                    coalitions[1:] = coalitions[1:] * self._z[:, at] + coalitions[:-1] * o[:, at]
                    coalitions[0] *= self._z[:, at]
                phi[:, player] = (o[:, player] - self._z[:, player]) * (self._weights @ coalitions)
            phi *= self._values[:, None]
            found[row] = np.bincount(self._feature_of.ravel(), phi.ravel(), minlength=self._n_features)
        return found

    def _passed(self, values: Doubles) -> Doubles:
        """Return o for one row, (n_leaves, longest) float64: 1 where it passes all tests of the feature, else 0."""
        mine = values[self._at]
        passed = np.where(np.isnan(mine), self._nan_passes, (mine <= self._threshold) == self._left)
        o = np.ones(self._z.shape)
        o.reshape(-1)[self._place[~passed]] = 0
        return o


def leaves(fields: dict[str, str], nan_is_left: list[bool]) -> list[tuple[float, list[Test]]]:
    """Return (value, tests on the path) of each leaf of a tree. fields: its fields in LightGBM's text format.
    nan_is_left: for each node whether NaN goes to its left child."""
    values = [float(value) for value in fields["leaf_value"].split()]
    if len(values) == 1:
        return [(values[0], [])]
    feature, lefts, rights, inner, outer = (
        [int(number) for number in fields[name].split()]
        for name in ("split_feature", "left_child", "right_child", "internal_count", "leaf_count")
    )
    thresholds = [float(number) for number in fields["threshold"].split()]
    found: list[tuple[float, list[Test]]] = []
    todo: list[tuple[int, list[Test]]] = [(0, [])]
    while todo:
        node, path = todo.pop()
        if node < 0:
            found.append((values[~node], path))
            continue
        for left, child in ((True, lefts[node]), (False, rights[node])):
            covered = (outer[~child] if child < 0 else inner[child]) / inner[node]
            test = Test(feature[node], thresholds[node], left, nan_is_left[node] == left, covered)
            todo.append((child, [*path, test]))
    return found
