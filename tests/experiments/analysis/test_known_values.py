"""Figures that others published, or that can be worked out by hand: each dies with one change to a formula."""

from math import log, sqrt

import numpy as np
import polars as pl
import pytest
import tea_tasting as tt
from scipy.stats import norm

from recsys.experiments.analysis import effects, off_policy, run, sequential
from recsys.experiments.analysis.effects import Effect
from recsys.experiments.analysis.log import Log
from recsys.experiments.analysis.off_policy import estimate
from tests.support.experiment_logs import HALVES, answers, clickers, event, events, experiment

# confseq, test/uniform_boundaries_unittest.cpp, TestTwoSidedNormalMixture: values of a reference implementation in R
CONFSEQ_RHO, CONFSEQ_BOUND, CONFSEQ_LOG_MARTINGALE = 12.60056, 30.35209, -0.6510052


def test_the_anytime_interval_is_that_of_confseq() -> None:
    """A sum of 100 terms of variance 1, level 0.05, tightest at 100: our radius is about the mean of the terms."""
    assert 1 / sequential.tuning(0.05, 100) == pytest.approx(CONFSEQ_RHO, abs=1e-5)
    assert 100 * sequential.radius(0.1, 100, 0.05, 100) == pytest.approx(CONFSEQ_BOUND, abs=1e-5)
    assert sequential.p_value(CONFSEQ_BOUND / 100, 0.1, 100, 0.05, 100) == pytest.approx(0.05, abs=1e-6)


@pytest.mark.parametrize("n", [10, 25, 400, 10_000])
def test_the_anytime_interval_away_from_where_it_is_tightest(n: int) -> None:
    """The two-sided normal mixture, Howard et al. 2021, proposition 5, with the rho that confseq takes for 100."""
    rho = CONFSEQ_RHO
    bound = sqrt((n + rho) * log((n + rho) / (rho * 0.05**2)))
    assert n * sequential.radius(1 / sqrt(n), n, 0.05, 100) == pytest.approx(bound, rel=1e-6)
    assert sequential.p_value(bound / n, 1 / sqrt(n), n, 0.05, 100) == pytest.approx(0.05, rel=1e-5)


def test_the_anytime_p_value_is_one_over_the_martingale() -> None:
    """log of it at a sum of 10 after 100 terms is below 0, so that nothing is shown; at 40 it is worked out by hand."""
    at_ten = 0.5 * log(CONFSEQ_RHO / (100 + CONFSEQ_RHO)) + 10**2 / (2 * (100 + CONFSEQ_RHO))
    assert at_ten == pytest.approx(CONFSEQ_LOG_MARTINGALE, abs=1e-6)
    assert sequential.p_value(0.1, 0.1, 100, 0.05, 100) == 1.0
    by_hand = sqrt((100 + CONFSEQ_RHO) / CONFSEQ_RHO) * np.exp(-(40**2) / (2 * (100 + CONFSEQ_RHO)))
    assert sequential.p_value(0.4, 0.1, 100, 0.05, 100) == pytest.approx(by_hand, rel=1e-5)


def shop(**columns: str) -> pl.DataFrame:
    """tea-tasting's own example, with our names; columns: ours -> theirs."""
    theirs = pl.from_arrow(tt.make_users_data(rng=42, covariates=True))
    assert isinstance(theirs, pl.DataFrame)
    zero = dict.fromkeys(
        ("latency_ms", "fallbacks", "requests", "slots", "clicks", "converted", "revenue"), pl.lit(0.0)
    )
    ours = {name: pl.col(column).cast(pl.Float64) for name, column in columns.items()}
    return theirs.select(
        unit=pl.col("user").cast(pl.String),
        arm=pl.when(pl.col("variant") == 1).then(pl.lit("b")).otherwise(pl.lit("a")),
        **{**zero, "events_before": pl.lit(0.0), **ours},
    )


def of(units: pl.DataFrame, metric: str, alpha: float = 0.05) -> Effect:
    found = effects.effects(units, experiment(alpha=alpha), units.height)
    return next(effect for effect in found if effect.metric == metric)


def test_effects_are_those_of_tea_tasting_with_cuped() -> None:
    """Its package computes the same figures from the raw table; without the covariate they are others."""
    raw = tt.make_users_data(rng=42, covariates=True)
    units = shop(revenue="revenue", slots="sessions", clicks="orders", events_before="orders_covariate")
    theirs = tt.Experiment(
        revenue=tt.Mean("revenue", "orders_covariate"),
        ctr=tt.RatioOfMeans("orders", "sessions", numer_covariate="orders_covariate"),
    ).analyze(raw)
    plain = tt.Experiment(revenue=tt.Mean("revenue"), ctr=tt.RatioOfMeans("orders", "sessions")).analyze(raw)
    for metric in ("revenue", "ctr"):
        ours = of(units, metric)
        assert ours.p_value == pytest.approx(theirs[metric].pvalue)
        assert ours.relative == pytest.approx(theirs[metric].rel_effect_size)
        assert ours.low == pytest.approx(theirs[metric].effect_size_ci_lower)
        assert ours.high - ours.low < 0.95 * (plain[metric].effect_size_ci_upper - plain[metric].effect_size_ci_lower)


def test_the_ratio_is_the_published_one() -> None:
    """tea-tasting's documentation of RatioOfMeans: 0.266 and 0.289, +8.8 % (-0.89 % to 19 %), p 0.0762."""
    theirs = pl.from_arrow(tt.make_users_data(rng=42))
    assert isinstance(theirs, pl.DataFrame)
    units = theirs.select(
        unit=pl.col("user").cast(pl.String),
        arm=pl.when(pl.col("variant") == 1).then(pl.lit("b")).otherwise(pl.lit("a")),
        clicks=pl.col("orders").cast(pl.Float64),
        slots=pl.col("sessions").cast(pl.Float64),
        **dict.fromkeys(("latency_ms", "fallbacks", "requests", "converted", "revenue", "events_before"), pl.lit(0.0)),
    )
    found = of(units, "ctr")
    assert (round(found.control, 3), round(found.value, 3)) == (0.266, 0.289)
    assert found.relative == pytest.approx(0.088, abs=5e-4)
    assert found.relative_low == pytest.approx(-0.0089, abs=5e-5)
    assert found.relative_high == pytest.approx(0.19, abs=5e-3)
    assert found.p_value == pytest.approx(0.0762, abs=5e-5)


def test_the_level_is_the_experiments() -> None:
    """Intervals of two levels stand in the ratio of their quantiles; the p-values for peeking have their own level."""
    units = shop(revenue="revenue")
    wide, narrow = of(units, "revenue", 0.01), of(units, "revenue", 0.2)
    n, ratio = units.height, norm.ppf(0.995) / norm.ppf(0.9)
    assert (wide.high - wide.low) / (narrow.high - narrow.low) == pytest.approx(ratio, rel=0.005)
    for found, alpha in ((wide, 0.01), (narrow, 0.2)):
        error = (found.high - found.low) / 2 / norm.ppf(1 - alpha / 2)
        half = sequential.radius(error, n, alpha, n)
        assert found.anytime_high - found.difference == pytest.approx(half, rel=0.005)
        expected = sequential.p_value(found.difference, error, n, alpha, n)
        assert found.p_anytime == pytest.approx(expected, rel=0.05)
        assert found.p_anytime > 1.5 * found.p_value


def test_the_bootstrap_takes_the_level_of_the_experiment() -> None:
    units = shop(clicks="orders", slots="sessions")
    (low, high), (lower, higher) = (
        effects.bootstrap(units, experiment(alpha=alpha), draws=400)["b"] for alpha in (0.2, 0.02)
    )
    assert (higher - lower) / (high - low) == pytest.approx(norm.ppf(0.99) / norm.ppf(0.9), rel=0.2)


def test_history_reaches_the_readout() -> None:
    """Clicks go to those who did much before: with it the interval is a fraction of what it is without."""
    shown = answers(2000)
    rows = [event(u, item_id=f"i{k}") for u in range(2000) if u // 2 % 2 for k in (1, 2)]
    rows += [event(u, item_id="i3") for u in clickers(2000, 0.2)]
    before = events(event(u, "view", event_id=f"before{u}-{k}") for u in range(2000) if u // 2 % 2 for k in range(3))
    done = events(rows)
    with_, without = (
        run.of("x", experiment(), Log(shown, done, early)).effects[0] for early in (before, before.clear())
    )
    assert with_.metric == without.metric == "ctr"
    assert with_.high - with_.low < 0.7 * (without.high - without.low)


def logged() -> off_policy.Log:
    """120 units of two rows each, with propensities 0.5 and 0.1; weights 1 and 3; both rewards of a unit alike."""
    propensity = np.tile([0.5, 0.1], 120)
    probability = np.tile([0.5, 0.3], 120)
    reward = np.repeat(np.tile([1.0, 0.0, 0.0], 40), 2)
    return off_policy.Log(reward, propensity, probability, np.repeat(np.arange(120), 2))


def test_off_policy_by_hand() -> None:
    """A third of the units is rewarded, twice: IPS (1 + 3) / 2 / 3, SNIPS the third."""
    assert estimate(logged(), "ips").value == pytest.approx(2 / 3)
    assert estimate(logged(), "snips").value == pytest.approx(1 / 3)
    assert estimate(logged(), "ips").effective == pytest.approx(240 * 4**2 / (2 * (1 + 9)))


def test_doubly_robust_by_hand() -> None:
    """Guess 0.2 for every item, so 0.2 is expected: 0.2 + mean of w (r - 0.2) = 0.2 + 2/3 - 0.4."""
    log_ = logged()
    guess = np.full(240, 0.2)
    both = off_policy.Log(log_.reward, log_.propensity, log_.probability, log_.unit, guess, guess)
    assert estimate(both, "dr").value == pytest.approx(0.2 + 2 / 3 - 0.4)


def test_off_policy_intervals_are_between_units() -> None:
    """The rows of a unit have a mean of (1 + 3) / 2 or 0: the error is that over 120 units, not over 240 rows."""
    deviation = sqrt(40 * (2 - 2 / 3) ** 2 / 119 + 80 * (2 / 3) ** 2 / 119)
    found = estimate(logged(), "ips")
    assert found.high - found.value == pytest.approx(norm.ppf(0.975) * deviation / sqrt(120))
    assert estimate(logged(), "ips", alpha=0.2).high - found.value == pytest.approx(
        norm.ppf(0.9) * deviation / sqrt(120)
    )
    snips = estimate(logged(), "snips")  # influence of a unit's two rows: (1 + 3) / 2 (r - 1/3) / mean weight 2
    deviation = sqrt(40 * (2 / 3) ** 2 / 119 + 80 * (1 / 3) ** 2 / 119)
    assert snips.high - snips.value == pytest.approx(norm.ppf(0.975) * deviation / sqrt(120))


@pytest.mark.parametrize(("hours", "counted"), [(1, 1), (3, 2), (24, 3)])
def test_the_window_of_the_experiment_is_kept(hours: float, counted: int) -> None:
    """Clicks after half an hour, two hours and five, with a request_id and without."""
    after = ((10, 1800.0), (20, 7200.0), (30, 18_000.0))
    for named in (True, False):
        rows = [event(u, after=seconds, named=named) for u, seconds in after]
        done = events(rows)
        found = run.of("x", experiment(attribution_hours=hours, arms=HALVES), Log(answers(40), done, done.clear()))
        joined = sum(found.outcomes.get(how, 0) for how in ("by request id", "by time window"))
        assert joined == counted
