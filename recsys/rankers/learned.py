"""Learned ranker: trees order the candidates of users with few likes, the best single feature those of other users.

The trees are LightGBM's lambdarank, trained by `recsys/learning_to_rank/training.py`, which also chooses the feature
(the "formula", such as the score of `als_long` x the recent share) and the number of likes up to which the trees order.
"""

from pathlib import Path
from typing import Literal

import numpy as np

from recsys.bundle.bundle import Bundle
from recsys.contracts import FloatArray, IntArray, Query, RankedWhy, Term
from recsys.errors import BundleError
from recsys.params import Section
from recsys.rankers._learned.artifact import DESCRIPTION, MODEL, read
from recsys.rankers._learned.features import RankingFeatures, by_formula, n_liked, split
from recsys.rankers._learned.tree_ensemble import Trees

WAYS: dict[str, Literal["nearest", "likeness"]] = {"nearest": "nearest", "likeness": "likeness"}


class Config(Section):
    """Without settings: all of them were chosen on held-out users."""


class Learned:
    """The ranker; see the docstring of this module."""

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

    def explain(
        self, query: Query, rows: IntArray, scores: FloatArray, labels: list[str], at: IntArray
    ) -> list[RankedWhy]:
        """Explain scores by SHAP values of the trees, or by the factors of the formula."""
        features = self._features.of(query, rows)
        if 0 < n_liked(query.history) <= self._trees_up_to:
            base = Term("base", self._trees.shap.base)
            return [
                RankedWhy([base, *map(self._term, self._features.names, contributions)], {})
                for contributions in self._trees.shap.contributions(features[at]).tolist()
            ]
        final = self.rank(query, rows, scores)
        name = self._features.names[self._formula]
        model, kind = split(name)
        reasons = []
        for place in at.tolist():
            if np.isnan(features[place, self._formula]):
                reasons.append(RankedWhy([Term("recent_demand", float(final[place]))], {}))
                continue
            factors = {}
            if kind == "times_recent":
                values = dict(zip(self._features.names, features[place].tolist(), strict=True))
                factors = {f"{model}_score": max(values[f"{model}_score"], 0.0), "recent_share": values["recent_share"]}
            reasons.append(RankedWhy([self._term(name, float(final[place]))], factors))
        return reasons

    @staticmethod
    def _term(feature: str, amount: float) -> Term:
        model, kind = split(feature)
        return Term(feature, amount, model, WAYS.get(kind, "score"))


def build(bundle: Bundle, config: Config) -> Learned:
    """Make the ranker from its folder in the bundle.

    Raises:
        BundleError: "ranker 'learned': the bundle has no folder rankers/learned; run `dvc repro`"
    """
    if "learned" not in bundle.rankers:
        raise BundleError("ranker 'learned': the bundle has no folder rankers/learned; run `dvc repro`")
    return Learned(bundle, bundle.rankers["learned"])
