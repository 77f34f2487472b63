"""The items nearest to the user's vector in one model's index."""

from recsys.bundle import Bundle
from recsys.contracts import NO_CANDIDATES, Candidates, Query
from recsys.errors import ParamsError
from recsys.params import Section


class Config(Section):
    """model: which of the bundle's models to search."""

    model: str


class Nearest:
    """Has nothing to say when the model made no vector of the history."""

    def __init__(self, bundle: Bundle, config: Config) -> None:
        if config.model not in bundle.models:
            raise ParamsError(
                f"source 'nearest': model {config.model!r} is not in the bundle; it has: {', '.join(bundle.models)}"
            )
        self._model = config.model
        self._index = bundle.models[config.model].index

    def propose(self, query: Query, n: int) -> Candidates:
        vector = query.vectors.get(self._model)
        if vector is None:
            return NO_CANDIDATES
        return Candidates(*self._index.search(vector, n))


def build(bundle: Bundle, config: Config) -> Nearest:
    """See `Nearest`."""
    return Nearest(bundle, config)
