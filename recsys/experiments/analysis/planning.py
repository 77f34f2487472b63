"""How many units an experiment needs and how long that takes, from what was logged before.

The variance of a metric between units is taken from a log of the same kind; the answer is the usual one for two means
(power at a level, two-sided), by tea-tasting; with the normal distribution, whose power can be solved for at any size.
"""

from dataclasses import dataclass
from math import ceil

import polars as pl
import tea_tasting as tt

from recsys.errors import DataError
from recsys.experiments.analysis import effects
from recsys.experiments.online.config import Experiment


@dataclass(frozen=True)
class Plan:
    """units: all arms together; days: at the pace of the log; detectable: the relative effect that `units` can find.

    power: the chance to find `detectable`, if it is there, at level alpha.
    """

    metric: str
    units: int
    days: float
    detectable: float
    power: float
    alpha: float


def plan(units: pl.DataFrame, experiment: Experiment, units_per_day: float) -> Plan:
    """units: as from `join.by_unit`, of any arms; units_per_day: new units that would take part.

    Raises:
        DataError: "metric 'revenue': the log has no such events; ..."
    """
    metric, arms = experiment.primary, experiment.arms
    if units.height < 2 or not units[effects.COUNTED[metric]].sum():
        raise DataError(f"metric {metric!r}: the log has no such events yet; log some traffic first, then plan")
    with_history = units["events_before"].n_unique() > 1
    smallest = min(arm.weight for name, arm in arms.items() if name != experiment.control)
    ratio = smallest / arms[experiment.control].weight
    test = effects.metrics(with_history)[metric]
    with tt.config_context(alpha=experiment.alpha, power=experiment.power, ratio=ratio, use_t=False):
        test = type(test)(**{**_settings(test), "rel_effect_size": experiment.minimum_effect})
        solved = test.solve_power(units, "n_obs")
    pair = float(solved[0].n_obs)
    share = (smallest + arms[experiment.control].weight) * experiment.coverage
    total = ceil(pair / (smallest + arms[experiment.control].weight))
    return Plan(
        metric=metric,
        units=total,
        days=round(pair / share / max(units_per_day, 1e-9), 1),
        detectable=experiment.minimum_effect,
        power=experiment.power,
        alpha=experiment.alpha,
    )


def detectable(units: pl.DataFrame, experiment: Experiment, n_units: int) -> float:
    """The smallest relative effect on the primary metric that so many units find with the wanted power."""
    test = effects.metrics(units["events_before"].n_unique() > 1)[experiment.primary]
    with tt.config_context(alpha=experiment.alpha, power=experiment.power, use_t=False):
        test = type(test)(**{**_settings(test), "n_obs": n_units})
        return abs(float(test.solve_power(units, "rel_effect_size")[0].rel_effect_size))


def _settings(test: tt.RatioOfMeans) -> dict[str, str | None]:
    if isinstance(test, tt.Mean):
        return {"value": test.value, "covariate": test.covariate}
    return {"numer": test.numer, "denom": test.denom, "numer_covariate": test.numer_covariate}
