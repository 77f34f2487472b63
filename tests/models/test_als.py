"""ALS: the planted taste is found, the same bytes come out, and a folded-in history is what implicit would say."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from implicit.als import AlternatingLeastSquares

from recsys.bundle.embeddings import encoder_of
from recsys.contracts import TrainingData, epoch_seconds
from recsys.models import als

NOW = datetime(2024, 6, 1, tzinfo=UTC)
CONFIG = als.Config(factors=8, iterations=30, alpha=3.0, regularization=0.5, half_life_days=30)


def training(seed: int = 1, n_users: int = 60, n_items: int = 40, threads: int = 1) -> TrainingData:
    """A checkerboard: users of even row like items of even row, odd ones odd; the last two items are never liked."""
    draw = np.random.default_rng(seed)
    users = np.repeat(np.arange(n_users), 12)
    items = 2 * draw.integers((n_items - 2) // 2, size=len(users)) + users % 2
    frame = pl.DataFrame(
        {
            "user_row": users.astype(np.int32),
            "item_row": items.astype(np.int32),
            "timestamp": [NOW - timedelta(days=float(age)) for age in draw.uniform(0, 90, len(users))],
            "event": ["view"] * len(users),
            "weight": draw.choice([0.0, 1.0, 3.0], len(users), p=[0.1, 0.6, 0.3]).astype(np.float32),
        },
        schema_overrides={"timestamp": pl.Datetime("us", "UTC")},
    ).sort("user_row", "timestamp", "item_row")
    catalogue = pl.DataFrame({"row": np.arange(n_items, dtype=np.int32)})
    return TrainingData(frame.lazy(), catalogue, n_users, n_items, NOW.timestamp(), seed, threads)


def history_of(data: TrainingData, user: int):  # type: ignore[no-untyped-def]
    from recsys.contracts import History

    mine = data.interactions.filter(pl.col("user_row") == user)
    return History(mine["item_row"].to_numpy(), mine["weight"].to_numpy(), epoch_seconds(mine["timestamp"]))


def test_the_checkerboard_is_found() -> None:
    data = training()
    found = als.fit(data, CONFIG)
    encoder = encoder_of(found)
    for user in range(10):
        vector = encoder.encode(history_of(data, user), data.now)
        assert vector is not None
        best = np.argsort(-(found.vectors @ vector))[:10]
        assert (best % 2 == user % 2).all()


def test_a_folded_in_history_equals_implicit_s_own_answer() -> None:
    data = training()
    found = als.fit(data, CONFIG)
    encoder = encoder_of(found)
    matrix = als.confidence(data, CONFIG.half_life_days)
    referee = AlternatingLeastSquares(
        factors=8, iterations=30, alpha=3.0, regularization=0.5, num_threads=1, random_state=data.seed
    )
    referee.fit(matrix, show_progress=False)
    assert np.array_equal(referee.item_factors, found.vectors)
    for user in range(data.n_users):
        wanted = referee.recalculate_user(user, matrix[user])
        vector = encoder.encode(history_of(data, user), data.now)
        assert vector is not None
        np.testing.assert_allclose(vector, wanted, atol=1e-5)


@pytest.mark.parametrize("threads", [1, 2])
def test_the_same_data_and_seed_give_the_same_bytes(threads: int) -> None:
    first, again = als.fit(training(), CONFIG), als.fit(training(threads=threads), CONFIG)
    assert first.vectors.tobytes() == again.vectors.tobytes()
    assert first.arrays["gram"].tobytes() == again.arrays["gram"].tobytes()


def test_items_nobody_liked_are_not_known() -> None:
    found = als.fit(training(), CONFIG)
    assert not {38, 39} & set(found.rows.tolist())
    assert not found.vectors[[38, 39]].any()


def test_nothing_liked_is_no_vector() -> None:
    from recsys.contracts import EMPTY_HISTORY, History

    encoder = encoder_of(als.fit(training(), CONFIG))
    assert encoder.encode(EMPTY_HISTORY, NOW.timestamp()) is None
    unknown = History(np.array([38], np.int32), np.ones(1, np.float32), np.array([NOW.timestamp()]))
    assert encoder.encode(unknown, NOW.timestamp()) is None
    disliked = History(np.array([1], np.int32), np.zeros(1, np.float32), np.array([NOW.timestamp()]))
    assert encoder.encode(disliked, NOW.timestamp()) is None


def test_an_event_counts_half_after_one_half_life() -> None:
    data = training()
    recent = als.confidence(data, 30.0)
    later = als.confidence(
        TrainingData(data.events, data.catalogue, 60, 40, data.now + 30 * 86_400, data.seed, 1), 30.0
    )
    np.testing.assert_allclose(later.toarray(), recent.toarray() / 2, rtol=1e-5)


def test_what_faded_to_nothing_is_unknown_to_training_and_to_the_encoder_alike() -> None:
    config = CONFIG.model_copy(update={"half_life_days": 0.3})  # after 45 days, 0.5 ** 150 is 0 in float32
    data = training()
    found = als.fit(data, config)
    ages = (NOW - data.interactions["timestamp"]).dt.total_seconds() / 86_400
    faded = set(range(38)) - set(data.interactions.filter(ages < 44)["item_row"])
    fresh = data.interactions.filter(ages < 44, pl.col("weight") > 0)
    assert set(fresh["item_row"]) <= set(found.rows.tolist()) <= set(range(38)) - faded
    old = data.interactions.filter(ages > 46, pl.col("weight") > 0)[:3]
    from recsys.contracts import History

    history = History(old["item_row"].to_numpy(), old["weight"].to_numpy(), epoch_seconds(old["timestamp"]))
    assert len(history) == 3
    assert encoder_of(found).encode(history, data.now) is None
