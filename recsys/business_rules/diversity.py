"""Diversifies a list by maximal marginal relevance: prefers items that are relevant and unlike those before them. Items
without vectors are compared by their categories. `Groups` numbers the categories, also for limits per category.
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from recsys.contracts import NO_ROWS, FloatArray, IntArray

Codes = npt.NDArray[np.intp]


class Groups:
    """The categories of a catalogue. The code of a category is its position in `names`. members: for each category the
    rows of its items, (m,) int32; of_category: category -> these rows, as in `Catalogue.of_category`."""

    def __init__(self, of_category: Mapping[str, IntArray], n_items: int) -> None:
        self.names = list(of_category)
        self.members = [of_category[name] for name in self.names]
        rows = np.concatenate(self.members) if self.members else NO_ROWS
        codes = np.repeat(np.arange(len(self.members)), [len(rows) for rows in self.members])
        self._codes: Codes = codes[np.argsort(rows, kind="stable")]
        self._ends = np.cumsum(np.bincount(rows, minlength=n_items))

    def of(self, row: int) -> Codes:
        """Return the codes of an item's categories."""
        return self._codes[self._ends[row - 1] if row else 0 : self._ends[row]]

    def pairs(self, rows: IntArray) -> tuple[Codes, Codes]:
        """Return two arrays with one entry per category of each item: the item's position in `rows`, and the code."""
        starts = np.where(rows > 0, self._ends[rows - 1], 0)
        counts = self._ends[rows] - starts
        places = np.repeat(np.arange(len(rows)), counts)
        before = np.cumsum(counts) - counts
        return places, self._codes[np.arange(len(places)) + np.repeat(starts - before, counts)]

    def likeness(self, rows: IntArray) -> FloatArray:
        """Return the Jaccard similarity of the categories of m items, (m, m) float32; 0 for items without category."""
        places, codes = self.pairs(rows)
        mine, local = np.unique(codes, return_inverse=True)
        has = np.zeros((len(rows), len(mine)), dtype=np.float32)
        has[places, local] = 1
        both = has @ has.T
        sizes = has.sum(axis=1)
        either = sizes[:, None] + sizes[None, :] - both
        shared: FloatArray = (both / np.maximum(either, 1)).astype(np.float32, copy=False)
        return shared


def mmr(likeness: FloatArray, k: int, diversity: float) -> npt.NDArray[np.intp]:
    """Choose k of m items, which are ordered best first; return their positions in the order of the new list.

    likeness: (m, m) float32, similarity of each pair. Each step takes the item with the largest (1 - diversity) *
    relevance - diversity * (its largest likeness with an item taken before). The relevance of position i is k / (k +
    i), as scores of different sources cannot be compared. diversity 0 keeps the order, 1 uses the likeness alone.

    Source: Carbonell and Goldstein 1998, "The use of MMR, diversity-based reranking"; its lambda is 1 - diversity.

    >>> like = np.array([[1, 1, 0], [1, 1, 0], [0, 0, 1]], dtype=np.float32)
    >>> mmr(like, 2, 0.0).tolist(), mmr(like, 2, 0.5).tolist()
    ([0, 1], [0, 2])
    """
    m = len(likeness)
    k = min(k, m)
    value = ((1 - diversity) * k / (k + np.arange(m))).astype(np.float32)
    nearest = np.full(m, -np.inf, dtype=np.float32)
    chosen = np.empty(k, dtype=np.intp)
    best = 0  # the best item is always first: no item before it to compare it with
    for step in range(k):
        if step:
            best = int((value - diversity * nearest).argmax())
        chosen[step] = best
        value[best] = -np.inf
        np.maximum(nearest, likeness[best], out=nearest)
    return chosen


def likeness(rows: IntArray, vectors: FloatArray | None, groups: Groups) -> FloatArray:
    """Return the similarity of m items, (m, m) float32: the cosine of their vectors; where one has none, the Jaccard
    similarity of their categories. vectors: (n_items, dim) float32, zeros for items without a vector; None: use the
    categories of all items."""
    if vectors is None:
        return groups.likeness(rows)
    mine = np.asarray(vectors).take(rows, axis=0)
    lengths = np.linalg.norm(mine, axis=1)
    known = lengths > 0
    mine /= np.where(known, lengths, 1)[:, None]
    like: FloatArray = (mine @ mine.T).astype(np.float32, copy=False)
    if not known.all():
        np.copyto(like, groups.likeness(rows), where=~(known[:, None] & known[None, :]))
    return like
