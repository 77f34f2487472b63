"""What most users liked recently; the same for everyone, and the answer when nothing is known of a user."""

import numpy as np

from recsys.bundle import Bundle
from recsys.contracts import Candidates, Query
from recsys.params import Section


class Config(Section):
    """recent: count a user's like half after one half-life (`recent_half_life_days`), or fully for ever."""

    recent: bool = True


class Popular:
    """The order is fixed for a bundle, so it is sorted once."""

    def __init__(self, bundle: Bundle, config: Config) -> None:
        counts = bundle.catalogue.recent if config.recent else bundle.catalogue.popularity
        rows = np.argsort(-counts, kind="stable").astype(np.int32)
        liked = rows[counts[rows] > 0]
        self._all = Candidates(liked, counts[liked])

    def propose(self, query: Query, n: int) -> Candidates:
        return Candidates(self._all.rows[:n], self._all.scores[:n])


def build(bundle: Bundle, config: Config) -> Popular:
    """See `Popular`."""
    return Popular(bundle, config)
