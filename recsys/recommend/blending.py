"""Combines the candidates of several sources into one list: interleaves them by share, or orders them by a ranker.

After either, `reserve_new_items` reserves a share of the slots for new items.
"""

import zlib
from collections.abc import Mapping

import numpy as np

from recsys.contracts import Candidates, FloatArray, IntArray, Query, Ranker, Slot
from recsys.ranking import distinct, top_k
from recsys.recommend.slate_rules import SlateRules

PAGE = 10  # slots: `reserve_new_items` cuts a longer list into parts of this length


def interleave_by_share(proposals: Mapping[str, Candidates], shares: Mapping[str, float], k: int) -> list[Slot]:
    """Fill k slots so that every prefix of the list has each source's share as closely as whole slots allow.

    proposals: source -> candidates; shares: source -> share of the slots. Each slot goes to the source that is furthest
    behind its share, which adds its best unused item. Reciprocal rank fusion was tried: a source with a small weight
    got no slot at all.

    >>> import numpy as np
    >>> def proposals(*rows):
    ...     return Candidates(np.array(rows, dtype=np.int32), np.zeros(len(rows), dtype=np.float32))
    >>> both = {"als": proposals(1, 2, 3, 4), "new": proposals(2, 9)}
    >>> slots = interleave_by_share(both, {"als": 0.75, "new": 0.25}, 4)
    >>> [(slot.row, slot.source) for slot in slots]
    [(1, 'als'), (2, 'als'), (9, 'new'), (3, 'als')]
    """
    if len(proposals) == 1:
        ((label, only),) = proposals.items()
        return [
            Slot(row, score, label) for row, score in zip(only.rows[:k].tolist(), only.scores[:k].tolist(), strict=True)
        ]
    left = {
        label: iter(zip(proposal.rows.tolist(), proposal.scores.tolist(), strict=True))
        for label, proposal in proposals.items()
    }
    given = dict.fromkeys(left, 0)
    taken: set[int] = set()
    slots: list[Slot] = []
    while left and len(slots) < k:
        label = min(left, key=lambda name: (given[name] + 0.5) / shares[name])
        for row, score in left[label]:
            if row not in taken:
                taken.add(row)
                slots.append(Slot(row, score, label))
                given[label] += 1
                break
        else:
            del left[label]
    return slots


def apply_boosts(
    query: Query, proposals: Mapping[str, Candidates], rules: SlateRules | None
) -> Mapping[str, Candidates]:
    """Reorder the proposals of each source by the boosts of the business rules, without changing their scores."""
    if rules is None:
        return proposals
    boosted = {}
    for label, proposal in proposals.items():
        scores = rules.adjust(query, proposal.rows, proposal.scores)
        if scores is proposal.scores:
            boosted[label] = proposal
        else:
            best = np.argsort(-scores, kind="stable")
            boosted[label] = Candidates(proposal.rows[best], proposal.scores[best])
    return boosted


def ranked(
    query: Query, proposals: Mapping[str, Candidates], ranker: Ranker, depth: int, rules: SlateRules | None = None
) -> list[Slot]:
    """Return the best `depth` candidates by the ranker's score; a slot has the first source that proposed its item.

    rules: the boosts that change the order, None for none.

    Raises:
        ValueError: the ranker scored an item as NaN or inf.
    """
    rows, scores = united(proposals)
    if not len(rows):
        return []
    final = ranker.rank(query, rows, scores)
    if not np.isfinite(final).all():
        raise ValueError(
            f"the ranker scored {np.count_nonzero(~np.isfinite(final))} of {len(rows)} items as NaN or inf"
        )
    boosted = final if rules is None else rules.adjust(query, rows, final)
    labels = list(proposals)
    best = top_k(boosted, depth)
    first = (~np.isnan(scores[:, best])).argmax(axis=0)
    chosen = zip(rows[best].tolist(), final[best].tolist(), first.tolist(), strict=True)
    return [Slot(row, score, labels[source]) for row, score, source in chosen]


def united(proposals: Mapping[str, Candidates]) -> tuple[IntArray, FloatArray]:
    """Merge the candidates of all sources: rows (m,) int32 ascending, each once, and scores (n_sources, m) float32, NaN
    where a source did not propose the item."""
    proposed = np.concatenate([proposal.rows for proposal in proposals.values()])
    rows = distinct(proposed)
    lines = np.repeat(np.arange(len(proposals)), [len(proposal.rows) for proposal in proposals.values()])
    scores = np.full((len(proposals), len(rows)), np.nan, dtype=np.float32)
    scores[lines, np.searchsorted(rows, proposed)] = np.concatenate([each.scores for each in proposals.values()])
    return rows, scores


def reserve_new_items(slots: list[Slot], new: Candidates, label: str, share: float, query: Query) -> list[Slot]:
    """Fill a share of the first `query.k` slots with the best new items: the last of every ten slots, where it costs
    least.

    label: the source of the new slots. The share of ten slots is rarely a whole number, so the remainder is carried
    over to the next ten. The first ten begin with a remainder in [0, 1) from a hash of user, length of history and
    seed: so the share is exact on average over many queries, and equal queries get equal answers.

    >>> from recsys.contracts import EMPTY_HISTORY
    >>> old = [Slot(row, 1.0, "als") for row in range(20)]
    >>> new = Candidates(np.array([3, 77, 88], dtype=np.int32), np.zeros(3, dtype=np.float32))
    >>> [slot.row for slot in reserve_new_items(old, new, "new", 0.2, Query(EMPTY_HISTORY, k=12, now=0))][:12]
    [0, 1, 2, 4, 5, 6, 7, 8, 3, 77, 9, 10]
    """
    begun = zlib.crc32(f"{query.user_id} {len(query.history)} {query.seed}".encode()) / 2**32
    places = int(begun + share * query.k)
    kept = [
        Slot(row, score, label)
        for row, score in zip(new.rows[:places].tolist(), new.scores[:places].tolist(), strict=True)
    ]
    taken = {slot.row for slot in kept}
    others = [slot for slot in slots if slot.row not in taken]
    filled: list[Slot] = []
    given = 0
    for end in [*range(PAGE, query.k, PAGE), query.k]:
        mine = kept[given : int(begun + share * end)]
        head = end - len(filled) - len(mine)
        filled += others[:head] + mine
        others, given = others[head:], given + len(mine)
    return filled + others
