"""The effect of each arm on each metric, with the intervals and p-values that belong to it.

Units are what was randomised, so variances are between units, not between requests: means and ratios of means over
units with the delta method, adjusted by what the units did before (CUPED). All by tea-tasting; the interval that allows
peeking is ours (`sequential.py`).

Source: Deng, Knoblich, Lu, "Applying the delta method in metric analytics", KDD 2018; Deng, Xu, Kohavi, Walker,
"Improving the sensitivity of online controlled experiments by utilizing pre-experiment data", WSDM 2013.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import tea_tasting as tt

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


Interval = tuple[float, float]


@dataclass(frozen=True)
class Effect:
    """One metric of one arm against the control.

    relative values are shares of the control's value (0.05 is +5 %), None where that is zero. p_value: for one look,
    fixed beforehand; p_adjusted: Holm over all metrics and arms; p_anytime and anytime_low/high: hold at every look.
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


def metrics(with_history: bool) -> dict[str, Any]:
    """The metrics over the columns of `join.by_unit`."""
    before = "events_before" if with_history else None
    return {
        "ctr": tt.RatioOfMeans("clicks", "slots", numer_covariate=before),
        "conversion": tt.Mean("converted", covariate=before),
        "revenue": tt.Mean("revenue", covariate=before),
        "fallback_rate": tt.RatioOfMeans("fallbacks", "requests"),
        "latency_ms": tt.RatioOfMeans("latency_ms", "requests"),
    }


def effects(units: pl.DataFrame, experiment: Experiment, planned_units: int) -> list[Effect]:
    """units as from `join.by_unit`, each in one arm; planned_units: where the anytime interval is tightest.

    A metric that is the same for all units, such as a fallback that never happened, has no effect and is left out.
    """
    with_history = units["events_before"].n_unique() > 1
    varying = {name: test for name, test in metrics(with_history).items() if units[COUNTED[name]].n_unique() > 1}
    tests = tt.Experiment(varying, variant="arm")
    found: dict[str, Any] = {}
    with tt.config_context(confidence_level=1 - experiment.alpha):
        for arm in list(experiment.arms)[1:]:
            pair = units.filter(pl.col("arm").is_in([experiment.control, arm]))
            if pair.filter(pl.col("arm") == arm).height > 1 and pair.filter(pl.col("arm") != arm).height > 1:
                found[arm] = (tests.analyze(pair, control=experiment.control), pair.height)
    holm = _holm({(arm, name): float(got.pvalue) for arm, (all_, _) in found.items() for name, got in all_.items()})
    rows = []
    for arm, (analysed, n) in found.items():
        for name, got in analysed.items():
            effect = float(got.effect_size)
            error = effect / float(got.statistic) if got.statistic else 0.0
            known = error == error and error > 0
            half = sequential.radius(error, n, experiment.alpha, planned_units) if known else 0.0
            rows.append(
                Effect(
                    arm=arm,
                    metric=name,
                    control=float(got.control),
                    value=float(got.treatment),
                    difference=effect,
                    low=_number(got.effect_size_ci_lower, effect),
                    high=_number(got.effect_size_ci_upper, effect),
                    relative=_share(got.rel_effect_size),
                    relative_low=_share(got.rel_effect_size_ci_lower),
                    relative_high=_share(got.rel_effect_size_ci_upper),
                    p_value=_number(got.pvalue, 1.0),
                    p_adjusted=holm[arm, name],
                    p_anytime=sequential.p_value(effect, error, n, experiment.alpha, planned_units) if known else 1.0,
                    anytime_low=effect - half,
                    anytime_high=effect + half,
                )
            )
    return rows


def bootstrap(units: pl.DataFrame, experiment: Experiment, draws: int = 500, seed: int = 1) -> dict[str, Interval]:
    """Interval of each arm's difference in the primary metric: every unit counts a Poisson(1) number of times.

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
    """Source: Holm, "A simple sequentially rejective multiple test procedure", 1979."""
    adjusted, largest = {}, 0.0
    for place, key in enumerate(sorted(p_values, key=lambda key: _number(p_values[key], 1.0))):
        largest = max(largest, min(1.0, (len(p_values) - place) * _number(p_values[key], 1.0)))
        adjusted[key] = largest
    return adjusted


def _number(value: float, otherwise: float) -> float:
    return float(value) if value == value else otherwise


def _share(value: float) -> float | None:
    return float(value) if value == value and abs(value) != float("inf") else None
