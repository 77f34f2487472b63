"""Two ways to make one list of several sources: deal the slots by share, or let a ranker order all candidates.

On top of either, `reserve` keeps a share of the slots for new items.
"""

import zlib
from collections.abc import Mapping

import numpy as np

from recsys.contracts import Candidates, Query, Ranker, Shape, Slot


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


def adjusted(query: Query, proposals: Mapping[str, Candidates], shape: Shape | None) -> Mapping[str, Candidates]:
    """The proposals with the scores that the house gives them, best first again."""
    if shape is None:
        return proposals
    found = {}
    for label, before in proposals.items():
        scores = shape.adjust(query, before.rows, before.scores)
        best = np.argsort(-scores, kind="stable")
        found[label] = Candidates(before.rows[best], scores[best])
    return found


def ranked(
    query: Query, proposals: Mapping[str, Candidates], ranker: Ranker, depth: int, shape: Shape | None = None
) -> list[Slot]:
    """The best `depth` of all candidates in the ranker's order; a slot names the first source that proposed its item.

    Raises:
        ValueError: the ranker scored an item as NaN or inf.
    """
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
    if shape is not None:
        final = shape.adjust(query, rows, final)
    labels = list(proposals)
    best = np.argsort(-final, kind="stable")[:depth]
    first = (~np.isnan(scores[:, best])).argmax(axis=0)
    return [Slot(int(rows[at]), float(final[at]), labels[int(source)]) for at, source in zip(best, first, strict=True)]


def reserve(slots: list[Slot], new: Candidates, label: str, share: float, query: Query) -> list[Slot]:
    """Give that share of the k places to the best new items, at the end of the answer, where they cost least.

    share * k is rarely a whole number: a query gets one place more than its whole part with the probability of the
    rest, decided by a hash of user, length of history and seed, so the share is exact over many queries and one query
    always has the same answer.

    >>> from recsys.contracts import EMPTY_HISTORY
    >>> old = [Slot(row, 1.0, "als") for row in range(10)]
    >>> new = Candidates(np.array([3, 77], dtype=np.int32), np.zeros(2, dtype=np.float32))
    >>> [slot.row for slot in reserve(old, new, "new", 0.2, Query(EMPTY_HISTORY, k=10, now=0))][:10]
    [0, 1, 2, 4, 5, 6, 7, 8, 3, 77]
    """
    chance = zlib.crc32(f"{query.user_id} {len(query.history)} {query.seed}".encode()) / 2**32
    places = int(share * query.k + chance)
    kept = [
        Slot(row, score, label)
        for row, score in zip(new.rows[:places].tolist(), new.scores[:places].tolist(), strict=True)
    ]
    others = [slot for slot in slots if slot.row not in {slot.row for slot in kept}]
    head = query.k - len(kept)
    return others[:head] + kept + others[head:]
