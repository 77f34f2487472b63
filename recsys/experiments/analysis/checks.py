"""Checks whether the log of an experiment can be trusted; a check that fails makes the readout invalid."""

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl
from scipy.stats import chi2_contingency, chisquare

from recsys.experiments.analysis import join
from recsys.experiments.analysis.effects import ROUNDING
from recsys.experiments.online.assignment import arm_of, bucket
from recsys.experiments.online.config import Experiment

SRM_ALPHA = 0.0005  # a less likely split counts as a defect, so 1 of 2,000 flawless experiments fails by chance
MAX_LOST, MAX_EARLY, MAX_MOVED, MAX_REFUNDED = 0.01, 0.01, 0.001, 0.01
MIN_UNITS = 2

Decisions = Mapping[str, tuple[str, str]]  # arm -> (decision, such as "ship", and the reason)


@dataclass(frozen=True)
class Check:
    """The result of one check: the value found, its limit as text, and whether it passed. waits: whether a failure only
    means that there is too little data yet; otherwise it means that the log is faulty."""

    name: str
    found: float
    limit: str
    passed: bool
    waits: bool = False


def sample_ratio(counts: Mapping[str, int], experiment: Experiment) -> Check:
    """Test the number of units in each arm against the weights, by chi-square. counts: arm -> number of units.

    Source: Fabijan et al., "Diagnosing sample ratio mismatch in online controlled experiments", KDD 2019.
    """
    observed = [counts.get(name, 0) for name in experiment.arms]
    total, weights = sum(observed), sum(arm.weight for arm in experiment.arms.values())
    expected = [total * arm.weight / weights for arm in experiment.arms.values()]
    p_value = float(chisquare(observed, expected).pvalue) if total else 1.0
    return Check("sample ratio (p-value)", p_value, f">= {SRM_ALPHA}", p_value >= SRM_ALPHA)


def enough_units(counts: Mapping[str, int], experiment: Experiment) -> Check:
    """Check that every arm has at least `MIN_UNITS` units. counts: arm -> number of units."""
    fewest = min(counts.get(name, 0) for name in experiment.arms)
    return Check("units in the smallest arm", fewest, f">= {MIN_UNITS}", fewest >= MIN_UNITS, waits=True)


def equal_loss(exposures: pl.DataFrame, events: pl.DataFrame, name: str, experiment: Experiment) -> Check:
    """Check that no arm misses a larger share of its answers in the log than the others.

    A click carries the id of its answer even if the answer was lost, and the hash of the unit gives the arm. The test
    is a chi-square over two counts per arm: units with a click on an answer that is not in the log, and units with a
    click on a logged answer (a unit can be in both). So more clicks in an arm do not look like a loss. It detects a
    loss of 1 %, which `sample_ratio` cannot. exposures, events: with the columns of `join.py`; name: the experiment's.
    """
    clicks = events.filter(event="click").drop_nulls(["request_id", "unit"])
    if "elsewhere" in clicks.columns:
        clicks = clicks.filter(~pl.col("elsewhere").fill_null(False))
    logged = clicks["request_id"].is_in(exposures["request_id"].unique().implode())
    by_unit = (
        clicks.with_columns(logged=logged)
        .group_by("unit")
        .agg(lost=(~pl.col("logged")).any(), kept=pl.col("logged").any())
    )
    counts = {arm: [0, 0] for arm in experiment.arms}
    for unit, lost, kept in by_unit.iter_rows():
        if (arm := arm_of(experiment, bucket(experiment.seed or name, unit))) is not None:
            counts[arm][0] += lost
            counts[arm][1] += kept
    seen = [row for row in counts.values() if sum(row)]
    lost, kept = (sum(column) for column in zip(*counts.values(), strict=True))
    if not lost:
        p_value = 1.0
    elif kept and len(seen) > 1:
        p_value = float(chi2_contingency(seen, correction=False).pvalue)
    else:
        weights = [arm.weight for arm in experiment.arms.values()]
        expected = [lost * weight / sum(weights) for weight in weights]
        p_value = float(chisquare([row[0] for row in counts.values()], expected).pvalue)
    return Check("answers lost alike in all arms (p-value)", p_value, f">= {SRM_ALPHA}", p_value >= SRM_ALPHA)


def units_in_two_arms(exposures: pl.DataFrame) -> Check:
    """Check the share of units that were in more than one arm. They are left out, so a few do no harm."""
    arms = exposures.group_by("unit").agg(arms=pl.col("arm").n_unique())
    share = _share(arms.filter(pl.col("arms") > 1).height, arms.height)
    return Check("units in several arms", share, f"<= {MAX_MOVED}", share <= MAX_MOVED)


def one_variant(exposures: pl.DataFrame) -> Check:
    """Check that each arm had one variant all the time: after a change, the log has two experiments under one name.
    exposures: with the column `variant`, null where unknown."""
    variants = exposures.group_by("arm").agg(pl.col("variant").drop_nulls().n_unique())["variant"].max()
    name = "variants of one arm (if more than one, set `start` to the time of the change)"
    return Check(name, found := int(str(variants or 0)), "<= 1", found <= 1)


def refunds(units: pl.DataFrame) -> Check:
    """Check the share of units to whom more was returned than they paid. units: the result of `join.by_unit`."""
    bought = units.filter(pl.col("purchases") > 0)
    share = _share(bought.filter(pl.col("revenue") < -ROUNDING).height, bought.height)
    return Check("buyers to whom more was returned than paid", share, f"<= {MAX_REFUNDED}", share <= MAX_REFUNDED)


def instrumentation(outcomes: pl.DataFrame) -> list[Check]:
    """Return two checks of the clicks that cannot be attributed: the share whose answer is not in the log, and the
    share that came before its answer because of a slow clock. outcomes: the result of `join.classify`."""
    how = dict(outcomes.filter(event="click").group_by("how").len().iter_rows())
    joined = sum(how.get(name, 0) for name in join.JOINED)
    lost, early = how.get(join.LOST, 0), how.get(join.EARLY, 0)
    limits = {
        "clicks on answers that are not in the log": (_share(lost, lost + joined), MAX_LOST),
        "clicks before their answer, lost by slow clocks": (_share(early, early + joined), MAX_EARLY),
    }
    return [Check(name, share, f"<= {limit}", share <= limit) for name, (share, limit) in limits.items()]


def no_amounts(count: int) -> Check:
    """Check that values of events and latencies are finite and plausible numbers. count: number of those that are
    not."""
    return Check("amounts that are no usable numbers", count, "<= 0", count == 0)


def comparable(metric: str, effects: int, wanted: int, total: float) -> Check:
    """Check that the effect on the metric can be estimated for every arm but the control: it cannot if all units have
    the same value. effects: number of arms with an estimate; wanted: number of arms without the control; total: sum of
    the metric over units, which is 0 if no outcome was logged."""
    what = "no outcome was logged" if total == 0 else "every unit did the same"
    name = f"arms in which {metric} can be compared" + ("" if effects == wanted else f": {what}")
    return Check(name, effects, f">= {wanted}", effects == wanted, waits=True)


def same_decisions(doubtful: int, with_them: Decisions, without: Decisions) -> Check:
    """Check that the decisions stay the same if events that may belong to an answer (`join.DOUBTFUL`) are counted too.
    doubtful: number of such events; with_them and without: the decisions, the reasons of which may differ."""
    name = f"decisions that change when {doubtful:,} doubtful events are counted"
    changed = sum(with_them[arm][0] != decision for arm, (decision, _) in without.items())
    return Check(name, changed, "<= 0", changed == 0)


def _share(part: int, whole: int) -> float:
    return round(part / whole, 6) if whole else 0.0
