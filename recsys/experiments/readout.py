"""What came of an experiment: effects with intervals, whether they can be trusted, and what to do.

Units are what was randomised, so variances are between units, not between requests: means and ratios of means over
units with the delta method, adjusted by what the units did before (CUPED). All by tea-tasting; the interval that allows
peeking is ours (`sequential.py`).

Source: Deng, Knoblich, Lu, "Applying the delta method in metric analytics", KDD 2018; Deng, Xu, Kohavi, Walker,
"Improving the sensitivity of online controlled experiments by utilizing pre-experiment data", WSDM 2013.
"""

from dataclasses import dataclass
from typing import Any

import polars as pl
import tea_tasting as tt

from recsys.experiments import sequential
from recsys.experiments.checks import Check
from recsys.experiments.config import Experiment

HIGHER_IS_BETTER = {"ctr": True, "conversion": True, "revenue": True, "fallback_rate": False, "latency_ms": False}
COUNTED = {
    "ctr": "clicks",
    "conversion": "converted",
    "revenue": "revenue",
    "fallback_rate": "fallbacks",
    "latency_ms": "latency_ms",
}
MARGIN = 0.02  # a guardrail is broken when it is surely worse by more than this share


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


@dataclass(frozen=True)
class Readout:
    """units: how many in each arm; left_out: units taken for bots; decisions: arm -> (ship, stop or go on; why)."""

    name: str
    units: dict[str, int]
    planned_units: int | None
    left_out: int
    attribution: str
    checks: list[Check]
    effects: list[Effect]
    segments: dict[str, list[Effect]]
    decisions: dict[str, tuple[str, str]]

    @property
    def valid(self) -> bool:
        """Whether every check passed."""
        return all(check.passed for check in self.checks)


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


def read(name: str, experiment: Experiment, units: pl.DataFrame, all_checks: list[Check], **about: Any) -> Readout:
    """about: planned_units (per experiment, or None), left_out, attribution."""
    planned = about["planned_units"]
    tightest = planned or max(units.height, 1)
    found = effects(units, experiment, tightest)
    by_segment = {
        str(segment): effects(part, experiment, tightest)
        for (segment,), part in units.drop_nulls("segment").group_by("segment", maintain_order=True)
    }
    decisions = {arm: decide(experiment, arm, found, units.height, planned) for arm in list(experiment.arms)[1:]}
    broken = [check.name for check in all_checks if not check.passed]
    if broken:
        decisions = dict.fromkeys(decisions, ("stop", f"not to be trusted: {', '.join(broken)}; repair the log first"))
    counts = dict(units.group_by("arm").len().sort("arm").iter_rows())
    return Readout(
        name, counts, planned, about["left_out"], about["attribution"], all_checks, found, by_segment, decisions
    )


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
