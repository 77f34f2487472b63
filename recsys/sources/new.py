"""Proposes new items, those with few likes, ranked by the content model.

In a ranking of all items they would never be shown, so a variant reserves a share of the slots: `new_item_share`.
"""

import numpy as np

from recsys.bundle.bundle import Bundle
from recsys.bundle.items import item_tower
from recsys.contracts import NO_CANDIDATES, Candidates, FloatArray, Query
from recsys.params import Section
from recsys.ranking import top_k


class Config(Section):
    """No settings."""


class New:
    """The source. It ranks available new items by the bundle's first content model. It proposes nothing if that model
    cannot encode the history. In a bundle without such a model the items that arrived last come first; an item without
    `first_seen` counts as arriving now."""

    def __init__(self, bundle: Bundle, config: Config) -> None:
        catalogue = bundle.catalogue
        self._rows = np.flatnonzero(catalogue.new & catalogue.available).astype(np.int32)
        # shuffled, so that the order of the catalogue does not favour some items of the same age
        np.random.default_rng(0).shuffle(self._rows)
        self._model = item_tower.content_model(bundle.models)
        if self._model is None:
            self._first_seen = catalogue.first_seen[self._rows]
        else:
            model = bundle.models[self._model]
            self._rows = self._rows[np.isin(self._rows, model.embeddings.rows)]
            self._vectors: FloatArray = model.embeddings.vectors[self._rows]
            self._encoder = model.encoder

    def propose(self, query: Query, n: int) -> Candidates:
        if self._model is None:
            return self._newest(query.now, n)
        known = self._model in query.vectors
        vector = query.vectors[self._model] if known else query.history.vector(self._encoder, query.now)
        if vector is None:
            return NO_CANDIDATES
        return query.history.nearest(self, vector, n, lambda vector, n: self._best(self._vectors @ vector, n))

    def _newest(self, now: float, n: int) -> Candidates:
        days = np.maximum(now - np.nan_to_num(self._first_seen, nan=now), 0) / 86_400
        return self._best((1 / (1 + days)).astype(np.float32), n)

    def _best(self, scores: FloatArray, n: int) -> Candidates:
        best = top_k(scores, n)
        return Candidates(self._rows[best], scores[best], personal=np.full(len(best), self._model is not None))


def build(bundle: Bundle, config: Config) -> New:
    """Build the source for a bundle."""
    return New(bundle, config)
