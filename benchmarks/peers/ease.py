"""EASE in numpy, a baseline. Source: Steck, Embarrassingly Shallow Autoencoders for Sparse Data, WWW 2019, eq. 8."""

from typing import Any

import numpy as np
from common import Fold, top, tune_and_run
from scipy.sparse import csr_array


def lists(fold: Fold, setting: dict[str, Any]) -> np.ndarray:
    """The lists of one setting."""
    matrix = csr_array((np.ones(len(fold.users)), (fold.users, fold.items)), shape=(fold.n_users, fold.n_items))
    matrix.data[:] = 1.0
    bought = np.unique(fold.items)  # the others have no score
    matrix = matrix[:, bought]
    gram = (matrix.T @ matrix).toarray()
    gram[np.diag_indices_from(gram)] += setting["regularization"]
    inverse = np.linalg.inv(gram)
    weights = inverse / -np.diag(inverse)
    weights[np.diag_indices_from(weights)] = 0.0
    found = []
    for part in np.array_split(fold.asked, len(fold.asked) // 1000 + 1):
        scores = np.full((len(part), fold.n_items), -np.inf)
        scores[:, bought] = matrix[part] @ weights
        found.append(top(scores, fold, part))
    return np.concatenate(found)


if __name__ == "__main__":
    tune_and_run("ease", lists, [{"regularization": value} for value in (10, 30, 100, 200, 500, 1000, 3000)])
