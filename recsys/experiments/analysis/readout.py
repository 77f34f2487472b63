"""The result of an experiment: effects with intervals, checks of the log, and a decision for each arm."""

from dataclasses import dataclass

from recsys.experiments.analysis import guardrails
from recsys.experiments.analysis.checks import Check
from recsys.experiments.analysis.effects import HIGHER_IS_BETTER, Effect, Interval
from recsys.experiments.online.config import Experiment

ENOUGH = 0.95  # of a planned size that was estimated from the log; one in experiments.yaml must be reached
SHIP, STOP, GO_ON, KEEP = "ship", "stop", "go on", "keep the control"


@dataclass(frozen=True)
class Readout:
    """The result of an experiment. units: arm -> number of units; decisions: arm -> (decision, reason).

    left_out: reason -> number of units that were not analysed; outcomes: how an event joined an answer, or why it did
    not -> number of events; cleaned: description -> number of rows of the log changed so, see `Log.cleaned`;
    planned_units: None if the log was too small to plan; detectable: the smallest relative change of the primary metric
    that these units detect with the experiment's power, None if unknown; segments: segment -> effects in it; bootstrap:
    arm -> interval of the difference in the primary metric, to compare with the interval by formula.
    """

    name: str
    primary: str
    units: dict[str, int]
    planned_units: int | None
    detectable: float | None
    left_out: dict[str, int]
    cleaned: dict[str, int]
    attribution: str
    outcomes: dict[str, int]
    checks: list[Check]
    guardrails: list[guardrails.State]
    effects: list[Effect]
    segments: dict[str, list[Effect]]
    bootstrap: dict[str, Interval]
    decisions: dict[str, tuple[str, str]]


def decide(
    experiment: Experiment,
    arm: str,
    found: list[Effect],
    states: list[guardrails.State],
    units: int,
    planned: int | None,
) -> tuple[str, str]:
    """Return SHIP (replace the control by the arm), STOP (end the arm, it does harm), GO_ON (wait for more units) or
    KEEP (keep the control, without a proven gain), and the reason as text. units: number of units so far; planned:
    number at which the experiment ends, None if unknown. With fewer units, harm and gain are judged by the intervals
    that are valid at every look; from `planned` units on, a gain by the interval for one look."""
    mine = {effect.metric: effect for effect in found if effect.arm == arm}
    if experiment.primary not in mine:
        return GO_ON, f"{experiment.primary} of {arm!r} cannot be compared yet"
    watched = [state for state in states if state.arm == arm]
    for state in watched:
        if state.broken:
            return STOP, f"a guardrail is broken: {state.says}"
    effect = mine[experiment.primary]
    low, high, anytime_low, anytime_high = effect.low, effect.high, effect.anytime_low, effect.anytime_high
    if not HIGHER_IS_BETTER[experiment.primary]:
        low, high, anytime_low, anytime_high = -high, -low, -anytime_high, -anytime_low
    complete = planned is not None and units >= planned * (1 if experiment.planned_units else ENOUGH)
    shown = f"{experiment.primary} {effect.control:.4g} to {effect.value:.4g}"
    if anytime_high < 0:
        return STOP, f"{shown}: worse, by the interval that allows peeking ({anytime_low:+.4g} to {anytime_high:+.4g})"
    if not complete:
        low, high = anytime_low, anytime_high
    look = "at the planned size" if complete else "by the interval that allows peeking"
    shown = f"{shown}, interval {low:+.4g} to {high:+.4g} {look}"
    unproven = [state.says for state in watched if not state.kept]
    if low > 0 and not unproven:
        return SHIP, f"{shown}: better"
    if low > 0:
        return (KEEP if complete else GO_ON), f"{shown}: better, but not shown to keep its margin: {unproven[0]}"
    if complete:
        what = "worse, but not by the interval for every look" if high < 0 else "no difference was found"
        return KEEP, f"{shown}: {what}; planned were {planned:,} units"
    of = f"{units:,} of {planned:,} units" if planned is not None else f"{units:,} units, none were planned"
    return GO_ON, f"{shown}: not decided after {of}"


def unless_broken(decided: dict[str, tuple[str, str]], checks: list[Check]) -> dict[str, tuple[str, str]]:
    """Return the decisions; if a check failed, decide for all arms to stop, or to go on if more data may repair it."""
    broken = [check for check in checks if not check.passed]
    named = ", ".join(f"{check.name} {check.found:.4g}, expected {check.limit}" for check in broken)
    if any(not check.waits for check in broken):
        return dict.fromkeys(decided, (STOP, f"not to be trusted: {named}; repair the log first"))
    return dict.fromkeys(decided, (GO_ON, f"nothing can be said yet: {named}")) if broken else decided
