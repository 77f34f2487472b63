"""Orders candidates by a weighted sum of features (a blend), or by trees if they were significantly better in training.

There is one blend for users with few likes and one for the others; trees are used up to a number of likes.
`recsys/rankers/_learned/training.py` fits the blends, trains the trees (LightGBM's lambdarank) and compares the two.
For users without a history the order is recent demand, or that of users with the same attribute if it was better.
"""

from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np

from recsys.bundle.bundle import Bundle
from recsys.contracts import REPEAT, BoolArray, FloatArray, IntArray, Query, RankerReasons, Term
from recsys.errors import BundleError
from recsys.params import Section
from recsys.rankers._learned.artifact import DESCRIPTION, MODEL, read
from recsys.rankers._learned.features import DEMAND, RankingFeatures, by_formula, every, split
from recsys.rankers._learned.tree_ensemble import Trees

WAYS: dict[str, Literal["nearest", "likeness"]] = {"nearest": "nearest", "likeness": "likeness"}


class Config(Section):
    """No settings: all were chosen on a validation window, see `_learned/artifact.py`."""


class Blend:
    """Scores candidates by a weighted sum of features. weights: feature -> weight. Candidates for which all features
    are unknown come last, ordered by recent demand."""

    def __init__(self, bundle: Bundle, weights: dict[str, float]) -> None:
        self.weights = np.array(list(weights.values()), dtype=np.float32)
        self.features = RankingFeatures(bundle, [*weights, DEMAND])

    def terms(self, query: Query, rows: IntArray) -> tuple[FloatArray, FloatArray]:
        """Return the terms of the sum, (m, n_weights) float32, and the scores, (m,) float32, of these rows."""
        columns = self.features.of(query, rows).T
        parts = np.fmax(columns[:-1], np.float32(0))
        if len(self.weights) > 1:  # a single feature keeps its own scale
            parts /= np.maximum(np.maximum.reduce(parts, axis=1, initial=0), 1e-9)[:, None]
        parts *= self.weights[:, None]
        total: FloatArray = parts.sum(axis=0)
        total[np.isnan(np.fmax.reduce(columns[:-1]))] = np.nan
        return parts.T, by_formula(total, columns[-1])


class Learned:
    """The ranker of this module. folder: its files, see `_learned/artifact.py`."""

    def __init__(self, bundle: Bundle, folder: Path) -> None:
        about = read(folder)
        if missing := set(about.models) - {*bundle.models, *bundle.item_items, REPEAT}:
            raise BundleError(f"{folder / DESCRIPTION}: model {min(missing)!r} is not in the bundle; run `dvc repro`")
        used = {*about.features, *about.few, *about.more, *about.strangers}
        if odd := used - set(every(about.models, used)):
            raise BundleError(
                f"{folder / DESCRIPTION}: unknown feature {min(odd)!r}, perhaps of another version; run `dvc repro`"
            )
        self._strangers = Blend(bundle, about.strangers or {DEMAND: 1.0})
        self._few, self._more, self._few_up_to = Blend(bundle, about.few), Blend(bundle, about.more), about.few_up_to
        self._trees_up_to, self._folder = about.trees_up_to, folder
        self._features = RankingFeatures(bundle, about.features)
        if about.trees_up_to > 0 and about.features != self._trees.features:
            raise BundleError(f"{folder}: trees trained on other features than {DESCRIPTION} names; run `dvc repro`")

    @cached_property
    def _trees(self) -> Trees:
        """The trees, which take time and memory: they are read when they are first used."""
        return Trees(self._folder / MODEL)

    def rank(self, query: Query, rows: IntArray, scores: FloatArray) -> FloatArray:
        n = len(query.history.liked_items[0])
        if 0 < n <= self._trees_up_to:
            return self._trees.predict(self._features.of(query, rows))
        return self._blend(n).terms(query, rows)[1]

    def raised(self, query: Query, rows: IntArray) -> BoolArray:
        """Return for each row, (m,) bool, whether an attribute of the user raised its score: users with the same value
        like the item more than users in general, and the blend or the trees for this query use that."""
        n = len(query.history.liked_items[0])
        features = self._features if 0 < n <= self._trees_up_to else self._blend(n).features
        return features.raised(query, rows)

    def explain(
        self, query: Query, rows: IntArray, scores: FloatArray, labels: list[str], at: IntArray
    ) -> list[RankerReasons]:
        """Explain scores, by the SHAP values of the trees or by the terms of the blend; see `ExplainsRanking`."""
        n = len(query.history.liked_items[0])
        if 0 < n <= self._trees_up_to:
            base = Term("base", self._trees.shap.base)
            return [
                RankerReasons([base, *map(self._term, self._features.names, contributions)], {})
                for contributions in self._trees.shap.contributions(self._features.of(query, rows)[at]).tolist()
            ]
        blend = self._blend(n)
        parts, final = blend.terms(query, rows)
        reasons = []
        for place in at.tolist():
            amounts = zip(blend.features.names, parts[place].tolist(), strict=False)  # the last one is the demand
            terms = [self._term(name, amount) for name, amount in amounts if amount]
            reasons.append(RankerReasons(terms or [Term(DEMAND, float(final[place]))], {}))
        return reasons

    def _blend(self, n: int) -> Blend:
        if n == 0:
            return self._strangers
        return self._few if n <= self._few_up_to else self._more

    @staticmethod
    def _term(feature: str, amount: float) -> Term:
        model, kind = split(feature)
        return Term(feature, amount, model, WAYS.get(kind, "score"))


def build(bundle: Bundle, config: Config) -> Learned:
    """Build the ranker from its folder in the bundle.

    Raises:
        BundleError: "ranker 'learned': the bundle has no folder rankers/learned; run `dvc repro`"
    """
    if "learned" not in bundle.rankers:
        raise BundleError("ranker 'learned': the bundle has no folder rankers/learned; run `dvc repro`")
    return Learned(bundle, bundle.rankers["learned"])
