"""Selects the units that are analysed: assigned at random, always to the same arm, and no bots."""

import polars as pl

from recsys.experiments.online.config import Experiment

BY_HAND = "put into an arm by hand"
UNKNOWN_ARM = "in an arm that the experiment does not have"
MACHINES = "bots, by their number of answers"
SEVERAL_ARMS = "in several arms"
BOT_REQUESTS_PER_DAY = 500


def randomised(exposures: pl.DataFrame, experiment: Experiment) -> tuple[pl.DataFrame, dict[str, int]]:
    """Return the answers to units that were assigned at random and are no bots; and reason -> number of other units."""
    by_hand = exposures.filter(pl.col("forced").fill_null(False) | pl.col("unit").is_in(list(experiment.forced)))
    rest, left_out = _without(exposures, by_hand, BY_HAND)
    unknown = rest.filter(~pl.col("arm").is_in(list(experiment.arms)).fill_null(False))
    rest, more = _without(rest, unknown, UNKNOWN_ARM)
    people, machines = without_bots(rest)
    return people, left_out | more | machines


def without_bots(exposures: pl.DataFrame) -> tuple[pl.DataFrame, dict[str, int]]:
    """Leave out units with more than `BOT_REQUESTS_PER_DAY` answers on a day (UTC). Returns the answers to the other
    units, and reason -> number of units left out."""
    per_day = exposures.group_by("unit", pl.col("timestamp").dt.date().alias("day")).len()
    return _without(exposures, per_day.filter(pl.col("len") > BOT_REQUESTS_PER_DAY), MACHINES)


def in_one_arm(exposures: pl.DataFrame) -> tuple[pl.DataFrame, dict[str, int]]:
    """Return the answers to units that were always in the same arm; and reason -> number of other units."""
    moved = exposures.filter(pl.col("arm").n_unique().over("unit") > 1)
    return _without(exposures, moved, SEVERAL_ARMS)


def analysed(exposures: pl.DataFrame, experiment: Experiment) -> pl.DataFrame:
    """Return the answers to units that were assigned at random, are no bots and were always in the same arm."""
    return in_one_arm(randomised(exposures, experiment)[0])[0]


def _without(exposures: pl.DataFrame, others: pl.DataFrame, reason: str) -> tuple[pl.DataFrame, dict[str, int]]:
    count = others["unit"].n_unique()
    return exposures.join(others, on="unit", how="anti"), {reason: count} if count else {}
