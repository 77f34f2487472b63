"""Computes how many units and days an experiment needs, from an earlier log or from rates that the user expects.

The variance of a metric between units comes from the log; the number of units follows from the power of a two-sided
test of two means, by tea-tasting, with the normal distribution.
"""

from dataclasses import dataclass
from math import ceil, isfinite, sqrt
from typing import Any

import polars as pl
from scipy.stats import norm

from recsys.errors import DataError
from recsys.experiments.analysis import effects
from recsys.experiments.online.config import Experiment

EXPECT = "log some traffic first, or plan with the rates that you expect: --rate 0.05 --units-per-day 1000"

NO_VARIANCE = "the log has fewer than two units, or all have the same value (such as no event), so there is no variance"


@dataclass(frozen=True)
class Plan:
    """The size of an experiment with which its test finds `minimum_effect`. units: number of units, all arms together;
    days: the time until so many took part; source: where the variance comes from, as text."""

    units: int
    days: float
    source: str


def plan(units: pl.DataFrame, experiment: Experiment, units_per_day: float, source: str = "the log") -> Plan:
    """Plan from a log. units: the result of `join.by_unit`, of any arms; units_per_day: number of new units on a day.

    Raises:
        DataError: "metric 'revenue': the log has fewer than two units, or all have the same value (...); ..."
    """
    ratio = _smallest(experiment) / experiment.arms[experiment.control].weight
    solved = _solved(units, experiment, "n_obs", rel_effect_size=experiment.minimum_effect, ratio=ratio)
    return _plan(experiment, float(solved.n_obs), units_per_day, source)


def from_rates(experiment: Experiment, mean: float, spread: float | None, units_per_day: float) -> Plan:
    """Plan without a log. mean: expected mean of the primary metric over units; spread: its standard deviation between
    units, None for a share (sqrt(mean * (1 - mean))); units_per_day: number of new units on a day.

    Raises:
        DataError: "--rate is 1.2, expected a share between 0 and 1; for other metrics add --spread"
    """
    if spread is None and not 0 < mean < 1:
        raise DataError(f"--rate is {mean:g}, expected a share between 0 and 1; for other metrics add --spread")
    spread = spread if spread is not None else sqrt(mean * (1 - mean))
    if not (mean > 0 and spread > 0 and units_per_day > 0):
        raise DataError("--rate, --spread and --units-per-day must be above 0")
    ratio = _smallest(experiment) / experiment.arms[experiment.control].weight
    z = float(norm.ppf(1 - experiment.alpha / 2) + norm.ppf(experiment.power))
    control = (z * spread / (experiment.minimum_effect * mean)) ** 2 * (1 + 1 / ratio)
    return _plan(experiment, control * (1 + ratio), units_per_day, "the rates of the command line")


def detectable(units: pl.DataFrame, experiment: Experiment, n_units: int) -> float:
    """Return the smallest relative effect on the primary metric that n_units units detect with the experiment's power.
    units: the result of `join.by_unit`, for the variance. Raises the DataError of `plan`."""
    return abs(float(_solved(units, experiment, "rel_effect_size", n_obs=n_units).rel_effect_size))


def _solved(units: pl.DataFrame, experiment: Experiment, wanted: str, **given: float) -> Any:
    """Solve the power equation of the primary metric for `wanted`. given: the other arguments of tea-tasting's test."""
    metric = experiment.primary
    if units.height < 2 or units[effects.COUNTED[metric]].n_unique() < 2:
        raise DataError(f"metric {metric!r}: {NO_VARIANCE}; {EXPECT}")
    with_history = units["events_before"].n_unique() > 1
    given |= {"alpha": experiment.alpha, "power": experiment.power}
    return effects.metrics(with_history, **given, use_t=False)[metric].solve_power(units, wanted)[0]


def _plan(experiment: Experiment, pair: float, units_per_day: float, source: str) -> Plan:
    """Build the plan. pair: number of units that the control and the smallest other arm need together."""
    if not isfinite(pair):
        raise DataError(f"metric {experiment.primary!r}: its mean is about 0: no number of units is enough; {EXPECT}")
    weight = _smallest(experiment) + experiment.arms[experiment.control].weight
    days = pair / (weight * experiment.coverage) / max(units_per_day, 1e-9)
    return Plan(ceil(pair / weight), round(days, 1), source)


def _smallest(experiment: Experiment) -> float:
    return min(arm.weight for name, arm in experiment.arms.items() if name != experiment.control)
