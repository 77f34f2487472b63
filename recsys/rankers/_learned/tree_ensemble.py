"""Evaluates trees in LightGBM's text format in numpy: the API needs no LightGBM and no second OpenMP beside faiss's.

Source: Lucchese et al., "QuickScorer: a fast algorithm to rank documents with additive ensembles of regression trees",
SIGIR 2015. The leaves of a tree are numbered from left to right. Each test that a row of features fails (x > threshold)
rules out the leaves on its left side, and the row ends in the first leaf that remains. The bits of one byte per tree
are the remaining leaves, so that a row is evaluated by an AND of one precomputed line of bytes per feature.
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from recsys.contracts import FloatArray
from recsys.errors import BundleError
from recsys.rankers._learned.tree_shap import TreeShap, leaves

MAX_LEAVES = 8  # bits of a byte
CHUNK = 128  # rows at a time, so that everything stays in the processor's cache
DEFAULT_LEFT, MISSING_IS_NAN = 2, 8  # bits of LightGBM's decision_type

Bytes = npt.NDArray[np.uint8]


class Trees:
    """A tree ensemble. features: their names, in the order of the columns of x; shap: computes their contributions."""

    def __init__(self, path: Path) -> None:
        """Read a model that `Booster.save_model` wrote.

        Raises:
            BundleError: "bundle/rankers/learned/model.txt: not a readable model (...); run `dvc repro` again"
        """
        try:
            head, *trees = path.read_text(encoding="utf-8").split("\nend of trees")[0].split("\nTree=")
            self.features = _fields(head)["feature_names"].split()
            fields = [_fields(tree) for tree in trees]
            self._read(fields)
            self.shap = TreeShap(
                [leaf for tree in fields for leaf in leaves(tree, _nan_is_left(tree))], len(self.features)
            )
        except (OSError, ValueError, KeyError, IndexError, ArithmeticError, RecursionError) as error:
            raise BundleError(f"{path}: not a readable model ({error!r}); run `dvc repro` again") from error

    def predict(self, x: FloatArray) -> FloatArray:
        """Return the sum of the trees for each row of x, (m, n_features) float32: (m,) float32. NaN means unknown."""
        found = np.empty(len(x), dtype=np.float32)
        # feature -> for each row of x the line of the feature's table: the number of thresholds below
        lines: dict[int, npt.NDArray[np.intp]] = {}
        for at, (thresholds, _) in self._tests.items():
            column = x[:, at].astype(np.float64)
            lines[at] = np.where(np.isnan(column), len(thresholds) + 1, np.searchsorted(thresholds, column))
        for start in range(0, len(x), CHUNK):
            part = slice(start, start + CHUNK)
            possible = np.full((len(found[part]), len(self._first)), 255, dtype=np.uint8)
            for at, (_, left) in self._tests.items():
                possible &= left[lines[at][part]]
            found[part] = self._values[self._first + possible].sum(axis=1)
        return found

    def _read(self, trees: list[dict[str, str]]) -> None:
        tests: dict[int, list[tuple[float, int, int, bool]]] = {}
        values = np.zeros((len(trees), 256))
        for tree, fields in enumerate(trees):
            n_leaves = int(fields["num_leaves"])
            if not 1 <= n_leaves <= MAX_LEAVES:
                raise ValueError(f"a tree has {n_leaves} leaves, expected 1 to {MAX_LEAVES}")
            leaf_values = [float(value) for value in fields["leaf_value"].split()]
            if not np.isfinite(leaf_values).all():
                raise ValueError("a leaf has a value that is not finite")
            order = [0]
            if n_leaves > 1:
                feature, lefts, rights = (
                    [int(number) for number in fields[name].split()]
                    for name in ("split_feature", "left_child", "right_child")
                )
                nan_is_left = _nan_is_left(fields)
                if not set(feature) <= set(range(len(self.features))):
                    raise ValueError(f"a tree tests feature {max(feature)}, expected 0 to {len(self.features) - 1}")
                thresholds = [float(number) for number in fields["threshold"].split()]
                order = _leaves(0, lefts, rights)
                for node, threshold in enumerate(thresholds):
                    gone = sum(1 << order.index(leaf) for leaf in _leaves(lefts[node], lefts, rights))
                    tests.setdefault(feature[node], []).append((threshold, tree, 255 - gone, nan_is_left[node]))
            for possible in range(1, 256):
                lowest = (possible & -possible).bit_length() - 1
                values[tree, possible] = leaf_values[order[min(lowest, n_leaves - 1)]]
        self._values = values.ravel()
        self._first = np.arange(len(trees), dtype=np.int32) * 256
        self._tests = {at: _table(found, len(trees)) for at, found in sorted(tests.items())}


def _fields(text: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)


def _nan_is_left(fields: dict[str, str]) -> list[bool]:
    return [
        bool(int(kind) & DEFAULT_LEFT) if int(kind) & MISSING_IS_NAN else float(threshold) >= 0
        for kind, threshold in zip(
            fields.get("decision_type", "").split(), fields.get("threshold", "").split(), strict=True
        )
    ]


def _leaves(node: int, lefts: list[int], rights: list[int]) -> list[int]:
    """Return the numbers of the leaves below a node, from left to right; LightGBM writes leaf n as the node ~n."""
    return [~node] if node < 0 else _leaves(lefts[node], lefts, rights) + _leaves(rights[node], lefts, rights)


def _table(tests: list[tuple[float, int, int, bool]], n_trees: int) -> tuple[npt.NDArray[np.float64], Bytes]:
    """Return the sorted thresholds of one feature, and the remaining leaves of each tree: (n_thresholds + 2, n_trees).
    Line i is for values with i thresholds below them, the last line for NaN. tests: (threshold, tree, leaves that
    remain if it fails, whether NaN passes)."""
    thresholds = np.unique([threshold for threshold, *_ in tests])
    possible = np.full((len(thresholds) + 2, n_trees), 255, dtype=np.uint8)
    for threshold, tree, left, nan_is_left in tests:
        possible[np.searchsorted(thresholds, threshold) + 1 : -1, tree] &= left
        if not nan_is_left:
            possible[-1, tree] &= left
    return thresholds, possible
