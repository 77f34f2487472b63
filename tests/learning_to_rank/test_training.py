"""A ranker finds what was planted in a log, the same bytes every time, and says when there is nothing to learn."""

import subprocess
import sys

import numpy as np
import polars as pl
import pytest

from recsys.errors import DataError
from recsys.learning_to_rank import training
from recsys.rankers._learned import features
from tests.support.ranker_logs import CONFIG, planted


@pytest.fixture(scope="module")
def log() -> pl.DataFrame:
    return planted()


def test_the_order_of_a_case_is_worth_what_the_metric_says() -> None:
    log = pl.DataFrame(
        {
            "case": [3, 3, 3, 8, 8],
            "wanted": [False, True, False, False, True],
            "n_wanted": [2, 2, 2, 1, 1],
        }
    )
    found = training.ndcg(np.array([0.3, 0.2, 0.1, 0.0, 1.0]), log)
    best = 1 / np.log2([2, 3])
    np.testing.assert_allclose(found, [best[1] / best.sum(), 1])


def test_trees_find_a_taste_that_no_single_feature_shows(log: pl.DataFrame) -> None:
    _, found = training.fit(log, ["als"], CONFIG, seed=1)
    random = np.random.default_rng(0).random(log.height)
    few = log.filter(pl.col("liked") <= 10, pl.col("held_out"))
    by_chance = training.ndcg(random[: few.height], few).mean()
    assert found.figures["trees, few liked"] > 1.5 * found.figures["formula, few liked"]
    assert found.figures["trees, few liked"] > 2 * by_chance
    assert found.trees_up_to == 10
    assert found.features == list(features.names(["als"]))


def test_the_formula_is_the_one_that_orders_the_lists_of_those_who_are_known_well(log: pl.DataFrame) -> None:
    assert training.fit(log, ["als"], CONFIG, seed=1)[1].formula == "als_score"
    swapped = log.rename({"als_score": "als_times_recent", "als_times_recent": "als_score"})
    assert training.fit(swapped, ["als"], CONFIG, seed=1)[1].formula == "als_times_recent"


def test_the_same_log_gives_the_same_bytes(log: pl.DataFrame) -> None:
    first, again = (training.fit(log, ["als"], CONFIG, seed=1) for _ in range(2))
    assert first == again
    assert training.fit(log, ["als"], CONFIG, seed=2)[0] != first[0]


def test_trees_that_only_guess_are_not_used(log: pl.DataFrame) -> None:
    """The formula knows all; the trees see noise."""
    known = log.with_columns(als_score=pl.col("wanted").cast(pl.Float32))
    noise = np.random.default_rng(1).normal(size=log.height).astype(np.float32)
    held = known.with_columns(
        pl.when("held_out").then(pl.col(name)).otherwise(pl.lit(pl.Series(noise))).alias(name)
        for name in features.names(["als"])
        if name != "liked"
    )
    assert training.fit(held, ["als"], CONFIG, seed=1)[1].trees_up_to == -1


def test_no_hit_is_one_line(log: pl.DataFrame) -> None:
    nobody = log.with_columns(wanted=pl.lit(value=False))
    with pytest.raises(DataError, match=r"^the log of candidates has no hit for users with 1 to 10 likes \(\d+ cases"):
        training.fit(nobody, ["als"], CONFIG, seed=1)


def test_gains_decide_up_to_where_the_trees_are_used() -> None:
    liked = np.array([10, 1, 5, 1, 3])
    assert training.limit(liked, np.array([-0.5, 0.2, 0.1, -0.1, 0.1])) == 5
    assert training.limit(liked, np.array([0.5, 0.2, -0.1, -0.1, 0.1])) == 10
    assert training.limit(liked, np.array([-0.1, -0.2, -0.1, -0.1, -0.1])) == -1


def test_whoever_told_nothing_teaches_nothing(log: pl.DataFrame) -> None:
    nothing = log.with_columns(liked=pl.when(pl.col("liked") <= 10).then(0).otherwise("liked").cast(pl.Float32))
    with pytest.raises(DataError, match=r"no hit for users with 1 to 10"):
        training.fit(nothing, ["als"], CONFIG, seed=1)


def test_lightgbm_and_faiss_never_meet_in_one_process() -> None:
    code = "import {}, sys; print(sorted({{'lightgbm', 'faiss'}} & set(sys.modules)))"
    for module, alone in {"recsys.stages.rank": "lightgbm", "recsys.stages.candidates": "faiss"}.items():
        done = subprocess.run([sys.executable, "-c", code.format(module)], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == str([alone])
