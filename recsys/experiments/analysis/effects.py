"""Estimates the effect of each arm on each metric, with intervals and p-values.

Units (users, visitors or sessions) were randomised, so variances are between units, not between requests. A metric is
a mean over units, or a ratio of two means, whose variance the delta method gives. It is adjusted by the units' events
before the experiment (CUPED). tea-tasting computes this; the interval valid at every look is our own (`sequential.py`).

Source: Deng, Knoblich, Lu, "Applying the delta method in metric analytics", KDD 2018; Deng, Xu, Kohavi, Walker,
"Improving the sensitivity of online controlled experiments by utilizing pre-experiment data", WSDM 2013.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import tea_tasting as tt
import tea_tasting.aggr
from scipy.stats import norm

from recsys.experiments.analysis import sequential
from recsys.experiments.online.config import Experiment

COUNTED = {
    "ctr": "clicks",
    "conversion": "converted",
    "revenue": "revenue",
    "fallback_rate": "fallbacks",
    "latency_ms": "latency_ms",
}
OVER = {"ctr": "slots", "fallback_rate": "requests", "latency_ms": "requests"}
HIGHER_IS_BETTER = {"ctr": True, "conversion": True, "revenue": True, "fallback_rate": False, "latency_ms": False}

ROUNDING = 1e-9

Interval = tuple[float, float]


@dataclass(frozen=True)
class Effect:
    """The effect of one arm on one metric, compared with the control.

    control, value: the metric in the control and in the arm; difference: value minus control, with the interval low to
    high; relative and its interval: shares of the control's value (0.05 is +5 %), None where that is zero. p_value,
    low, high: valid for a single look, fixed beforehand; p_adjusted: p_value corrected for all metrics and arms (Holm);
    p_anytime, anytime_low, anytime_high: valid at every look.
    """

    arm: str
    metric: str
    control: float
    value: float
    difference: float
    low: float
    high: float
    relative: float | None
    relative_low: float | None
    relative_high: float | None
    p_value: float
    p_adjusted: float
    p_anytime: float
    anytime_low: float
    anytime_high: float


def metrics(with_history: bool, **settings: Any) -> dict[str, Any]:
    """Return metric -> tea-tasting's object that tests it on a table with the columns of `join.by_unit`. with_history:
    whether to adjust the metric by the units' earlier events (CUPED); settings: keyword arguments of these objects."""
    before = "events_before" if with_history else None
    return {
        "ctr": tt.RatioOfMeans("clicks", "slots", numer_covariate=before, **settings),
        "conversion": tt.Mean("converted", covariate=before, **settings),
        "revenue": tt.Mean("revenue", covariate=before, **settings),
        "fallback_rate": tt.RatioOfMeans("fallbacks", "requests", **settings),
        "latency_ms": tt.RatioOfMeans("latency_ms", "requests", **settings),
    }


def effects(units: pl.DataFrame, experiment: Experiment, planned_units: float) -> list[Effect]:
    """Estimate the effect of every arm on every metric. units: the result of `join.by_unit`. planned_units: the number
    of units at which the anytime interval is tightest. A metric that does not vary between units, such as the rate of a
    fallback that never happened, is left out."""
    found: dict[tuple[str, str], Any] = {}
    sizes: dict[str, int] = {}
    for arm in list(experiment.arms)[1:]:
        pair = units.filter(pl.col("arm").is_in([experiment.control, arm]))
        sizes[arm] = pair.height
        both = [pair.filter(pl.col("arm") == name) for name in (experiment.control, arm)]
        if min(part.height for part in both) < 2:
            continue
        tests = metrics(pair["events_before"].n_unique() > 1, confidence_level=1 - experiment.alpha)
        for name, test in tests.items():
            if any(_varies(part, name) for part in both):
                found[arm, name] = test.analyze_aggregates(*(_aggregates(part, test) for part in both))
    holm = _holm({key: float(got.pvalue) for key, got in found.items()})
    return [_effect(*key, got, holm[key], sizes[key[0]], experiment.alpha, planned_units) for key, got in found.items()]


def _effect(arm: str, metric: str, got: Any, adjusted: float, n: int, alpha: float, planned: float) -> Effect:
    difference, error = float(got.effect_size), _error(got, alpha)
    half = sequential.radius(error, n, alpha, planned)
    return Effect(
        arm=arm,
        metric=metric,
        control=float(got.control),
        value=float(got.treatment),
        difference=difference,
        low=float(got.effect_size_ci_lower),
        high=float(got.effect_size_ci_upper),
        relative=_share(got.rel_effect_size),
        relative_low=_share(got.rel_effect_size_ci_lower),
        relative_high=_share(got.rel_effect_size_ci_upper),
        p_value=float(got.pvalue),
        p_adjusted=adjusted,
        p_anytime=sequential.p_value(difference, error, n, alpha, planned),
        anytime_low=difference - half,
        anytime_high=difference + half,
    )


def _aggregates(units: pl.DataFrame, test: Any) -> tt.aggr.Aggregates:
    """Return the sums that a test needs, of one arm: sums over groups would differ in the last digit."""
    of = test.aggr_cols
    return tt.aggr.read_aggregates(
        units.rechunk(), None, has_count=True, mean_cols=of.mean_cols, var_cols=of.var_cols, cov_cols=of.cov_cols
    )


def _error(got: Any, alpha: float) -> float:
    """Return the standard error of the difference; 0 if it cannot be computed."""
    if got.statistic and np.isfinite(got.statistic):
        return float(got.effect_size / got.statistic)
    half = float(got.effect_size_ci_upper - got.effect_size_ci_lower) / 2
    return half / float(norm.ppf(1 - alpha / 2)) if np.isfinite(half) and half > 0 else 0.0


def _varies(units: pl.DataFrame, metric: str) -> bool:
    """Return whether the metric varies between these units; if not, a difference has no interval."""
    counted = units[COUNTED[metric]].to_numpy()
    over = units[OVER[metric]].to_numpy() if metric in OVER else np.ones(units.height)
    if not over.sum():  # such as answers without any item
        return False
    return bool(np.ptp(counted - over * (counted.sum() / over.sum())) > ROUNDING * (1 + np.abs(counted).max()))


def bootstrap(units: pl.DataFrame, experiment: Experiment, draws: int = 500, seed: int = 1) -> dict[str, Interval]:
    """Return for each arm a bootstrap interval of its difference to the control in the primary metric.

    draws: number of replicates; each weights every unit by a random number from Poisson(1).

    Source: Bakshy and Eckles, "Uncertainty in online experiments with dependent data", KDD 2013.
    """
    chance, column = np.random.default_rng(seed), COUNTED[experiment.primary]
    found: dict[str, np.ndarray[tuple[int], np.dtype[np.float64]]] = {}
    for arm in experiment.arms:
        mine = units.filter(pl.col("arm") == arm)
        over = mine[OVER[experiment.primary]] if experiment.primary in OVER else pl.repeat(1.0, mine.height, eager=True)
        both = np.column_stack([mine[column].to_numpy(), over.to_numpy()])
        sums = np.array([chance.poisson(1.0, len(both)) @ both for _ in range(draws)])
        found[arm] = sums[:, 0] / np.maximum(sums[:, 1], 1e-12)
    tails = [100 * experiment.alpha / 2, 100 * (1 - experiment.alpha / 2)]
    control = found[experiment.control]
    intervals = {}
    for arm in list(experiment.arms)[1:]:
        low, high = np.percentile(found[arm] - control, tails)
        intervals[arm] = (float(low), float(high))
    return intervals


def _holm(p_values: dict[tuple[str, str], float]) -> dict[tuple[str, str], float]:
    """Adjust p-values. Source: Holm, "A simple sequentially rejective multiple test procedure", 1979."""
    adjusted, largest = {}, 0.0
    for place, key in enumerate(sorted(p_values, key=lambda key: p_values[key])):
        largest = max(largest, min(1.0, (len(p_values) - place) * p_values[key]))
        adjusted[key] = largest
    return adjusted


def _share(value: float) -> float | None:
    return float(value) if value == value and abs(value) != float("inf") else None
