"""A ranker finds what was planted in a log, the same bytes every time, and says when there is nothing to learn."""

import subprocess
import sys

import lightgbm as lgb
import numpy as np
import polars as pl
import pytest

from recsys.params import SourceShare
from recsys.rankers._learned import blends, features, training
from recsys.ranking import ndcg, top_k
from tests.support.ranker_logs import CONFIG, VARIANT, planted

PAIRS = {"model": "pairs"}


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


def test_trees_find_a_taste_that_no_blend_shows(log: pl.DataFrame) -> None:
    trees, found = training.fit(log, VARIANT, CONFIG, seed=1)
    assert found.figures["trees, second half"] > 1.3 * found.figures["blends, second half"]
    assert found.trees_up_to == 10
    assert found.features == list(features.names(["als"]))
    assert trees.startswith("tree")


def test_trees_learn_that_nobody_wants_what_nobody_liked(log: pl.DataFrame) -> None:
    """Unknown is not disliked: items that nobody had are as good here as those that all liked."""
    liked = pl.when(~pl.col("wanted")).then(0.0).when(pl.col("als_rank") > 0).then(1.0).otherwise(np.nan)
    told = log.with_columns(liked_share=liked.cast(pl.Float32))
    trees, found = training.fit(told, VARIANT, CONFIG, seed=1)
    assert found.features == list(features.names(["als"], liked_share=True))
    assert found.figures["trees, second half"] > 0.95
    rows = np.zeros((3, len(found.features)), dtype=np.float32)
    rows[:, found.features.index("liked_share")] = [0, 1, np.nan]
    disliked, *good = lgb.Booster(model_str=trees).predict(rows)
    assert min(good) > disliked + 1


def test_a_blend_takes_what_orders_best_and_leaves_out_what_adds_nothing(log: pl.DataFrame) -> None:
    assert training.fit(log, VARIANT, CONFIG, seed=1)[1].more == {"als_score": 1.0}
    swapped = log.rename({"als_score": "als_times_recent", "als_times_recent": "als_score"})
    assert training.fit(swapped, VARIANT, CONFIG, seed=1)[1].more == {"als_times_recent": 1.0}
    both = VARIANT.model_copy(update={"sources": [*VARIANT.sources, SourceShare(source="item_item", config=PAIRS)]})
    noise = np.random.default_rng(4).normal(size=log.height).astype(np.float32)
    noisy = log.with_columns(pl.Series(f"pairs_{name}", noise) for name in features.OF_PAIRS)
    found = training.fit(noisy, both, CONFIG, seed=1)[1]
    assert (found.models, list(found.left_out)) == (["als"], ["pairs"])
    assert not [name for name in found.features if name.startswith("pairs")]


def test_a_blend_of_two_is_better_than_each_and_its_weights_add_up(log: pl.DataFrame) -> None:
    halves = np.random.default_rng(2).random(log.height).astype(np.float32)
    mixed = log.with_columns(
        als_score=pl.col("wanted") * pl.Series(halves), demand_24h=pl.col("wanted") * pl.Series(1 - halves)
    ).with_columns(pl.col("als_score", "demand_24h") + pl.Series(np.roll(halves, 7)) * 0.7)
    weights = blends.fit(mixed.cast({"als_score": pl.Float32}), ["als_score", "demand_24h"], seed=1)
    assert set(weights) == {"als_score", "demand_24h"}
    assert sum(weights.values()) == pytest.approx(1, abs=1e-3)
    alone = [training.blend_ndcg(mixed, {name: 1.0}).mean() for name in weights]
    assert training.blend_ndcg(mixed, weights).mean() > max(alone) + 0.02


@pytest.mark.parametrize("seed", [1, 3, 4, 10])
def test_a_source_that_only_guesses_has_no_place_in_a_blend_of_few_users(seed: int) -> None:
    """Within the half of the users that a blend is fitted on, chance looks like a gain."""
    random, users, candidates = np.random.default_rng(seed), 60, 20
    wanted = np.zeros((users, candidates), dtype=np.bool_)
    wanted[np.arange(users), random.integers(candidates, size=users)] = True
    names = ["als_score", "covisit_score", "content_score"]
    table = {name: random.random(users * candidates).astype(np.float32) for name in names}
    table["als_score"] = (table["als_score"] * 1.4 + wanted.ravel()).astype(np.float32)
    case = np.repeat(np.arange(users, dtype=np.int32), candidates)
    log = pl.DataFrame({"case": case, "user": case, "wanted": wanted.ravel(), "n_wanted": np.ones_like(case), **table})
    assert blends.fit(log, names, seed=1) == {"als_score": 1.0}


def test_of_two_sources_that_stand_in_for_each_other_one_stays(log: pl.DataFrame) -> None:
    twice = log.with_columns(ease_score=pl.col("als_score") + pl.col("als_rank") * 0.01)
    weights = blends.fit(twice, ["als_score", "ease_score", "demand_24h"], seed=1)
    assert "demand_24h" not in weights
    assert training.blend_ndcg(twice, weights).mean() > 0.98 * training.blend_ndcg(twice, {"als_score": 1.0}).mean()


def test_the_same_log_gives_the_same_bytes(log: pl.DataFrame) -> None:
    first, again = (training.fit(log, VARIANT, CONFIG, seed=1) for _ in range(2))
    assert first == again
    assert training.fit(log, VARIANT, CONFIG, seed=2)[0] != first[0]


def test_trees_that_only_guess_are_not_used(log: pl.DataFrame) -> None:
    """The blend knows all; the trees see noise."""
    known = log.with_columns(als_score=pl.col("wanted").cast(pl.Float32))
    noise = np.random.default_rng(1).normal(size=log.height).astype(np.float32)
    held = known.with_columns(
        pl.when("held_out").then(pl.col(name)).otherwise(pl.lit(pl.Series(noise))).alias(name)
        for name in features.names(["als"])
        if name != "liked"
    )
    assert training.fit(held, VARIANT, CONFIG, seed=1)[1].trees_up_to == -1


@pytest.mark.parametrize(("n_attributes", "kept"), [(1, True), (2, False), (6, False)])
def test_the_more_attributes_are_tried_the_larger_an_effect_must_be(
    n_attributes: int, kept: bool, log: pl.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gain of 2.2 standard errors: by chance in 1.4 % of the trials, and three blends try each attribute."""
    gains = np.random.default_rng(0).normal(size=200)
    gains += 2.2 * gains.std(ddof=1) / np.sqrt(len(gains)) - gains.mean()
    asked: list[list[str]] = []

    def fit(_: pl.DataFrame, names: list[str], seed: int) -> dict[str, float]:
        asked.append(names)
        return {}

    monkeypatch.setattr(blends, "fit", fit)
    of_users = [f"user_a{at}_{name}" for at in range(n_attributes) for name in features.OF_A_GROUP]
    halves = iter(np.split(gains, 2) * n_attributes)
    monkeypatch.setattr(training, "_gains", lambda *_: next(halves))
    training._blend(log, ["als_score"], of_users, 1)
    assert asked[-1] == ["als_score", *(of_users if kept else [])]


@pytest.mark.parametrize("nothing", ["wanted", "liked"])
def test_without_a_hit_or_a_history_the_first_source_orders(log: pl.DataFrame, nothing: str) -> None:
    nobody = log.with_columns(pl.lit(value=0).cast(log.schema[nothing]).alias(nothing))
    trees, found = training.fit(nobody.with_columns(late=pl.col("late") & pl.col("wanted")), VARIANT, CONFIG, seed=1)
    assert (trees, found.few, found.more, found.trees_up_to) == ("", {"als_score": 1.0}, {"als_score": 1.0}, -1)


def test_gains_decide_up_to_where_the_trees_are_used() -> None:
    liked, noise = np.repeat([1, 3, 10], 20), np.tile([0.1, -0.1], 30)
    assert training.limit(liked, np.repeat([0.2, 0.2, -0.4], 20) + noise) == 3
    assert training.limit(liked, np.repeat([0.2, 0.0, 0.2], 20) + noise) == training.EVERYBODY
    assert training.limit(liked, np.repeat([-0.1, -0.1, 0.01], 20) + noise) == -1
    assert training.limit(liked, noise) == -1, "luck is no gain"


def test_ndcg_of_many_lists_is_that_of_each_alone() -> None:
    """With equal scores, lists of several lengths and targets outside of the list."""
    random = np.random.default_rng(2)
    sizes = random.integers(1, 40, 50)
    case = np.repeat(np.arange(50), sizes)
    log = pl.DataFrame({"case": case, "wanted": random.random(len(case)) < 0.2, "n_wanted": 9 + case * 0})
    log = log.with_columns(by=pl.Series(random.integers(-1, 4, len(case)).astype(np.float32)))
    found = training.blend_ndcg(log, {"by": 1.0})
    for value, each in zip(found, log.partition_by("case", maintain_order=True), strict=True):
        best = top_k(each["by"].to_numpy().clip(0), blends.K)
        hits = np.zeros((1, blends.K), dtype=np.bool_)
        hits[0, : len(best)] = each["wanted"].to_numpy()[best]
        assert value == pytest.approx(ndcg(hits, np.array([9]))[0], abs=1e-12)


def test_lightgbm_and_faiss_never_meet_in_one_process() -> None:
    code = "import {}, sys; print(sorted({{'lightgbm', 'faiss'}} & set(sys.modules)))"
    ranking = "recsys.stages.rank, recsys.rankers._learned.training"
    for module, alone in {ranking: "lightgbm", "recsys.stages.candidates": "faiss"}.items():
        done = subprocess.run([sys.executable, "-c", code.format(module)], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == str([alone])
