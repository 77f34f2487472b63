"""Items that hardly anybody had the chance to like yet; collaborative models cannot propose them."""

import numpy as np

from recsys.bundle import Bundle
from recsys.contracts import Candidates, Query
from recsys.params import Section

FEW_EVENTS = 3  # users who liked the item; as in the metric `new_share`


class Config(Section):
    """Nothing to set."""


class New:
    """The newest first; an item without a date counts as new from today."""

    def __init__(self, bundle: Bundle, config: Config) -> None:
        new = np.flatnonzero(bundle.catalogue.popularity <= FEW_EVENTS).astype(np.int32)
        since = bundle.catalogue.first_seen[new]
        until = bundle.manifest.trained_until.timestamp()
        age = np.where(np.isnan(since), 0.0, until - since)
        best = np.argsort(age, kind="stable")
        self._all = Candidates(new[best], (1 / (1 + np.maximum(age[best], 0))).astype(np.float32))

    def propose(self, query: Query, n: int) -> Candidates:
        return Candidates(self._all.rows[:n], self._all.scores[:n])


def build(bundle: Bundle, config: Config) -> New:
    """See `New`."""
    return New(bundle, config)
