"""What came of an experiment: effects with intervals, whether they can be trusted, and what to do."""

from dataclasses import dataclass

import polars as pl

from recsys.experiments.analysis.checks import Check
from recsys.experiments.analysis.effects import Effect, Interval, bootstrap, effects
from recsys.experiments.online.config import Experiment

HIGHER_IS_BETTER = {"ctr": True, "conversion": True, "revenue": True, "fallback_rate": False, "latency_ms": False}
MARGIN = 0.02  # a guardrail is broken when it is surely worse by more than this share


@dataclass(frozen=True)
class Readout:
    """units: how many in each arm; left_out: units taken for bots; decisions: arm -> (ship, stop or go on; why).

    detectable: the relative change of the primary metric that so many units find with the wanted power; bootstrap: arm
    -> interval of its difference in the primary metric, to hold beside the one by formula.
    """

    name: str
    primary: str
    units: dict[str, int]
    planned_units: int | None
    detectable: float | None
    left_out: int
    attribution: str
    checks: list[Check]
    effects: list[Effect]
    segments: dict[str, list[Effect]]
    bootstrap: dict[str, Interval]
    decisions: dict[str, tuple[str, str]]

    @property
    def valid(self) -> bool:
        """Whether every check passed."""
        return all(check.passed for check in self.checks)


def decide(experiment: Experiment, arm: str, found: list[Effect], units: int, planned: int | None) -> tuple[str, str]:
    """Ship, stop or go on, and why. Before the planned number of units only what holds at every look counts."""
    mine = {effect.metric: effect for effect in found if effect.arm == arm}
    if experiment.primary not in mine:
        return "go on", f"{arm!r} has too few units to say anything"
    for name in experiment.guardrails:
        if name not in mine:
            continue
        guard, better = mine[name], HIGHER_IS_BETTER[name]
        harm_low = -guard.anytime_high if better else guard.anytime_low
        if harm_low > MARGIN * abs(guard.control):
            return "stop", f"guardrail {name} is surely worse: {guard.control:.4g} to {guard.value:.4g}"
    effect = mine[experiment.primary]
    complete = planned is not None and units >= planned
    low, high = (effect.low, effect.high) if complete else (effect.anytime_low, effect.anytime_high)
    if not HIGHER_IS_BETTER[experiment.primary]:
        low, high = -high, -low
    shown = f"{experiment.primary} {effect.control:.4g} to {effect.value:.4g}, interval {low:+.4g} to {high:+.4g}"
    look = "at the planned size" if complete else "by the interval that allows peeking"
    if low > 0:
        return "ship", f"{shown}: better {look}"
    if high < 0:
        return "stop", f"{shown}: worse {look}"
    if complete:
        return "stop", f"{shown}: no difference was found at the planned size of {planned:,} units; keep the control"
    wanted = f"{units:,} of {planned:,} units" if planned is not None else f"{units:,} units, none were planned"
    return "go on", f"{shown}: not decided after {wanted}"


def read(
    name: str,
    experiment: Experiment,
    units: pl.DataFrame,
    all_checks: list[Check],
    planned_units: int | None,
    detectable: float | None,
    left_out: int,
    attribution: str,
) -> Readout:
    """units: as from `join.by_unit`, each in one arm; the rest as in `Readout`."""
    tightest = planned_units or max(units.height, 1)
    found = effects(units, experiment, tightest)
    by_segment = {
        str(segment): effects(part, experiment, tightest)
        for (segment,), part in units.drop_nulls("segment").group_by("segment", maintain_order=True)
    }
    others = list(experiment.arms)[1:]
    decisions = {arm: decide(experiment, arm, found, units.height, planned_units) for arm in others}
    broken = [check.name for check in all_checks if not check.passed]
    if broken:
        decisions = dict.fromkeys(decisions, ("stop", f"not to be trusted: {', '.join(broken)}; repair the log first"))
    return Readout(
        name=name,
        primary=experiment.primary,
        units=dict(units.group_by("arm").len().sort("arm").iter_rows()),
        planned_units=planned_units,
        detectable=detectable,
        left_out=left_out,
        attribution=attribution,
        checks=all_checks,
        effects=found,
        segments=by_segment,
        bootstrap=bootstrap(units, experiment),
        decisions=decisions,
    )
