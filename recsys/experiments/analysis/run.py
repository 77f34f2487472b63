"""Makes a readout or a plan from the store and `experiments.yaml`, for the command `recsys experiment`."""

from dataclasses import dataclass
from math import isfinite
from pathlib import Path

import numpy as np
import polars as pl

from recsys.errors import DataError, ParamsError
from recsys.experiments.analysis import (
    checks,
    effects,
    guardrails,
    join,
    log,
    off_policy,
    planning,
    population,
    readout,
)
from recsys.experiments.analysis.interleaving import Preference, preference
from recsys.experiments.analysis.join import Rule
from recsys.experiments.analysis.planning import Plan
from recsys.experiments.analysis.readout import Readout
from recsys.experiments.online import config
from recsys.experiments.online.config import Experiment
from recsys.schemas import channel

MOMENTS = 12  # points of the curve, evenly spaced between the first and the last answer


@dataclass(frozen=True)
class Moment:
    """The effect on the primary metric at one time. at: UTC seconds; units: number of units in the control and the arm
    together; difference: arm minus control, with the interval low to high."""

    at: float
    units: int
    difference: float
    low: float
    high: float


def find(path: Path, name: str, url: str | None = None) -> Experiment:
    """Read an experiment by its name from a file such as experiments.yaml. url: of the store, from which it is read
    instead if `recsys experiments put` wrote experiments for all hosts there; None: always from the file.

    Raises:
        ParamsError: "experiments.yaml: no experiment 'a'; there are: ..."
        SourceUnreachableError: the store cannot be read.
    """
    change = channel.newest(url, "experiments") if url is not None and channel.enabled() else None
    where = "the experiments in the store" if change else str(path)
    found = (config.read(change.body.encode(), where) if change else config.load(path))[0].experiments
    if name not in found:
        raise ParamsError(f"{where}: no experiment {name!r}; there are: {', '.join(found) or 'none'}")
    return found[name]


def of(name: str, experiment: Experiment, raw: log.Log) -> Readout:
    """Compute the readout of a log. Faults of the log become failed checks of the readout, not errors."""
    cleaned, removed = raw.cleaned()
    rule = Rule.of(experiment)
    drawn, left_out = population.randomised(cleaned.exposures, experiment)
    exposures, moved = population.in_one_arm(drawn)
    outcomes = join.classify(exposures, cleaned.events, rule)
    units = _units(experiment, exposures, outcomes.filter(pl.col("how").is_in(join.JOINED)), cleaned.before)
    counts = dict(units.group_by("arm").len().sort("arm").iter_rows())
    planned = experiment.planned_units or _planned(units, experiment)
    found, states, decided = _decided(experiment, units, planned)
    primary = [effect for effect in found if effect.metric == experiment.primary]
    all_checks = [
        checks.enough_units(counts, experiment),
        checks.sample_ratio(counts, experiment),
        checks.equal_loss(cleaned.exposures, cleaned.events, name, experiment),
        checks.units_in_two_arms(drawn),
        checks.one_variant(exposures),
        *([checks.refunds(units)] if "revenue" in (experiment.primary, *experiment.guardrails) else []),
        *checks.instrumentation(outcomes),
        checks.no_amounts(removed["amounts that are no numbers"]),
        checks.comparable(
            experiment.primary, len(primary), len(decided), float(units[effects.COUNTED[experiment.primary]].sum())
        ),
    ]
    if doubtful := outcomes.filter(pl.col("how").is_in(join.DOUBTFUL)).height:
        counted = pl.col("how").is_in((*join.JOINED, *join.DOUBTFUL))
        more = _units(experiment, exposures, outcomes.filter(counted), cleaned.before)
        all_checks.append(checks.same_decisions(doubtful, _decided(experiment, more, planned)[2], decided))
    size = planned or max(units.height, 1)
    return Readout(
        name=name,
        primary=experiment.primary,
        units=counts,
        planned_units=planned,
        detectable=_detectable(units, experiment),
        left_out=left_out | moved,
        cleaned={reason: count for reason, count in removed.items() if count},
        attribution=str(rule),
        outcomes=dict(outcomes.group_by("how").len().sort("len", "how", descending=True).iter_rows()),
        checks=all_checks,
        guardrails=states,
        effects=found,
        segments={
            str(segment): effects.effects(part, experiment, size)
            for (segment,), part in units.drop_nulls("segment").group_by("segment", maintain_order=True)
        },
        bootstrap=effects.bootstrap(units, experiment) if len(primary) == len(decided) else {},
        decisions=readout.unless_broken(decided, all_checks),
    )


def over_time(raw: log.Log, experiment: Experiment, planned_units: float) -> dict[str, list[Moment]]:
    """Return for each arm its effect at up to `MOMENTS` times; times at which it has no interval are left out.
    planned_units: the number of units at which the intervals are tightest."""
    cleaned, _ = raw.cleaned()
    exposures = population.analysed(cleaned.exposures, experiment)
    joined = join.attribute(exposures, cleaned.events, Rule.of(experiment))
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


def preferences(experiment: Experiment, raw: log.Log) -> dict[str, Preference]:
    """Return for every arm with `interleave` which list users prefer: a is that of its `variant`, b of `interleave`."""
    exposures, clicks = _clicked(raw, experiment)
    picks = exposures.filter(pl.col("teams").list.len() > 0).select("request_id", "unit", "arm", "items", "teams")
    picks = picks.explode("items", "teams").rename({"items": "item_id", "teams": "team"})
    keys = ["request_id", "unit", "item_id"]
    clicked = clicks.select(keys).unique().join(picks, on=keys)
    arms = [name for name, arm in experiment.arms.items() if arm.interleave is not None]
    return {name: preference(clicked.filter(arm=name).select("unit", "team"), experiment.alpha) for name in arms}


def plan(name: str, experiment: Experiment, url: str) -> Plan:
    """Plan units and days from the experiment's own log, or if that is not enough from the last 90 days of the store.

    Raises:
        DataError: see `planning.plan`.
    """
    try:
        own = _history(log.read(url, name, experiment), experiment)
        return planning.plan(*own, source="the log of the experiment")
    except DataError:
        past = log.read_history(url, name, experiment)
        source = f"{past.exposures.height:,} answers of the last {log.HISTORY_DAYS} days"
        if past.exposures.is_empty() and experiment.primary in ("conversion", "revenue"):
            past, source = _first_visits(past), f"{past.events.height:,} events of the last {log.HISTORY_DAYS} days"
        return planning.plan(*_history(past, experiment), source=source)


def _first_visits(past: log.Log) -> log.Log:
    """Return a log for planning with one invented answer per unit, which shows all items of the unit's events."""
    visits = past.events.drop_nulls("unit").group_by("unit", maintain_order=True)
    answers = visits.agg(timestamp=pl.col("timestamp").min(), items=pl.col("item_id").unique())
    answers = answers.with_columns(request_id="unit", segment=pl.lit(None, pl.String), fallback=pl.lit(False))
    return log.Log(answers.with_columns(latency_ms=pl.lit(0.0)), past.events, past.before)


def _history(raw: log.Log, experiment: Experiment) -> tuple[pl.DataFrame, Experiment, float]:
    """Return the first arguments of `planning.plan`: the units of all arms, the experiment, and new units per day."""
    cleaned, _ = raw.cleaned()
    exposures = population.without_bots(cleaned.exposures)[0].with_columns(arm=pl.lit(experiment.control))
    attributed = join.attribute(exposures, cleaned.events, Rule.of(experiment))
    units = _units(experiment, exposures, attributed, cleaned.before)
    days = exposures["timestamp"].dt.epoch("s").to_numpy() / 86_400
    return units, experiment, units.height / max(float(np.ptp(days)) if len(days) else 0.0, 1 / 24)


def explored(name: str, experiment: Experiment, raw: log.Log) -> dict[str, pl.DataFrame]:
    """Return `off_policy.explored_places` for every arm with `explore`.

    Raises:
        DataError: "experiment 'home' has no arm that explores; ..."
    """
    exploring = {arm: it.explore for arm, it in experiment.arms.items() if it.explore is not None}
    if not exploring:
        raise DataError(
            f"experiment {name!r} has no arm that explores: only items that were shown at random can be evaluated; "
            "add explore: {epsilon: 0.1, places: 2} to an arm"
        )
    exposures, clicks = _clicked(raw, experiment)
    return {
        arm: off_policy.explored_places(exposures.filter(arm=arm), clicks, settings)
        for arm, settings in exploring.items()
    }


def _clicked(raw: log.Log, experiment: Experiment) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the answers to the units that are analysed, and the clicks on them."""
    cleaned, _ = raw.cleaned()
    exposures = population.analysed(cleaned.exposures, experiment)
    return exposures, join.attribute(exposures, cleaned.events, Rule.of(experiment)).filter(event="click")


def _units(
    experiment: Experiment, exposures: pl.DataFrame, attributed: pl.DataFrame, before: pl.DataFrame
) -> pl.DataFrame:
    latency = experiment.guardrails.get("latency_ms")
    budget = latency.budget if latency is not None else None
    return join.by_unit(exposures, attributed, before, float("inf") if budget is None else budget)


def _decided(
    experiment: Experiment, units: pl.DataFrame, planned: int | None
) -> tuple[list[effects.Effect], list[guardrails.State], dict[str, tuple[str, str]]]:
    size = planned or max(units.height, 1)
    found = effects.effects(units, experiment, size)
    states = guardrails.states(units, experiment, found, size)
    arms = list(experiment.arms)[1:]
    return found, states, {arm: readout.decide(experiment, arm, found, states, units.height, planned) for arm in arms}


def _planned(units: pl.DataFrame, experiment: Experiment) -> int | None:
    try:
        return planning.plan(units, experiment, units_per_day=1).units
    except DataError:
        return None


def _detectable(units: pl.DataFrame, experiment: Experiment) -> float | None:
    try:
        return planning.detectable(units, experiment, units.height)
    except DataError:
        return None
