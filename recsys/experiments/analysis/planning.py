"""Computes how many units and days an experiment needs, from an earlier log or from given rates.

The variance of a metric between units comes from the log; the number of units follows from the power of a two-sided
test of two means, by tea-tasting, with the normal distribution.
"""

from dataclasses import dataclass
from math import ceil, isfinite, sqrt

import polars as pl
import tea_tasting as tt
from scipy.stats import norm

from recsys.errors import DataError
from recsys.experiments.analysis import effects
from recsys.experiments.online.config import Experiment

AT_ALL = "log some traffic first, or say what you expect: --rate 0.05 --units-per-day 1000"


@dataclass(frozen=True)
class Plan:
    """units: all arms together; days: at the given pace; detectable: the relative effect that `units` can find.

    power: the chance to find `detectable`, if it is there, at level alpha; source: where the variance comes from.
    """

    metric: str
    units: int
    days: float
    detectable: float
    power: float
    alpha: float
    source: str


def plan(units: pl.DataFrame, experiment: Experiment, units_per_day: float, source: str = "the log") -> Plan:
    """Plan from a log. units: as from `join.by_unit`, of any arms; units_per_day: new units that would take part.

    Raises:
        DataError: "metric 'revenue': the log has no such events; ..."
    """
    metric, arms = experiment.primary, experiment.arms
    if units.height < 2 or units[effects.COUNTED[metric]].n_unique() < 2:
        raise DataError(f"metric {metric!r}: the log has no such events yet, or the same for every unit; {AT_ALL}")
    with_history = units["events_before"].n_unique() > 1
    ratio = _smallest(experiment) / arms[experiment.control].weight
    test = effects.metrics(with_history)[metric]
    with tt.config_context(alpha=experiment.alpha, power=experiment.power, ratio=ratio, use_t=False):
        test = type(test)(**{**_settings(test), "rel_effect_size": experiment.minimum_effect})
        solved = test.solve_power(units, "n_obs")
    return _plan(experiment, float(solved[0].n_obs), units_per_day, source)


def from_rates(experiment: Experiment, mean: float, spread: float | None, units_per_day: float) -> Plan:
    """Plan without a log. mean: of the primary metric over units; spread: its standard deviation between units, by
    default that of a share (sqrt(mean * (1 - mean))); units_per_day: new units that would take part.

    Raises:
        DataError: "the rate is 1.2, expected a share of the units between 0 and 1, or give --spread"
    """
    if spread is None and not 0 < mean < 1:
        raise DataError(f"the rate is {mean:g}, expected a share of the units between 0 and 1, or give --spread")
    spread = spread if spread is not None else sqrt(mean * (1 - mean))
    if not (mean > 0 and spread > 0 and units_per_day > 0):
        raise DataError("the rate, its spread and the units a day must be above 0")
    ratio = _smallest(experiment) / experiment.arms[experiment.control].weight
    z = float(norm.ppf(1 - experiment.alpha / 2) + norm.ppf(experiment.power))
    control = (z * spread / (experiment.minimum_effect * mean)) ** 2 * (1 + 1 / ratio)
    return _plan(experiment, control * (1 + ratio), units_per_day, "the given rates")


def detectable(units: pl.DataFrame, experiment: Experiment, n_units: int) -> float:
    """Return the smallest relative effect on the primary metric that these units detect with the intended power.

    Raises:
        DataError: "metric 'revenue': the log has no such events yet, ..."
    """
    if units.height < 2 or units[effects.COUNTED[experiment.primary]].n_unique() < 2:
        raise DataError(f"metric {experiment.primary!r}: the log has no such events yet, or the same for every unit")
    test = effects.metrics(units["events_before"].n_unique() > 1)[experiment.primary]
    with tt.config_context(alpha=experiment.alpha, power=experiment.power, use_t=False):
        test = type(test)(**{**_settings(test), "n_obs": n_units})
        return abs(float(test.solve_power(units, "rel_effect_size")[0].rel_effect_size))


def _plan(experiment: Experiment, pair: float, units_per_day: float, source: str) -> Plan:
    """Make the plan. pair: units in the control and the smallest other arm together."""
    if not isfinite(pair):
        raise DataError(f"metric {experiment.primary!r}: no number of units is enough for such a log; {AT_ALL}")
    weight = _smallest(experiment) + experiment.arms[experiment.control].weight
    return Plan(
        metric=experiment.primary,
        units=ceil(pair / weight),
        days=round(pair / (weight * experiment.coverage) / max(units_per_day, 1e-9), 1),
        detectable=experiment.minimum_effect,
        power=experiment.power,
        alpha=experiment.alpha,
        source=source,
    )


def _smallest(experiment: Experiment) -> float:
    return min(arm.weight for name, arm in experiment.arms.items() if name != experiment.control)


def _settings(test: tt.RatioOfMeans) -> dict[str, str | None]:
    if isinstance(test, tt.Mean):
        return {"value": test.value, "covariate": test.covariate}
    return {"numer": test.numer, "denom": test.denom, "numer_covariate": test.numer_covariate}
