"""Proposes the items that a model of item pairs (`ease`, `covisit`) scores highest after the user's newest likes."""

import numpy as np

from recsys.bundle.bundle import Bundle
from recsys.contracts import NO_CANDIDATES, Candidates, Query
from recsys.errors import ParamsError
from recsys.params import Section
from recsys.ranking import top_k


class Config(Section):
    """model: the name of a model of item pairs in the bundle."""

    model: str


class ItemItemSource:
    """The source. It proposes items with a score above 0, none if no item of the history has a pair."""

    def __init__(self, bundle: Bundle, config: Config) -> None:
        if config.model not in bundle.item_items:
            choices = ", ".join(bundle.item_items) or "none"
            raise ParamsError(f"source 'item_item': model {config.model!r} is not in the bundle; it has: {choices}")
        self._name = config.model

    def propose(self, query: Query, n: int) -> Candidates:
        scores = query.pair_scores.get(self._name)
        if scores is None:
            return NO_CANDIDATES
        if query.only is not None:
            scores = scores * query.only
        rows = np.flatnonzero(scores > 0).astype(np.int32)
        rows = rows[top_k(scores[rows], n)]
        return Candidates(rows, scores[rows], personal=np.ones(len(rows), dtype=np.bool_))


def build(bundle: Bundle, config: Config) -> ItemItemSource:
    """Build the source for a bundle."""
    return ItemItemSource(bundle, config)
