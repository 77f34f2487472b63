"""Two orders: trees for users of whom little is known, the best simple formula for the others.

The trees are LightGBM's lambdarank, trained by `recsys/learning_to_rank/training.py`, which also finds the formula
(one column of the features, such as the score of `als_long` x the recent share) and up to how many liked items the
trees are better.
"""

from pathlib import Path

from recsys.bundle.bundle import Bundle
from recsys.contracts import FloatArray, IntArray, Query
from recsys.errors import BundleError
from recsys.params import Section
from recsys.rankers._learned.artifact import DESCRIPTION, MODEL, read
from recsys.rankers._learned.features import RankingFeatures, by_formula, n_liked
from recsys.rankers._learned.tree_ensemble import Trees


class Config(Section):
    """Nothing to set: what there is to choose was chosen on held-out users."""


class Learned:
    """See the module."""

    def __init__(self, bundle: Bundle, folder: Path) -> None:
        about = read(folder)
        if missing := set(about.models) - set(bundle.models):
            raise BundleError(f"{folder / DESCRIPTION}: model {min(missing)!r} is not in the bundle; run `dvc repro`")
        self._features = RankingFeatures(bundle, about.models)
        self._trees = Trees(folder / MODEL)
        if not list(self._features.names) == about.features == self._trees.features:
            raise BundleError(f"{folder}: trained on other features than this code computes; run `dvc repro`")
        self._formula = about.features.index(about.formula)
        self._trees_up_to = about.trees_up_to

    def rank(self, query: Query, rows: IntArray, scores: FloatArray) -> FloatArray:
        found = self._features.of(query, rows)
        if 0 < n_liked(query.history) <= self._trees_up_to:
            return self._trees.predict(found)
        return by_formula(found[:, self._formula], found[:, self._features.names.index("recent_demand")])


def build(bundle: Bundle, config: Config) -> Learned:
    """See `Learned`.

    Raises:
        BundleError: "ranker 'learned': the bundle has no folder rankers/learned; run `dvc repro`"
    """
    if "learned" not in bundle.rankers:
        raise BundleError("ranker 'learned': the bundle has no folder rankers/learned; run `dvc repro`")
    return Learned(bundle, bundle.rankers["learned"])
