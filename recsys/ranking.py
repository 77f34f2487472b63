"""Top-k, sets of rows and NDCG, as the pipeline, the bundle and the API use them."""

from typing import Any

import numpy as np
import numpy.typing as npt

from recsys.contracts import BoolArray

Values = npt.NDArray[np.float64]


def top_k(scores: npt.NDArray[Any], k: int) -> npt.NDArray[np.intp]:
    """Return the positions of the k largest scores, best first; equal scores in the order of their positions.

    scores: (n,), or (m, n) to rank each of m rows; returns (min(k, n),) or (m, min(k, n)). NaN comes last.

    >>> top_k(np.array([0.5, 0.9, 0.5, 0.5]), 3).tolist()
    [1, 0, 2]
    """
    if scores.ndim == 2:
        of_rows = np.empty((len(scores), min(k, scores.shape[1])), dtype=np.intp)
        for row, of_row in zip(of_rows, scores, strict=True):
            row[:] = top_k(of_row, k)
        return of_rows
    ascending = -scores
    if k < len(ascending):
        limit = np.partition(ascending, k - 1)[k - 1]
        among = np.flatnonzero(~(ascending > limit))  # all that are as good as the last one, and NaN
    else:
        among = np.arange(len(ascending))
    best: npt.NDArray[np.intp] = among[np.argsort(ascending[among], kind="stable")[:k]]
    return best


def among(rows: npt.NDArray[np.int32], few: npt.NDArray[np.int32], *, ascending: bool = False) -> BoolArray:
    """Return (m,) bool, whether each of `rows`, (m,), is one of `few`, both in any order. Like `np.isin`, but faster
    for small arrays, as in one request. ascending: whether `few` is sorted already.

    >>> among(np.array([7, 2, 9], dtype=np.int32), np.array([9, 4, 2], dtype=np.int32)).tolist()
    [False, True, True]
    """
    if not len(few):
        return np.zeros(len(rows), dtype=np.bool_)
    ordered = few if ascending else np.sort(few)
    found: BoolArray = ordered.take(ordered.searchsorted(rows), mode="clip") == rows
    return found


def distinct(rows: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    """Return each of the rows once, ascending. Like `np.unique`, but faster for few rows.

    >>> distinct(np.array([7, 2, 7], dtype=np.int32)).tolist()
    [2, 7]
    """
    ordered = np.sort(rows)
    first: BoolArray = np.append(True, ordered[1:] != ordered[:-1])[: len(ordered)]
    found: npt.NDArray[np.int32] = ordered[first]
    return found


def ndcg(hits: BoolArray, n_targets: npt.NDArray[np.int64]) -> Values:
    """Return the normalised discounted cumulative gain (NDCG) of n lists, (n,) float64; NaN for a user without targets.

    A hit at a rank has the gain 1 / log2(rank + 1); the sum is divided by that of the best possible list of the same
    length. hits: (n, k), whether the item at each rank is one of the user's targets; n_targets: (n,), how many targets
    the user has. Hits at the ranks 1 and 3, with two targets, give (1 + 1/2) / (1 + 0.631):

    >>> ndcg(np.array([[True, False, True]]), np.array([2])).round(3).tolist()
    [0.92]

    Source: Järvelin and Kekäläinen, "Cumulated gain-based evaluation of IR techniques", 2002.
    """
    gains = 1.0 / np.log2(np.arange(2, hits.shape[1] + 2))
    best = np.concatenate([[0.0], np.cumsum(gains)])[np.minimum(n_targets, hits.shape[1])]
    worth: Values = np.divide(hits @ gains, best, out=np.full(len(hits), np.nan), where=best > 0)
    return worth
