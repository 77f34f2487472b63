"""Builds the sparse matrix of users and items that models are fitted on."""

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix

from recsys.contracts import IntArray


def csr(users: IntArray, items: IntArray, weights: npt.ArrayLike, shape: tuple[int, int]) -> csr_matrix:
    """Return a (n_users, n_items) float32 matrix with the sum of the weights of each pair. users, items, weights:
    (n_events,), the user row, item row and weight of each event."""
    return csr_matrix((np.asarray(weights, dtype=np.float32), (users, items)), shape=shape)
