"""Diversifies a list by maximal marginal relevance: prefers items that are relevant and unlike those before them."""

import numpy as np
import numpy.typing as npt

from recsys.business_rules.categories import Groups
from recsys.contracts import FloatArray, IntArray


def mmr(likeness: FloatArray, k: int, diversity: float) -> npt.NDArray[np.intp]:
    """Choose k of m items, which are ordered best first; return their positions in the order of the new list.

    likeness: (m, m) float32, similarity of each pair. Each step takes the item with the largest (1 - diversity) *
    relevance - diversity * (its largest likeness with an item taken before). The relevance of position i is k / (k +
    i), as scores of different sources cannot be compared. diversity 0 keeps the order, 1 uses the likeness alone.

    Source: Carbonell and Goldstein 1998, "The use of MMR, diversity-based reranking", definition of MMR; its lambda
    is 1 - diversity.

    >>> like = np.array([[1, 1, 0], [1, 1, 0], [0, 0, 1]], dtype=np.float32)
    >>> mmr(like, 2, 0.0).tolist(), mmr(like, 2, 0.5).tolist()
    ([0, 1], [0, 2])
    """
    m = len(likeness)
    k = min(k, m)
    value = ((1 - diversity) * k / (k + np.arange(m))).astype(np.float32)
    nearest = np.full(m, -np.inf, dtype=np.float32)
    chosen = np.empty(k, dtype=np.intp)
    best = 0  # the first item is always the best one: nothing was taken that it could be like
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
