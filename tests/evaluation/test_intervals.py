"""Intervals cover the truth as often as they say, pair users, and leave unknown values out."""

import numpy as np
import pytest

from recsys.evaluation.intervals import Bootstrap

BOOTSTRAP = Bootstrap(replicates=400, confidence=0.95, seed=5)


def test_the_true_mean_is_inside_as_often_as_promised() -> None:
    rng = np.random.default_rng(0)
    samples = rng.exponential(1.0, size=(200, 400))  # 400 studies of 200 users each, true mean 1
    _, low, high = BOOTSTRAP.interval(samples)
    assert 0.91 < np.mean((low < 1.0) & (high > 1.0)) < 0.98


def test_agrees_with_replicates_drawn_one_by_one() -> None:
    rng = np.random.default_rng(1)
    values = rng.normal(size=(300, 1))
    _, low, high = BOOTSTRAP.interval(values)
    means = [values[rng.integers(0, 300, 300)].mean() for _ in range(4000)]
    np.testing.assert_allclose([low[0], high[0]], np.quantile(means, [0.025, 0.975]), atol=0.02)


def test_a_paired_difference_is_narrower_than_two_unpaired_ones() -> None:
    rng = np.random.default_rng(2)
    baseline = rng.normal(size=500)
    variant = baseline + 0.05 + 0.01 * rng.normal(size=500)
    mean, low, high = BOOTSTRAP.interval(np.column_stack([baseline, variant, variant - baseline]))
    assert high[0] > low[1]  # apart, the two intervals overlap
    assert 0.04 < low[2] < mean[2] < high[2] < 0.06


def test_users_without_a_value_do_not_count() -> None:
    values = np.array([[1.0, np.nan], [2.0, np.nan], [np.nan, np.nan]] * 20)
    mean, low, high = BOOTSTRAP.interval(values)
    assert mean[0] == 1.5
    assert 1.2 < low[0] < 1.5 < high[0] < 1.8
    assert np.isnan([mean[1], low[1], high[1]]).all()


def test_the_seed_decides() -> None:
    values = np.random.default_rng(3).normal(size=(150, 2))
    first, again = BOOTSTRAP.interval(values), BOOTSTRAP.interval(values)
    other = Bootstrap(replicates=400, confidence=0.95, seed=6).interval(values)
    np.testing.assert_array_equal(first, again)
    assert (first[1] != other[1]).all()


@pytest.mark.parametrize("replicates", [40, 250])
def test_the_limits_are_quantiles_of_all_replicates_also_of_the_last_few(replicates: int) -> None:
    values = np.random.default_rng(4).normal(size=(60, 1))
    _, low, high = Bootstrap(replicates, confidence=0.9, seed=8).interval(values)
    rng, means = np.random.default_rng(8), list[float]()
    while len(means) < replicates:
        drawn = rng.integers(0, 60, size=(min(100, replicates - len(means)), 60))
        means += values[drawn, 0].mean(axis=1).tolist()
    np.testing.assert_allclose([low[0], high[0]], np.quantile(means, [0.05, 0.95]))


def test_a_single_value_is_its_own_mean() -> None:
    assert BOOTSTRAP.interval(np.array([[3.0], [np.nan]]))[0].tolist() == [3.0]


def test_every_replicate_is_drawn() -> None:
    values = np.full((3, 1), 5.0)
    memory = np.full((1, 1), -1.0)  # what an array that nobody fills would show
    del memory
    _, low, high = Bootstrap(replicates=1, confidence=0.9, seed=1).interval(values)
    assert (low.tolist(), high.tolist()) == ([5.0], [5.0])
