"""Estimates the effect on the primary metric at several times of the experiment, with intervals valid at every look."""

from dataclasses import dataclass
from math import isfinite

import polars as pl

from recsys.experiments.analysis import effects, join, log, population
from recsys.experiments.online.config import Experiment

MOMENTS = 12  # points of the curve, evenly spaced between the first and the last answer


@dataclass(frozen=True)
class Moment:
    """The effect at one time. at: UTC seconds; units: number of units in the control and the arm together; difference:
    arm minus control, with the interval low to high."""

    at: float
    units: int
    difference: float
    low: float
    high: float


def over_time(raw: log.Log, experiment: Experiment, planned_units: float) -> dict[str, list[Moment]]:
    """Return for each arm its effect at up to `MOMENTS` times; times at which it has no interval are left out.
    planned_units: the number of units at which the intervals are tightest."""
    cleaned, _ = raw.cleaned()
    exposures = population.analysed(cleaned.exposures, experiment)
    joined = join.attribute(exposures, cleaned.events, join.Rule.of(experiment))
    found: dict[str, list[Moment]] = {arm: [] for arm in list(experiment.arms)[1:]}
    first, last = exposures.select(first=pl.col("timestamp").min(), last=pl.col("timestamp").max()).row(0)
    for part in range(1, MOMENTS + 1) if first else ():
        until = first + (last - first) * part / MOMENTS
        done = joined if part == MOMENTS else joined.filter(pl.col("timestamp") <= until)
        units = join.by_unit(exposures.filter(pl.col("timestamp") <= until), done, cleaned.before)
        counts = dict(units.group_by("arm").len().iter_rows())
        for effect in effects.effects(units, experiment, planned_units):
            if effect.metric == experiment.primary and isfinite(effect.anytime_high - effect.anytime_low):
                n = counts[experiment.control] + counts[effect.arm]
                moment = Moment(until.timestamp(), n, effect.difference, effect.anytime_low, effect.anytime_high)
                found[effect.arm].append(moment)
    return found
