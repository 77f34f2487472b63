"""Predicts vectors in the item space from the vectors that the data supply for items: ridge regression in closed form.

The penalty is the value of a grid with the smallest leave-one-out error, which is computed without fitting again.

Source: Hoerl and Kennard, "Ridge regression", 1970; Allen, "The relationship between variable selection and data
augmentation and a method for prediction", 1974 (the leave-one-out error).
"""

import numpy as np
from threadpoolctl import threadpool_limits

from recsys.contracts import FloatArray

PENALTIES = 10.0 ** np.arange(-3, 5)  # times the mean eigenvalue


def fit(brought: FloatArray, targets: FloatArray, weights: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the coefficients (d, dim), and the prediction for each item without itself, (n, dim), both float32.

    brought: (n, d), the supplied vectors, zeros without one; targets: (n, dim); weights: (n,), 0 for items to leave
    out.
    """
    fitted = np.flatnonzero((weights > 0) & brought.any(axis=1))
    if not len(fitted):
        return np.zeros((brought.shape[1], targets.shape[1]), np.float32), np.zeros_like(targets)
    root = np.sqrt(weights[fitted].astype(np.float64))[:, None]
    x, y = root * brought[fitted], root * targets[fitted]
    with threadpool_limits(1, "blas"):  # the same bytes with any number of threads
        values, directions = np.linalg.eigh(x.T @ x)
        values = np.maximum(values, 0)
        turned = x @ directions
        products = turned.T @ y
        best, predicted, least = np.zeros_like(products), np.zeros_like(y), np.inf
        for penalty in PENALTIES * values.mean():
            shrunk = 1 / (values + penalty)
            leverage = (turned**2 @ shrunk)[:, None]
            left_out = y - (y - turned @ (shrunk[:, None] * products)) / np.maximum(1 - leverage, 1e-9)
            error = float(((y - left_out) ** 2).sum())
            if error < least:
                best, least, predicted = directions @ (shrunk[:, None] * products), error, left_out
        everywhere = (brought @ best).astype(np.float32)
    everywhere[fitted] = predicted / root
    return best.astype(np.float32), everywhere
