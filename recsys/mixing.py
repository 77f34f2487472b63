"""Two ways to make one list of several sources: deal the slots by share, or let a ranker order all candidates."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from recsys.contracts import Candidates, Query, Ranker


@dataclass(frozen=True)
class Slot:
    """One place of the answer: which item, its score, and the source that put it there."""

    row: int
    score: float
    source: str
    fallback: bool = False


def mix(proposals: Mapping[str, Candidates], shares: Mapping[str, float], k: int) -> list[Slot]:
    """Deal k slots so that every prefix of the list holds each source's share as closely as whole slots allow.

    Each slot goes to the source that is furthest behind its share, which gives its best item not yet shown. Rank fusion
    is no substitute: with reciprocal ranks a source of small weight got no slot at all.

    >>> import numpy as np
    >>> def proposals(*rows):
    ...     return Candidates(np.array(rows, dtype=np.int32), np.zeros(len(rows), dtype=np.float32))
    >>> slots = mix({"als": proposals(1, 2, 3, 4), "new": proposals(2, 9)}, {"als": 0.75, "new": 0.25}, 4)
    >>> [(slot.row, slot.source) for slot in slots]
    [(1, 'als'), (2, 'als'), (9, 'new'), (3, 'als')]
    """
    left = {
        label: iter(zip(found.rows.tolist(), found.scores.tolist(), strict=True)) for label, found in proposals.items()
    }
    given = dict.fromkeys(left, 0)
    shown: set[int] = set()
    slots: list[Slot] = []
    while left and len(slots) < k:
        label = min(left, key=lambda name: (given[name] + 0.5) / shares[name])
        for row, score in left[label]:
            if row not in shown:
                shown.add(row)
                slots.append(Slot(row, score, label))
                given[label] += 1
                break
        else:
            del left[label]
    return slots


def ranked(query: Query, proposals: Mapping[str, Candidates], ranker: Ranker) -> list[Slot]:
    """The best k of all candidates in the ranker's order; a slot names the first source that proposed its item."""
    rows = np.unique(np.concatenate([found.rows for found in proposals.values()]))
    if not len(rows):
        return []
    scores = np.full((len(proposals), len(rows)), np.nan, dtype=np.float32)
    for at, found in enumerate(proposals.values()):
        scores[at, np.searchsorted(rows, found.rows)] = found.scores
    final = ranker.rank(query, rows, scores)
    if not np.isfinite(final).all():
        raise ValueError(
            f"the ranker scored {np.count_nonzero(~np.isfinite(final))} of {len(rows)} items as NaN or inf"
        )
    labels = list(proposals)
    best = np.argsort(-final, kind="stable")[: query.k]
    first = (~np.isnan(scores[:, best])).argmax(axis=0)
    return [Slot(int(rows[at]), float(final[at]), labels[int(source)]) for at, source in zip(best, first, strict=True)]
