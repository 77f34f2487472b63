"""From the store and `experiments.yaml` to a readout or a plan: what `recsys experiment` calls."""

from datetime import datetime
from pathlib import Path

import numpy as np
import polars as pl

from recsys.errors import DataError, ParamsError
from recsys.experiments.analysis import checks, join, log, planning, readout
from recsys.experiments.analysis.interleaving import Preference, preference
from recsys.experiments.analysis.join import Rule
from recsys.experiments.analysis.planning import Plan
from recsys.experiments.analysis.readout import Readout
from recsys.experiments.online import config
from recsys.experiments.online.config import Experiment


def find(path: Path, name: str) -> Experiment:
    """The experiment of that name.

    Raises:
        ParamsError: "experiments.yaml: no experiment 'a'; there are: ..."
    """
    known = config.load(path)[0].experiments
    if name not in known:
        raise ParamsError(f"{path}: no experiment {name!r}; there are: {', '.join(known) or 'none'}")
    return known[name]


def read(name: str, experiment: Experiment, url: str, until: datetime | None = None) -> Readout:
    """Everything the log says of the experiment."""
    return of(name, experiment, log.read(url, name, experiment, until))


def of(name: str, experiment: Experiment, found: log.Log) -> Readout:
    """The readout of a log."""
    rule, robots = Rule(experiment.attribution_hours), checks.bots(found.exposures)
    exposures = found.exposures.filter(~found.exposures["unit"].is_in(robots.implode()))
    attributed = join.attribute(exposures, found.events, rule)
    units = join.by_unit(exposures, attributed, found.before)
    found_checks = [
        checks.sample_ratio(units, experiment),
        checks.lost(exposures, found.events, name, experiment),
        checks.moved(exposures),
        *checks.instrumentation(exposures, found.events, attributed),
    ]
    once = units.filter(units["unit"].is_unique())
    try:
        planned: int | None = planning.plan(once, experiment, units_per_day=1).units
        detectable: float | None = planning.detectable(once, experiment, once.height)
    except DataError:
        planned = detectable = None
    return readout.read(name, experiment, once, found_checks, planned, detectable, len(robots), str(rule))


def preferences(experiment: Experiment, found: log.Log) -> dict[str, Preference]:
    """Every arm that interleaves -> whose picks were clicked: its variant's (a) or that of `interleave` (b)."""
    clicks = join.attribute(found.exposures, found.events, Rule(experiment.attribution_hours)).filter(event="click")
    picks = found.exposures.filter(pl.col("teams").list.len() > 0).select("request_id", "unit", "arm", "items", "teams")
    picks = picks.explode("items", "teams").rename({"items": "item_id", "teams": "team"})
    clicked = clicks.select("request_id", "item_id").unique().join(picks, on=["request_id", "item_id"])
    arms = [name for name, arm in experiment.arms.items() if arm.interleave is not None]
    return {name: preference(clicked.filter(arm=name).select("unit", "team"), experiment.alpha) for name in arms}


def plan(name: str, experiment: Experiment, url: str) -> Plan:
    """How many units and days, from what was logged under this name so far."""
    found = log.read(url, name, experiment)
    units = join.by_unit(
        found.exposures, join.attribute(found.exposures, found.events, Rule(experiment.attribution_hours))
    )
    days = found.exposures["timestamp"].dt.epoch("s").to_numpy() / 86_400
    return planning.plan(units, experiment, units.height / max(float(np.ptp(days)), 1 / 24))
