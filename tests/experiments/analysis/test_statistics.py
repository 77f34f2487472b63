"""The statistics against published values, textbook values and simulated truth."""

import numpy as np
import polars as pl
import pytest
from scipy.stats import norm

from recsys.errors import DataError
from recsys.experiments.analysis import checks, effects, guardrails, planning, readout, sequential
from recsys.experiments.online.config import Experiment

HALVES = {"a": {"variant": "x", "weight": 0.5}, "b": {"variant": "y", "weight": 0.5}}
EXPERIMENT = Experiment.model_validate({"arms": HALVES})


def shop(n: int, seed: int, uplift: float = 0.0, history: bool = False) -> pl.DataFrame:
    """n units with several requests each; a unit's own click rate makes its requests depend on each other."""
    chance = np.random.default_rng(seed)
    arm = chance.integers(0, 2, n)
    requests = chance.poisson(4, n) + 1
    rate = chance.beta(1, 9, n) * (1 + uplift * arm)
    clicks = chance.binomial(requests * 5, np.clip(rate, 0, 1))
    purchases = chance.binomial(1, 0.05, n)
    return pl.DataFrame(
        {
            "unit": np.arange(n).astype(str),
            "arm": np.array(["a", "b"])[arm],
            "segment": "warm",
            "requests": requests.astype(float),
            "slots": requests * 5.0,
            "clicks": clicks.astype(float),
            "purchases": purchases.astype(float),
            "converted": purchases.astype(float),
            "revenue": purchases * 10.0,
            "fallbacks": 0.0,
            "slow": 0.0,
            "latency_ms": requests * 3.0 + chance.normal(0, 0.1, n),
            "events_before": chance.binomial(requests * 5, np.clip(rate, 0, 1)).astype(float) if history else 0.0,
        },
        strict=False,
    )


def ctr(units: pl.DataFrame, planned: int = 1000) -> effects.Effect:
    return next(effect for effect in effects.effects(units, EXPERIMENT, planned) if effect.metric == "ctr")


def test_the_interval_holds_the_truth_and_false_alarms_are_rare() -> None:
    """200 A/A experiments: 5 % of false alarms, three standard errors wide."""
    found = [ctr(shop(400, seed)) for seed in range(200)]
    false = np.mean([effect.p_value < 0.05 for effect in found])
    assert 0.005 < false < 0.10
    assert np.mean([effect.low <= 0 <= effect.high for effect in found]) == pytest.approx(1 - false, abs=0.01)


def test_holm_against_the_textbook() -> None:
    """Of four p-values the smallest counts four times, the next three times, and none less than the one before."""
    values = {("b", name): value for name, value in zip("wxyz", (0.005, 0.01, 0.03, 0.04), strict=True)}
    assert list(effects._holm(values).values()) == pytest.approx([0.02, 0.03, 0.06, 0.06])


def test_history_narrows_the_interval() -> None:
    without, with_ = (ctr(shop(4000, 1, history=history)) for history in (False, True))
    assert (with_.high - with_.low) < 0.9 * (without.high - without.low)


def test_a_planted_uplift_is_found() -> None:
    effect = ctr(shop(20_000, 3, uplift=0.2))
    assert effect.low > 0
    assert effect.relative == pytest.approx(0.2, abs=0.06)


def test_the_anytime_p_value_agrees_with_its_interval() -> None:
    for z in (0.5, 2.0, 3.0, 5.0):
        p = sequential.p_value(z, 1.0, 500, 0.05, 1000)
        if p < 1:
            assert sequential.radius(1.0, 500, p, 1000) > 0
        radius = sequential.radius(1.0, 500, 0.05, 1000)
        assert (p < 0.05) == (z > radius)


def test_the_anytime_interval_has_its_published_width() -> None:
    """rho^2 n = 1 at alpha .05: sqrt(2 * 2 * ln(sqrt(2) / .05)) standard errors."""
    planned = 1000
    n = 1 / sequential.tuning(0.05, planned)
    assert sequential.radius(1.0, n, 0.05, planned) == pytest.approx(np.sqrt(4 * np.log(np.sqrt(2) / 0.05)))


def test_peeking_keeps_the_level() -> None:
    """20 looks at 400 A/A experiments: a fixed p-value fails three times as often as promised, ours does not."""
    chance = np.random.default_rng(5)
    naive = anytime = 0
    for _ in range(400):
        values = chance.normal(size=2000)
        looks = np.linspace(100, 2000, 20).astype(int)
        z = np.array([values[:n].mean() * np.sqrt(n) for n in looks])
        naive += bool((2 * norm.sf(np.abs(z)) < 0.05).any())
        anytime += any(sequential.p_value(at, 1.0, float(n), 0.05, 2000) < 0.05 for at, n in zip(z, looks, strict=True))
    assert naive / 400 > 0.15
    assert anytime / 400 <= 0.05


def test_sample_ratio_alarm() -> None:
    """Of 200,000 units 1,900 too few in one arm are a defect, 400 are not."""
    assert not checks.sample_ratio({"a": 100_600, "b": 98_700}, EXPERIMENT).passed
    assert checks.sample_ratio({"a": 100_200, "b": 99_800}, EXPERIMENT).passed


def decide(units: pl.DataFrame, n: int, planned: int | None, **more: object) -> tuple[str, str]:
    """What `recsys experiment readout` would say of b, with guardrails."""
    experiment = Experiment.model_validate({"arms": HALVES, **more})
    found = effects.effects(units, experiment, planned or n)
    states = guardrails.states(units, experiment, found, planned or n)
    return readout.decide(experiment, "b", found, states, n, planned)


def test_decisions() -> None:
    assert decide(shop(20_000, 3, uplift=0.3), 20_000, 20_000)[0] == "ship"
    equal = shop(2_000, 3)
    assert decide(equal, 2_000, 20_000)[0] == "go on"
    assert decide(equal, 2_000, None)[0] == "go on"
    what, why = decide(equal, 2_000, 2_000)
    assert what == "keep the control"
    assert "no difference was found" in why
    assert decide(shop(20_000, 3, uplift=-0.3), 20_000, 10**6)[0] == "stop"


def test_a_planned_size_that_is_an_estimate_is_reached_within_a_twentieth() -> None:
    units = shop(2_000, 3)
    assert decide(units, 2_000, 2_100)[0] == "keep the control"
    assert decide(units, 2_000, 2_120)[0] == "go on"
    assert decide(units, 2_000, 2_100, planned_units=2_100)[0] == "go on"


def test_the_bootstrap_agrees_with_the_formula() -> None:
    units = shop(4000, 3, uplift=0.2)
    by_formula, (low, high) = ctr(units), effects.bootstrap(units, EXPERIMENT)["b"]
    assert (high - low) == pytest.approx(by_formula.high - by_formula.low, rel=0.15)
    assert low < by_formula.difference < high


def test_a_plan_has_the_power_it_promises() -> None:
    log = shop(4000, 1)
    wanted = Experiment.model_validate({"arms": HALVES, "minimum_effect": 0.15})
    plan = planning.plan(log, wanted, units_per_day=100)
    assert plan.days == pytest.approx(plan.units / 100, rel=0.01)
    found = np.mean([ctr(shop(plan.units, seed, uplift=0.15)).p_value < 0.05 for seed in range(60)])
    assert found == pytest.approx(0.8, abs=0.16)
    assert planning.detectable(log, wanted, plan.units) == pytest.approx(0.15, rel=0.05)


@pytest.mark.parametrize("effect", [0.002, 0.01, 0.5])
def test_a_plan_can_be_made_for_any_effect(effect: float) -> None:
    """The power of a t-test cannot be worked out for very many units; a plan for a small effect needs very many."""
    log, wanted = shop(400, 1), Experiment.model_validate({"arms": HALVES, "minimum_effect": effect})
    units = planning.plan(log, wanted, units_per_day=100).units
    assert planning.detectable(log, wanted, units) == pytest.approx(effect, rel=0.05)


def test_a_plan_needs_a_log() -> None:
    empty = shop(100, 1).with_columns(revenue=pl.lit(0.0))
    with pytest.raises(DataError, match="'revenue': the log has fewer than two units, or all"):
        planning.plan(empty, Experiment.model_validate({"arms": HALVES, "primary": "revenue"}), 100)
