"""How many units it takes: against the formula for two means, and what a rate may be."""

from math import ceil, sqrt

import numpy as np
import polars as pl
import pytest

from recsys.errors import DataError
from recsys.experiments.analysis import planning
from recsys.experiments.online.config import Experiment
from tests.support.experiment_logs import experiment

Z = 1.9599640 + 0.8416212  # level 5 %, power 80 %


def test_the_smallest_arm_decides_and_days_count_who_takes_part() -> None:
    arms = {name: {"variant": name, "weight": weight} for name, weight in (("a", 0.5), ("b", 0.3), ("c", 0.2))}
    given = Experiment.model_validate({"arms": arms, "primary": "conversion", "coverage": 0.5})
    control = (Z * sqrt(0.1 * 0.9) / (0.05 * 0.1)) ** 2 * (1 + 0.5 / 0.2)
    pair = control * (1 + 0.2 / 0.5)
    for units_per_day in (1000, 0.5):
        plan = planning.from_rates(given, 0.1, None, units_per_day)
        assert plan.units == pytest.approx(ceil(pair / 0.7), abs=1)
        assert plan.days == pytest.approx(pair / (0.7 * 0.5) / units_per_day, abs=0.06)


@pytest.mark.parametrize(
    ("mean", "spread", "units_per_day", "said"),
    [
        (0.0, None, 10, "--rate is 0, expected a share"),
        (1.0, None, 10, "--rate is 1, expected a share"),
        (1.5, None, 10, r"--rate is 1\.5, expected a share"),
        (0.0, 1.0, 10, "must be above 0"),
        (2.0, 0.0, 10, "must be above 0"),
        (2.0, 1.0, 0, "must be above 0"),
    ],
)
def test_rates_that_nothing_can_be_planned_from(
    mean: float, spread: float | None, units_per_day: int, said: str
) -> None:
    with pytest.raises(DataError, match=said):
        planning.from_rates(experiment(), mean, spread, units_per_day)


def log(n: int, history: bool = False) -> pl.DataFrame:
    """Of ten units three buy; with a history, those who bought before are likelier to."""
    bought = np.tile([1.0, 0, 0, 1, 0, 0, 1, 0, 0, 0], n // 10)
    before = np.where(np.arange(n) % 7 == 0, 1 - bought, bought)
    return pl.DataFrame({"converted": bought, "events_before": before if history else np.zeros(n)})


def test_a_log_and_its_rate_and_spread_make_the_same_plan() -> None:
    given = experiment(primary="conversion", minimum_effect=0.9)
    units = log(100)
    mean, spread = units.select(mean=pl.col("converted").mean(), spread=pl.col("converted").std()).row(0)
    plan = planning.plan(units, given, units_per_day=10)
    assert plan.units == pytest.approx(planning.from_rates(given, mean, spread, 10).units, abs=1)
    assert planning.detectable(units, given, plan.units) == pytest.approx(0.9, rel=0.005)


def test_a_history_of_two_values_makes_the_plan_smaller() -> None:
    given = experiment(primary="conversion")
    without, with_history = (planning.plan(log(1000, history), given, units_per_day=10) for history in (False, True))
    assert with_history.units < 0.8 * without.units
    assert planning.detectable(log(1000, True), given, 5000) < 0.9 * planning.detectable(log(1000), given, 5000)


def test_two_units_that_differ_are_enough() -> None:
    units = pl.DataFrame({"converted": [0.0, 1.0], "events_before": [0.0, 0.0]})
    given = experiment(primary="conversion")
    assert planning.plan(units, given, units_per_day=10).units > 0
    assert planning.detectable(units, given, 100) > 0
    for few in (units.head(1), units.with_columns(converted=1.0)):
        with pytest.raises(DataError, match="the log has fewer than two units"):
            planning.plan(few, given, units_per_day=10)
        with pytest.raises(DataError, match="the log has fewer than two units"):
            planning.detectable(few, given, 100)
