"""Evaluates guardrails, which stop an arm whatever the effect on its primary metric: when a budget is exceeded, or when
a metric is worse than in the control by more than a margin.

A budget is broken when the arm exceeds it and is worse than the control, by intervals that are valid at every look: if
the control exceeds it as much, the arm is not the cause. Rates vary between units (delta method). Two units are added,
one with all answers over the budget and one with none, so that the rate has a variance even if all units are equal.

Source: Agresti and Coull, "Approximate is better than exact", The American Statistician 1998, for the added units.
"""

from dataclasses import dataclass
from math import hypot

import numpy as np
import polars as pl

from recsys.experiments.analysis import sequential
from recsys.experiments.analysis.effects import HIGHER_IS_BETTER, Effect
from recsys.experiments.online.config import Experiment, Guardrail, Metric

SLOW_SHARE = 0.01  # a latency budget is for 99 of 100 answers
COUNTED = {"fallback_rate": "fallbacks", "latency_ms": "slow"}


@dataclass(frozen=True)
class State:
    """The state of one guardrail of one arm. says: the figures and the limit, as text. broken: the arm exceeds the
    limit, and a budget also the control's value, by intervals that are valid at every look. kept: the budget is not
    broken, or the interval for a single look lies within the margin. A margin that is neither is undecided."""

    arm: str
    metric: str
    says: str
    broken: bool
    kept: bool


def states(units: pl.DataFrame, experiment: Experiment, found: list[Effect], planned: float) -> list[State]:
    """Evaluate every guardrail of every arm. units: the result of `join.by_unit`; found: the effects. planned: the
    number of units at which the intervals are tightest."""
    effects = {(effect.arm, effect.metric): effect for effect in found}
    rows = []
    for arm in list(experiment.arms)[1:]:
        for metric, guardrail in experiment.guardrails.items():
            if guardrail.budget is not None:
                rows.append(_budget(units, experiment, arm, metric, guardrail.budget, planned))
            elif (arm, metric) in effects:
                rows.append(_margin(effects[arm, metric], guardrail))
    return rows


def _budget(
    units: pl.DataFrame, experiment: Experiment, arm: str, metric: Metric, budget: float, planned: float
) -> State:
    limit, what = (
        (SLOW_SHARE, f"answers over {budget:g} ms") if metric == "latency_ms" else (budget, "answers by fallback")
    )
    pair = [units.filter(pl.col("arm") == name) for name in (experiment.control, arm)]
    (theirs, error), (mine, my_error) = (_rate(part, COUNTED[metric]) for part in pair)
    n = max(sum(part.height for part in pair), 1)
    alone = sequential.radius(my_error, n, experiment.alpha, planned)
    apart = sequential.radius(hypot(error, my_error), n, experiment.alpha, planned)
    broken = mine - alone > limit and mine - theirs > apart
    control, share = (float(part[COUNTED[metric]].sum()) / max(float(part["requests"].sum()), 1.0) for part in pair)
    says = f"{metric} of {arm}: {share:.2%} {what}, {control:.2%} in the control, at most {limit:.2%}"
    return State(arm, metric, says, broken, kept=not broken)


def _rate(units: pl.DataFrame, column: str) -> tuple[float, float]:
    """Return the share of answers that `column` counts and its standard error, with the two added units."""
    counted, requests = (units[name].to_numpy() for name in (column, "requests"))
    usual = float(requests.mean()) if len(requests) else 1.0
    counted, requests = np.append(counted, [0.0, usual]), np.append(requests, [usual, usual])
    share = float(counted.sum() / requests.sum())
    spread = float(np.var(counted - share * requests, ddof=1))
    return share, float(np.sqrt(spread / len(requests))) / float(requests.mean())


def _margin(effect: Effect, guardrail: Guardrail) -> State:
    """Evaluate a margin: whether the metric is worse than in the control by more than it allows."""
    allowed = (guardrail.margin or 0.0) * abs(effect.control)
    better = HIGHER_IS_BETTER[effect.metric]
    low, high = (-effect.anytime_high, -effect.low) if better else (effect.anytime_low, effect.high)
    says = (
        f"{effect.metric} of {effect.arm}: {effect.control:.4g} to {effect.value:.4g}, "
        f"at most {guardrail.margin:.1%} worse"
    )
    return State(effect.arm, effect.metric, says, low > allowed, high <= allowed)
