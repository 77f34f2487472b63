"""Proposes the items that people like after the user's last items in current sessions (live co-visits).

    score(j) = sum over the user's newest items i of weight(i) * (follows(i, j) + unseen(i) * demand(j) / all demand)

The weights sum to 1, follows(i, j) is the probability that j is liked next after i (`LiveCounts.follows`), unseen(i) is
1 minus the sum of follows(i, j) over j, and demand(j) is `LiveCounts.demand`. So the score is a probability; with few
sessions it depends mostly on the demand. Without live counts or recent likes of the user nothing is proposed.

Source: Jelinek and Mercer, "Interpolated estimation of Markov source parameters", 1980.
"""

import numpy as np

from recsys.bundle.bundle import Bundle
from recsys.contracts import NO_CANDIDATES, Candidates, Query
from recsys.encoders.item_item import history_weights
from recsys.params import Section
from recsys.ranking import top_k


class Config(Section):
    """No settings."""


class LiveCovisit:
    """The source. It uses only `Query.live`, nothing of the bundle."""

    def propose(self, query: Query, n: int) -> Candidates:
        if query.live is None:
            return NO_CANDIDATES
        follows, popular = query.live.follows, query.live.popular
        newest, weights = history_weights(follows, query.history, query.now)
        if not weights.any():
            return NO_CANDIDATES
        most = popular.rows[: n + len(query.history)]
        found = dict.fromkeys(most.tolist(), 0.0)
        unseen = 0.0
        for row, weight in zip(newest.tolist(), (weights / weights.sum()).tolist(), strict=True):
            part = slice(int(follows.indptr[row]), int(follows.indptr[row + 1]))
            unseen += weight * (1 - float(follows.scores[part].sum()))
            for other, score in zip(follows.rows[part].tolist(), follows.scores[part].tolist(), strict=True):
                found[other] = found.get(other, 0.0) + weight * score
        rows = np.fromiter(found, np.int32, len(found))
        session = np.fromiter(found.values(), np.float32, len(found))
        scores = session + np.float32(unseen / max(query.live.total, 1e-9)) * query.live.demand[rows]
        best = top_k(scores, n)
        return Candidates(rows[best], scores[best], personal=session[best] > 0)


def build(bundle: Bundle, config: Config) -> LiveCovisit:
    """Build the source for a bundle."""
    return LiveCovisit()
