"""An event after the moment of asking, as a client with a fast clock sends it, counts in full and not more."""

import numpy as np
import pytest

from recsys.contracts import Encoder, History
from recsys.encoders.als_fold_in import AlsFoldIn, decayed
from recsys.encoders.content import Pooled

VECTORS = np.array([[1, 0], [0, 1], [3, 4]], dtype=np.float32)
NOW, DAY = 1e9, 86_400.0


def history(ages_days: list[float]) -> History:
    rows = np.arange(len(ages_days), dtype=np.int32)
    return History(rows, np.ones(len(rows), dtype=np.float32), NOW - np.array(ages_days) * DAY)


def test_the_weight_is_never_more_than_the_event_s_own() -> None:
    asked = history([10, 0, -10])
    assert decayed(asked.weights, asked.times, NOW, 10.0).tolist() == [0.5, 1.0, 1.0]


@pytest.mark.parametrize(
    "encoder",
    [
        AlsFoldIn(VECTORS, VECTORS.T @ VECTORS + np.eye(2, dtype=np.float32), alpha=3.0, half_life_days=10.0),
        Pooled(VECTORS, np.ones(3, dtype=np.float32), half_life_days=10.0),
    ],
)
def test_a_history_with_events_to_come_is_that_of_now(encoder: Encoder) -> None:
    now, later = encoder.encode(history([20, 5, 0]), NOW), encoder.encode(history([20, 5, -30]), NOW)
    assert now is not None
    assert later is not None
    np.testing.assert_array_equal(now, later)
    faded = encoder.encode(history([20, 5, 30]), NOW)
    assert faded is not None
    assert not np.allclose(now, faded)
