"""Proposes the items nearest to the user's vector by one model."""

import numpy as np

from recsys.bundle.bundle import Bundle
from recsys.contracts import NO_CANDIDATES, BoolArray, Candidates, FloatArray, Query
from recsys.errors import ParamsError
from recsys.params import Section
from recsys.ranking import top_k

EXACT_UP_TO = 20_000  # allowed items; up to this number, scoring all is no slower than the index


class Config(Section):
    """model: the name of a model with vectors in the bundle."""

    model: str


class Nearest:
    """The source. It proposes nothing if the model cannot encode the history. If `Query.only` allows few items, these
    are scored directly: the index would have to return nearly all items. If it allows many, the index is searched, and
    `Recommender` asks the source for more items until enough of them are allowed."""

    def __init__(self, bundle: Bundle, config: Config) -> None:
        if config.model not in bundle.models:
            raise ParamsError(
                f"source 'nearest': model {config.model!r} is not in the bundle; it has: {', '.join(bundle.models)}"
            )
        self._model = config.model
        self._index = bundle.models[config.model].index
        self._rows = bundle.models[config.model].embeddings.rows
        self._vectors: FloatArray = np.asarray(bundle.models[config.model].embeddings.vectors)

    def propose(self, query: Query, n: int) -> Candidates:
        vector = query.vectors.get(self._model)
        if vector is None:
            return NO_CANDIDATES
        if query.only is not None and np.count_nonzero(query.only) <= EXACT_UP_TO:
            return self._among(query.only, vector, n)
        return query.history.nearest(self, vector, n, self._search)

    def _search(self, vector: FloatArray, n: int) -> Candidates:
        rows, scores = self._index.search(vector, n)
        return Candidates(rows, scores, personal=np.ones(len(rows), dtype=np.bool_))

    def _among(self, only: BoolArray, vector: FloatArray, n: int) -> Candidates:
        rows = self._rows[only[self._rows]]
        scores = self._vectors.take(rows, axis=0) @ vector  # three times as fast as indexing
        best = top_k(scores, n)
        return Candidates(rows[best], scores[best], personal=np.ones(len(best), dtype=np.bool_))


def build(bundle: Bundle, config: Config) -> Nearest:
    """Build the source for a bundle."""
    return Nearest(bundle, config)
