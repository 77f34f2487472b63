from collections.abc import Sequence

import numpy as np
import pytest

from recsys.contracts import EMPTY_HISTORY, SECONDS_PER_DAY, History
from recsys.encoders.content import Pooled

VECTORS = np.array([[1, 0], [0, 1], [0, 0], [3, 4]], dtype=np.float32)
TOLD = np.array([1, 0.5, 1, 0.25], dtype=np.float32)
NOW = 1e9


def history(
    rows: Sequence[int], weights: Sequence[float] | None = None, ages: Sequence[float] | None = None
) -> History:
    n = len(rows)
    times = NOW - np.array([0] * n if ages is None else ages, dtype=np.float64) * SECONDS_PER_DAY
    return History(
        np.array(rows, dtype=np.int32), np.array([1] * n if weights is None else weights, dtype=np.float32), times
    )


@pytest.fixture
def encoder() -> Pooled:
    return Pooled(VECTORS, TOLD, half_life_days=10)


def test_the_sum_is_the_formula(encoder: Pooled) -> None:
    # item 0: weight 4 ten days ago -> 2, and 2 now: c = sqrt(4) = 2; item 1: weight 9 now: c = 3
    found = encoder.encode(history([0, 1, 0], [4, 9, 2], [10, 0, 0]), NOW)
    assert found == pytest.approx(np.array([2 * 1, 3 * 0.5]) / np.sqrt(4 + 9), abs=1e-6)
    assert found.dtype == np.float32


def test_one_event_is_enough(encoder: Pooled) -> None:
    assert encoder.encode(history([3]), NOW) == pytest.approx([0.75, 1.0])


def test_it_says_when_it_has_nothing_to_say(encoder: Pooled) -> None:
    assert encoder.encode(EMPTY_HISTORY, NOW) is None
    assert encoder.encode(history([2]), NOW) is None  # an item without a vector
    assert encoder.encode(history([0, 1], weights=[0, 0]), NOW) is None  # seen, not liked


def test_an_item_without_a_vector_does_not_turn_the_direction(encoder: Pooled) -> None:
    alone, beside = encoder.encode(history([0, 1]), NOW), encoder.encode(history([0, 1, 2]), NOW)
    assert alone is not None
    assert beside is not None
    assert alone / np.linalg.norm(alone) == pytest.approx(beside / np.linalg.norm(beside), abs=1e-6)
