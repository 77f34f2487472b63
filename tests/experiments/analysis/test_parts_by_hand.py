"""Small parts of the analysis, each against a figure that is worked out by hand."""

from dataclasses import fields, replace
from math import sqrt
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy.stats import chisquare

from recsys.errors import DataError
from recsys.experiments.analysis import checks, effects, guardrails, interleaving, join, off_policy
from recsys.experiments.online.assignment import arm_of, bucket
from recsys.experiments.online.config import Experiment, Guardrail, Metric
from tests.support.experiment_logs import event, events, experiment

THIRDS = Experiment.model_validate({"arms": {name: {"variant": name, "weight": 0.333} for name in "abc"}})


def units_of(arm: str, given: Experiment, n: int) -> list[str]:
    """The first n units that the hash gives to an arm."""
    found = (unit for unit in map(str, range(10_000)) if arm_of(given, bucket("x", unit)) == arm)
    return [next(found) for _ in range(n)]


def losses(given: Experiment, **arms: tuple[int, int]) -> checks.Check:
    """The check; arm: units whose click names a missing answer, and units whose click names a logged one."""
    logged, clicks = [], []
    for arm, (lost, kept) in arms.items():
        for at, unit in enumerate(units_of(arm, given, lost + kept)):
            request = f"{unit}-request"
            clicks.append(event(at, unit=unit, event_id=unit, request_id=request))
            logged += [request] if at >= lost else []
    exposures = pl.DataFrame({"request_id": logged}, schema={"request_id": pl.String})
    return checks.equal_loss(exposures, events(clicks), "x", given)


def test_nothing_lost_is_lost_alike() -> None:
    check = losses(experiment(), a=(0, 5), b=(0, 3))
    assert (check.found, check.passed) == (1.0, True)


def test_where_one_arm_alone_has_clicks_what_is_lost_is_compared_with_the_weights() -> None:
    check = losses(experiment(), b=(20, 5))
    assert check.found == pytest.approx(chisquare([0, 20], [10, 10]).pvalue)
    assert not check.passed


def test_weights_of_a_third_each_share_out_what_is_lost() -> None:
    check = losses(THIRDS, a=(6, 0), b=(3, 0), c=(3, 0))
    assert check.found == pytest.approx(chisquare([6, 3, 3], [4, 4, 4]).pvalue)


def test_a_unit_in_two_arms_counts() -> None:
    exposures = pl.DataFrame({"unit": ["u", "u", "v", "v", "w", "x"], "arm": list("abaaab")})
    assert checks.units_in_two_arms(exposures).found == 0.25


def test_a_share_of_exactly_the_limit_passes() -> None:
    how = [join.LOST] + [join.BY_REQUEST] * 99
    outcomes = pl.DataFrame({"event": "click", "how": how})
    lost, early = checks.instrumentation(outcomes)
    assert (lost.found, lost.passed, early.found) == (checks.MAX_LOST, True, 0.0)


@pytest.mark.parametrize(
    ("statistic", "half", "error"), [(0.0, 0.979982, 0.5), (float("nan"), 0.0, 0.0), (float("nan"), float("nan"), 0.0)]
)
def test_without_a_statistic_the_error_is_that_of_the_interval(statistic: float, half: float, error: float) -> None:
    got = SimpleNamespace(statistic=statistic, effect_size=0.0, effect_size_ci_lower=-half, effect_size_ci_upper=half)
    assert effects._error(got, 0.05) == pytest.approx(error, abs=1e-6)


@pytest.mark.parametrize("primary", ["ctr", "conversion"])
def test_the_bootstrap_is_the_percentiles_of_weighted_means(primary: str) -> None:
    """The draws again, with one loop more: every unit weighs Poisson(1)."""
    draw = np.random.default_rng(9)
    clicks, slots = draw.integers(0, 3, 40).astype(float), draw.integers(3, 9, 40).astype(float)
    units = pl.DataFrame({"arm": ["a", "b"] * 20, "clicks": clicks, "slots": slots, "converted": np.minimum(clicks, 1)})
    given = experiment(primary=primary, alpha=0.1)
    found = effects.bootstrap(units, given, draws=400, seed=3)["b"]
    chance, rates = np.random.default_rng(3), {}
    for arm in "ab":
        mine = units.filter(pl.col("arm") == arm)
        counted = mine["clicks" if primary == "ctr" else "converted"].to_numpy()
        over = mine["slots"].to_numpy() if primary == "ctr" else np.ones(len(counted))
        weights = [chance.poisson(1.0, len(counted)) for _ in range(400)]
        rates[arm] = np.array([(weight @ counted) / (weight @ over) for weight in weights])
    assert found == pytest.approx(np.quantile(rates["b"] - rates["a"], [0.05, 0.95]))


def test_the_error_of_a_rate_is_over_units_with_two_added() -> None:
    """One slow answer of four in two units; added are a unit without and one with slow answers only: 3 of 8."""
    units = pl.DataFrame({"slow": [1.0, 0.0], "requests": [1.0, 3.0]})
    rest = np.array([1, 0, 0, 2]) - 3 / 8 * np.array([1, 3, 2, 2])
    share, error = guardrails._rate(units, "slow")
    assert (share, error) == pytest.approx((3 / 8, sqrt((rest @ rest) / 3 / 4) / 2))


def budget(**slow: list[float]) -> guardrails.State:
    rows: list[dict[str, Any]] = [
        {"arm": arm, "slow": each, "requests": 1.0} for arm, found in slow.items() for each in found
    ]
    units = pl.DataFrame(rows)
    given = experiment(guardrails={"latency_ms": {"budget": 100}})
    (state,) = guardrails.states(units, given, [], 1000)
    return state


def test_a_budget_says_the_shares_of_both_arms() -> None:
    says = "latency_ms of b: 75.00% answers over 100 ms, 50.00% in the control"
    assert budget(a=[1.0, 0.0], b=[1.0, 1.0, 1.0, 0.0]).says.startswith(says)
    assert "of b: 100.00% answers over 100 ms, 0.00% in" in budget(a=[0.0], b=[1.0]).says


@pytest.mark.parametrize(
    ("metric", "low", "high", "broken", "kept"),
    [
        ("latency_ms", 1.0, 1.0, False, True),
        ("latency_ms", 1.01, 2.0, True, False),
        ("latency_ms", -9.0, 1.01, False, False),
        ("conversion", 1.0, 1.0, False, True),
        ("conversion", 1.01, 2.0, True, False),
    ],
)
def test_a_margin_counts_what_is_worse(metric: Metric, low: float, high: float, broken: bool, kept: bool) -> None:
    """10 % of 10, whichever way is worse; at exactly the margin it is kept."""
    worse = {"anytime_low": low, "high": high} if metric == "latency_ms" else {"anytime_high": -low, "low": -high}
    values: dict[str, Any] = dict.fromkeys([field.name for field in fields(effects.Effect)], 0.0)
    effect = effects.Effect(**{**values, "arm": "b", "metric": metric, "control": 10.0, **worse})
    state = guardrails._margin(effect, Guardrail(margin=0.1))
    assert (state.broken, state.kept) == (broken, kept)


def test_a_doubly_robust_interval_is_that_of_its_parts() -> None:
    """Every row a unit of its own: the error of a mean of n parts."""
    draw = np.random.default_rng(2)
    n, reward, guess = 400, draw.random(400), draw.random(400)
    logged = off_policy.Log(reward, np.full(n, 0.5), np.full(n, 0.4), np.arange(n), guess, guess * 0.9)
    parts = guess * 0.9 + 0.8 * (reward - guess)
    found = off_policy.estimate(logged, "dr")
    assert found.value == pytest.approx(parts.mean())
    assert found.high - found.value == pytest.approx(1.959964 * parts.std(ddof=1) / sqrt(n), rel=1e-5)
    for guessed, expected in ((guess, None), (None, guess)):
        with pytest.raises(DataError, match="set `guess` and `expected`"):
            off_policy.estimate(replace(logged, guess=guessed, expected=expected), "dr")


@pytest.mark.parametrize(("teams", "score", "p_value"), [(["a", "b"] * 2, 0.0, 1.0), (["b"], 1.0, 1.0)])
def test_who_prefers_neither_and_who_is_alone_shows_nothing(teams: list[str], score: float, p_value: float) -> None:
    units = ["u", "u", "v", "v"][: len(teams)]
    found = interleaving.preference(pl.DataFrame({"unit": units, "team": teams}))
    assert (found.score, found.p_value) == (score, p_value)
    assert (found.low, found.high) == ((-1.0, 1.0) if len(teams) == 1 else (0.0, 0.0))


def test_units_who_all_prefer_b_are_as_likely_as_tosses_of_a_coin() -> None:
    clicks = pl.DataFrame({"unit": ["u", "v", "w"], "team": ["b", "b", "b"]})
    found = interleaving.preference(clicks)
    assert (found.score, found.low, found.high, found.p_value, found.units) == (1.0, 1.0, 1.0, 0.25, 3)
