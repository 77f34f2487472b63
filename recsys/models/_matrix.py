"""The matrix of users and items that models are fitted on."""

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix

from recsys.contracts import IntArray


def csr(users: IntArray, items: IntArray, weights: npt.ArrayLike, shape: tuple[int, int]) -> csr_matrix:
    """(n_users, n_items) float32; the weights of equal pairs are summed. users, items, weights: (n_events,)."""
    return csr_matrix((np.asarray(weights, dtype=np.float32), (users, items)), shape=shape)
