"""Proposes the items that most users liked recently, by the live counts of the query, if it has them.

Items of the categories that the user chose (`Query.categories`) come first.
"""

import numpy as np

from recsys.bundle.bundle import Bundle
from recsys.contracts import NO_ROWS, Candidates, Query
from recsys.params import Section


class Config(Section):
    """recent: whether likes decay with the half-life `recent_half_life_days`; false: all likes count alike."""

    recent: bool = True


class Popular:
    """The source. Items are sorted once per bundle, not per query; live counts are sorted already."""

    def __init__(self, bundle: Bundle, config: Config) -> None:
        self._recent = config.recent
        self._catalogue = items = bundle.catalogue
        counts, rows = (items.recent, items.by_recent) if config.recent else (items.popularity, items.by_popularity)
        liked = rows[: np.count_nonzero(counts)]
        self._all = Candidates(liked, counts[liked])

    def propose(self, query: Query, n: int) -> Candidates:
        liked = query.live.popular if self._recent and query.live is not None else self._all
        found = self._chosen_first(liked, query.categories) if query.categories else liked
        return Candidates(found.rows[:n], found.scores[:n], None if found.personal is None else found.personal[:n])

    def _chosen_first(self, liked: Candidates, categories: tuple[str, ...]) -> Candidates:
        """Put the items of these categories first, by adding the highest score to theirs; ignore unknown categories."""
        chosen = np.zeros(len(self._catalogue), dtype=np.bool_)
        for name in categories:
            chosen[self._catalogue.of_category.get(name, NO_ROWS)] = True
        mine = chosen[liked.rows]
        order = np.concatenate([np.flatnonzero(mine), np.flatnonzero(~mine)])
        scores = liked.scores + np.where(mine, liked.scores[:1], np.float32(0))
        return Candidates(liked.rows[order], scores[order], personal=mine[order])


def build(bundle: Bundle, config: Config) -> Popular:
    """Build the source for a bundle."""
    return Popular(bundle, config)
