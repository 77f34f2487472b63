"""The user's vector of ALS, by both ways of solving the system."""

import numpy as np
import pytest

from recsys.contracts import SECONDS_PER_DAY, History
from recsys.encoders.als_fold_in import AlsFoldIn

DIM, N_ITEMS, NOW = 8, 40, 1000 * SECONDS_PER_DAY
RNG = np.random.default_rng(3)
VECTORS = RNG.normal(size=(N_ITEMS, DIM)).astype(np.float32)
GRAM = VECTORS.T @ VECTORS + np.eye(DIM, dtype=np.float32)


def history(n: int, weight: float = 1.0) -> History:
    rows = RNG.choice(N_ITEMS, n, replace=False).astype(np.int32)
    ages = np.linspace(0, 50, n)[::-1] * SECONDS_PER_DAY
    return History(rows, np.full(n, weight, dtype=np.float32), NOW - ages)


@pytest.mark.parametrize("n", [1, 3, DIM - 1, DIM, DIM + 5])
@pytest.mark.parametrize("weight", [0.01, 1.0, 5.0])
def test_few_items_and_many_solve_the_same_equation(n: int, weight: float) -> None:
    encoder, asked = AlsFoldIn(VECTORS, GRAM, 20.0, 30.0), history(n, weight)
    vector = encoder.encode(asked, NOW)
    assert vector is not None
    confidence = 20.0 * asked.weights * np.exp2(-(NOW - asked.times) / SECONDS_PER_DAY / 30)
    mine = VECTORS[asked.rows].astype(np.float64)
    left = GRAM.astype(np.float64) + mine.T @ np.diag(confidence - 1) @ mine
    np.testing.assert_allclose(left @ vector, confidence @ mine, rtol=1e-4, atol=1e-4)


def test_a_confidence_of_one_adds_nothing_to_the_system() -> None:
    encoder, asked = AlsFoldIn(VECTORS, GRAM, 1.0, 30.0), history(1)
    vector = encoder.encode(asked, NOW)
    assert vector is not None
    np.testing.assert_allclose(GRAM @ vector, VECTORS[asked.rows[0]], rtol=1e-4, atol=1e-4)


def test_a_like_of_which_nothing_is_left_counts_like_none() -> None:
    encoder = AlsFoldIn(VECTORS, GRAM, 20.0, 0.01)
    new = history(1)
    old = History(
        np.append(new.rows, np.int32((new.rows[0] + 1) % N_ITEMS)),
        np.ones(2, dtype=np.float32),
        np.array([NOW, NOW - 900 * SECONDS_PER_DAY]),
    )
    np.testing.assert_array_equal(encoder.encode(old, NOW), encoder.encode(new, NOW))
    only_old = History(old.rows[1:], old.weights[1:], old.times[1:])
    assert encoder.encode(only_old, NOW) is None
