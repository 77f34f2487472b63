"""Checks of the log that come with every readout; one that fails makes the readout invalid.

They see only the units that take part in the experiment, see `population.py`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl
from scipy.stats import chi2_contingency, chisquare

from recsys.experiments.analysis import join
from recsys.experiments.online.assignment import arm_of, bucket
from recsys.experiments.online.config import Experiment

SRM_ALPHA = 0.0005  # a rarer split is taken for a defect; clean experiments are accused once in 2,000
MAX_LOST, MAX_EARLY, MAX_MOVED = 0.01, 0.01, 0.001
MIN_UNITS = 2


@dataclass(frozen=True)
class Check:
    """One check: its value, its limit, and whether it passes. waits: it may pass with more data, nothing is broken."""

    name: str
    found: float
    limit: str
    passed: bool
    waits: bool = False


def sample_ratio(units: pl.DataFrame, experiment: Experiment) -> Check:
    """Check that the number of units in each arm agrees with the weights."""
    return sample_ratio_of(dict(units.group_by("arm").len().iter_rows()), experiment)


def sample_ratio_of(counts: Mapping[str, int], experiment: Experiment) -> Check:
    """Test the number of units in each arm against the weights: chi-square.

    Source: Fabijan et al., "Diagnosing sample ratio mismatch in online controlled experiments", KDD 2019.
    """
    observed = [counts.get(name, 0) for name in experiment.arms]
    total, weights = sum(observed), sum(arm.weight for arm in experiment.arms.values())
    expected = [total * arm.weight / weights for arm in experiment.arms.values()]
    p_value = float(chisquare(observed, expected).pvalue) if total else 1.0
    return Check("sample ratio (p-value)", p_value, f">= {SRM_ALPHA}", p_value >= SRM_ALPHA)


def enough_units(units: pl.DataFrame, experiment: Experiment) -> Check:
    """Check that every arm has units."""
    counts = dict(units.group_by("arm").len().iter_rows())
    fewest = min(counts.get(name, 0) for name in experiment.arms)
    return Check("units in the smallest arm", fewest, f">= {MIN_UNITS}", fewest >= MIN_UNITS, waits=True)


def equal_loss(exposures: pl.DataFrame, events: pl.DataFrame, name: str, experiment: Experiment) -> Check:
    """Check that no arm loses more of its answers from the log: a click names its answer even if that is missing.

    The unit's hash tells the arm. Finds a loss of 1 %, which the ratio of units cannot show. Chi-square test over
    units: those with a click on a missing answer against those with one on a logged answer, so that an arm with more
    clicks is not taken for one that loses more.
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
    """Check the share of units that were given more than one arm; these are left out, so a few do no harm."""
    arms = exposures.group_by("unit").agg(arms=pl.col("arm").n_unique())
    share = _share(arms.filter(pl.col("arms") > 1).height, arms.height)
    return Check("units in several arms", share, f"<= {MAX_MOVED}", share <= MAX_MOVED)


def instrumentation(outcomes: pl.DataFrame) -> list[Check]:
    """Check how many events cannot be attributed, by reason; outcomes: as from `join.classify`."""
    how = dict(outcomes.filter(event="click").group_by("how").len().iter_rows())
    joined = sum(how.get(name, 0) for name in join.JOINED)
    lost, early = how.get(join.LOST, 0), how.get(join.EARLY, 0)
    limits = {
        "clicks on a request never answered": (_share(lost, lost + joined), MAX_LOST),
        "clicks before their answer, lost by slow clocks": (_share(early, early + joined), MAX_EARLY),
    }
    return [Check(name, share, f"<= {limit}", share <= limit) for name, (share, limit) in limits.items()]


def no_amounts(count: int) -> Check:
    """Check that every amount and latency is a finite number of a plausible size."""
    return Check("amounts that are no usable numbers", count, "<= 0", count == 0)


def comparable(metric: str, effects: int, wanted: int, total: float) -> Check:
    """Check that the metric varies in every arm, so that it has an effect with an interval."""
    what = "no outcome was logged" if total == 0 else "every unit did the same"
    name = f"arms in which {metric} can be compared" + ("" if effects == wanted else f": {what}")
    return Check(name, effects, f">= {wanted}", effects == wanted, waits=True)


def same_decisions(doubtful: int, with_them: Mapping[str, str], without: Mapping[str, str]) -> Check:
    """Check that the decisions stay the same if doubtful events count too; both: arm -> "ship", "stop", ..."""
    name = f"decisions that change when {doubtful:,} doubtful events are counted"
    changed = sum(with_them[arm] != decision for arm, decision in without.items())
    return Check(name, changed, "<= 0", changed == 0)


def _share(part: int, whole: int) -> float:
    return round(part / whole, 6) if whole else 0.0
