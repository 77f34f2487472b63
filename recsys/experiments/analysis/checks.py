"""Is the log fit to be read? Checks that come with every readout; one that fails makes the readout invalid."""

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl
from scipy.stats import binomtest, chisquare

from recsys.experiments.analysis.join import BY_REQUEST
from recsys.experiments.online.assignment import arm_of, bucket
from recsys.experiments.online.config import Experiment

SRM_ALPHA = 0.0005  # a rarer split is taken for a defect; clean experiments are accused once in 2,000
MIN_JOIN_RATE = 0.5
MAX_DUPLICATES, MAX_ORPHANS, MAX_SKEWED, MAX_MOVED = 0.01, 0.01, 0.01, 0.001
BOT_REQUESTS_PER_DAY = 500
SKEW = pl.duration(seconds=2)


@dataclass(frozen=True)
class Check:
    """One check: what was found, where the limit is, and whether it is kept."""

    name: str
    found: float
    limit: str
    passed: bool


def sample_ratio(units: pl.DataFrame, experiment: Experiment) -> Check:
    """Whether the units in each arm are as many as the weights say."""
    return sample_ratio_of(dict(units.group_by("arm").len().iter_rows()), experiment)


def sample_ratio_of(counts: Mapping[str, int], experiment: Experiment) -> Check:
    """The same, from the number of units in each arm: chi-square test.

    Source: Fabijan et al., "Diagnosing sample ratio mismatch in online controlled experiments", KDD 2019.
    """
    found = [counts.get(name, 0) for name in experiment.arms]
    total = sum(found)
    p_value = float(chisquare(found, [total * arm.weight for arm in experiment.arms.values()]).pvalue) if total else 1.0
    return Check("sample ratio (p-value)", p_value, f">= {SRM_ALPHA}", p_value >= SRM_ALPHA)


def lost(exposures: pl.DataFrame, events: pl.DataFrame, name: str, experiment: Experiment) -> Check:
    """Whether answers are missing from the log more often in one arm: clicks name them, so their arms can be told.

    A unit's arm follows from its hash even where its answer was lost. Sees a loss of 1 % that is too small for the
    ratio of units. p-value of the binomial test that the lost ones are spread like the arms.
    """
    named = events.filter(pl.col("event") == "click").drop_nulls(["request_id", "unit"])
    orphans = named.join(exposures.select("request_id"), on="request_id", how="anti").unique("request_id")
    arms = [arm_of(experiment, bucket(experiment.seed or name, unit)) for unit in orphans["unit"].to_list()]
    control = experiment.arms[experiment.control].weight
    drawn = [arm for arm in arms if arm is not None]
    p_value = float(binomtest(drawn.count(experiment.control), len(drawn), control).pvalue) if drawn else 1.0
    return Check("answers lost alike in all arms (p-value)", p_value, f">= {SRM_ALPHA}", p_value >= SRM_ALPHA)


def moved(exposures: pl.DataFrame) -> Check:
    """Share of units that were given more than one arm."""
    arms = exposures.group_by("unit").agg(arms=pl.col("arm").n_unique())
    share = _share(arms.filter(pl.col("arms") > 1).height, arms.height)
    return Check("units in several arms", share, f"<= {MAX_MOVED}", share <= MAX_MOVED)


def instrumentation(exposures: pl.DataFrame, events: pl.DataFrame, attributed: pl.DataFrame) -> list[Check]:
    """What goes wrong between the client and the log; exposures, events and attributed as in `join.py`."""
    clicks = events.filter(pl.col("event") == "click")
    named = clicks.drop_nulls("request_id")
    orphans = named.join(exposures.select("request_id"), on="request_id", how="anti").height
    joined = attributed.filter(pl.col("event") == "click").height
    repeated = events.height - events.unique(["unit", "event", "item_id", "timestamp"]).height
    shown = exposures.select("request_id", pl.col("timestamp").alias("shown_at"))
    early = named.join(shown, on="request_id").filter(pl.col("timestamp") + SKEW < pl.col("shown_at")).height
    twice = exposures.height - exposures["request_id"].n_unique()
    by_request = attributed.filter(pl.col("how") == BY_REQUEST).height
    limits = {
        "clicks on a request never answered": (_share(orphans, named.height), MAX_ORPHANS),
        "events sent twice under other ids": (_share(repeated, events.height), MAX_DUPLICATES),
        "clicks before their answer (clock skew)": (_share(early, named.height), MAX_SKEWED),
        "answers logged twice": (_share(twice, exposures.height), MAX_DUPLICATES),
    }
    join_rate = _share(joined, clicks.height) if clicks.height else 1.0
    found = [Check(name, share, f"<= {limit}", share <= limit) for name, (share, limit) in limits.items()]
    found.append(Check("clicks that join an answer", join_rate, f">= {MIN_JOIN_RATE}", join_rate >= MIN_JOIN_RATE))
    found.append(Check("joins made by request id", _share(by_request, attributed.height), "for information", True))
    return found


def bots(exposures: pl.DataFrame) -> pl.Series:
    """Units that asked more often on some day than a person would; a readout leaves them out and says how many."""
    per_day = exposures.group_by("unit", pl.col("timestamp").dt.date().alias("day")).len()
    return per_day.filter(pl.col("len") > BOT_REQUESTS_PER_DAY)["unit"].unique().sort()


def _share(part: int, whole: int) -> float:
    return round(part / whole, 6) if whole else 0.0
