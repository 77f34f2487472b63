"""The metrics of a list of recommendations: one number per user; their mean is the metric.

Lists are (n_users, k) int32 item rows, best first, padded with -1 and without duplicates. The accuracy metrics take
`hits` (n_users, k) bool and `n_targets` (n_users,) and agree with `ranx`; a user without targets gets NaN, which the
mean leaves out.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from recsys.contracts import BoolArray, IntArray
from recsys.ranking import Values
from recsys.ranking import ndcg as ndcg


@dataclass(frozen=True)
class Ragged:
    """One set of item rows per user: those of user u are `rows[indptr[u]:indptr[u + 1]]`.

    indptr: (n_users + 1,) int64 from 0; rows: (n_entries,) int32, ascending per user where it holds targets.
    """

    indptr: npt.NDArray[np.int64]
    rows: IntArray

    @classmethod
    def of(cls, owners: npt.NDArray[Any], rows: IntArray, n_users: int) -> "Ragged":
        """Group rows by user. owners: (n_entries,) ints ascending in [0, n_users): the user of each row."""
        return cls(np.concatenate([[0], np.cumsum(np.bincount(owners, minlength=n_users))]), rows)

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """(n_users,) int64: number of rows of each user."""
        return np.diff(self.indptr)

    @property
    def owners(self) -> npt.NDArray[np.int64]:
        """(n_entries,) int64: the user of each entry, from 0."""
        return np.repeat(np.arange(len(self.indptr) - 1), self.lengths)

    def of_user(self, user: int) -> IntArray:
        """Return the rows of one user, (m,) int32."""
        return self.rows[self.indptr[user] : self.indptr[user + 1]]

    def keep(self, mask: BoolArray) -> "Ragged":
        """Return the entries where `mask` (n_entries,) is True, for the same users."""
        return Ragged.of(self.owners[mask], self.rows[mask], len(self.indptr) - 1)


def hits(lists: IntArray, targets: Ragged) -> BoolArray:
    """Return (n_users, k) bool: which recommendations are among the user's targets.

    >>> lists = np.array([[4, 7, 1], [2, 0, -1]], dtype=np.int32)
    >>> hits(lists, Ragged(np.array([0, 2, 3]), np.array([7, 9, 5], dtype=np.int32))).tolist()
    [[False, True, False], [False, False, False]]
    """
    width = int(max(lists.max(initial=0), targets.rows.max(initial=0))) + 2  # one more for -1
    asked = np.arange(len(lists), dtype=np.int64)[:, None] * width + lists
    wanted = np.append(targets.owners * width + targets.rows, np.iinfo(np.int64).max)
    found: BoolArray = wanted[np.searchsorted(wanted, asked)] == asked
    return found


def recall(hits: BoolArray, n_targets: npt.NDArray[np.int64]) -> Values:
    """Share of all the user's targets that are in the list; below 1 for a user with more than k targets.

    Two of three targets found:

    >>> recall(np.array([[True, False, True]]), np.array([3])).round(3).tolist()
    [0.667]
    """
    return _per_target(hits.sum(axis=1), n_targets)


def hit_rate(hits: BoolArray, n_targets: npt.NDArray[np.int64]) -> Values:
    """1 where at least one target is in the list, else 0.

    >>> hit_rate(np.array([[False, True, True], [False, False, False]]), np.array([2, 1])).tolist()
    [1.0, 0.0]
    """
    return _per_target(np.asarray(hits.any(axis=1)), np.minimum(n_targets, 1))


def mrr(hits: BoolArray, n_targets: npt.NDArray[np.int64]) -> Values:
    """1 / rank of the first hit, 0 without one.

    >>> mrr(np.array([[False, True, True], [False, False, False]]), np.array([2, 1])).tolist()
    [0.5, 0.0]
    """
    return _per_target(hits.any(axis=1) / (hits.argmax(axis=1) + 1), np.minimum(n_targets, 1))


def novelty(lists: IntArray, popularity: npt.NDArray[Any], n_users: int) -> Values:
    """Mean self-information of the recommended items in bits: log2(n_users / users with the item).

    popularity: (n_items,) distinct users of each item among the `n_users` trained on; an item without users counts as
    having one. NaN for an empty list. Items with 1 and 4 of 8 users: (3 + 1) / 2:

    >>> novelty(np.array([[0, 1]], dtype=np.int32), np.array([1, 4]), 8).tolist()
    [2.0]

    Source: Zhou et al., "Solving the apparent diversity-accuracy dilemma of recommender systems", 2010.
    """
    return _list_mean(lists, np.log2(n_users / np.maximum(popularity, 1)))


def popularity_bias(lists: IntArray, popularity: npt.NDArray[Any], history: Ragged) -> Values:
    """Mean popularity of the recommended items over that of the items in the user's history; 1 is no bias.

    NaN for an empty list or history. Recommended items with 30 and 10 users, history items with 10:

    >>> lists, history = np.array([[0, 1]], dtype=np.int32), Ragged(np.array([0, 1]), np.array([2], dtype=np.int32))
    >>> popularity_bias(lists, np.array([30, 10, 10]), history).tolist()
    [2.0]

    Source: Abdollahpouri et al., "The unfairness of popularity bias in recommendation", 2019 (there as the difference).
    """
    total = np.bincount(history.owners, weights=popularity[history.rows], minlength=len(lists))
    return _list_mean(lists, popularity.astype(np.float64)) / _or_nan(total / np.maximum(history.lengths, 1))


def diversity(lists: IntArray, content: csr_array) -> Values:
    """1 - mean similarity of all pairs in a list, where similarity is the cosine of the items' content.

    content: (n_items, n_features), rows of unit length or empty; an item without content has similarity 0 to others.
    NaN for a list of fewer than two items. Two items of one category and one of another: one of three pairs is similar:

    >>> content = csr_array(np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]))
    >>> diversity(np.array([[0, 1, 2]], dtype=np.int32), content).round(3).tolist()
    [0.667]

    Source: Ziegler et al., "Improving recommendation lists through topic diversification", 2005.
    """
    # The pairs' cosines sum to |sum of the vectors|^2 - sum of |vector|^2: one sparse product instead of k^2 pairs.
    lengths = (lists >= 0).sum(axis=1)
    indptr = np.concatenate([[0], np.cumsum(lengths)])
    picks = csr_array((np.ones(indptr[-1]), lists[lists >= 0], indptr), shape=(len(lists), content.shape[0]))
    summed = picks @ content
    alike = summed.multiply(summed).sum(axis=1) - picks @ content.multiply(content).sum(axis=1)
    unlike: Values = 1.0 - alike / _or_nan((lengths * (lengths - 1)).astype(np.float64))
    return unlike


def share(lists: IntArray, items: BoolArray) -> Values:
    """Share of a list's items for which `items` (n_items,) bool is True; NaN for an empty list.

    >>> share(np.array([[0, 1, 2, 3], [2, -1, -1, -1]], dtype=np.int32), np.array([False, True, False, False])).tolist()
    [0.25, 0.0]
    """
    return _list_mean(lists, items.astype(np.float64))


def coverage(lists: IntArray, n_items: int) -> float:
    """Share of the catalogue that is recommended to at least one user. It grows with the number of users.

    >>> coverage(np.array([[0, 1], [1, -1]], dtype=np.int32), 4)
    0.5
    """
    return len(np.unique(lists[lists >= 0])) / n_items


def _per_target(gain: npt.NDArray[Any], best: npt.NDArray[Any]) -> Values:
    values: Values = gain.astype(np.float64) / _or_nan(best.astype(np.float64))
    return values


def _list_mean(lists: IntArray, item_values: Values) -> Values:
    present = lists >= 0
    total: Values = np.where(present, item_values[lists], 0.0).sum(axis=1)
    return total / _or_nan(present.sum(axis=1).astype(np.float64))


def _or_nan(divisor: Values) -> Values:
    return np.where(divisor > 0, divisor, np.nan)
