"""Clicks find their answers, and what does not fit is noticed."""

import math
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from recsys.experiments.analysis import checks, join
from recsys.experiments.analysis.log import Log
from recsys.experiments.online.assignment import arm_of, bucket
from recsys.experiments.online.config import Experiment

START = datetime(2026, 1, 1, tzinfo=UTC)
HALVES = {"a": {"variant": "x", "weight": 0.5}, "b": {"variant": "y", "weight": 0.5}}


def test_attribution() -> None:
    exposures = pl.DataFrame(
        {
            "request_id": ["r1", "r2", "r3"],
            "unit": ["u", "u", "v"],
            "arm": ["a", "a", "b"],
            "segment": ["warm"] * 3,
            "timestamp": [START, START + timedelta(hours=1), START],
            "items": [["x", "y"], ["x"], ["x"]],
            "fallback": [False, True, False],
            "latency_ms": [1.0, 2.0, 3.0],
        }
    )
    rows = [
        ("1", "u", "click", "x", None, START + timedelta(minutes=1), "r1"),  # named
        ("2", "u", "click", "x", None, START + timedelta(minutes=2), "r1"),  # the same place again
        ("3", "u", "purchase", "x", 9.5, START + timedelta(hours=2), None),  # the last answer that showed it
        ("4", "v", "click", "y", None, START + timedelta(minutes=5), None),  # was never shown to v
        ("5", "v", "click", "x", None, START + timedelta(hours=30), None),  # too late
        ("6", "u", "click", "y", None, START + timedelta(minutes=5), "r9"),  # an unknown answer: by window
        ("7", "u", "click", "z", None, START + timedelta(minutes=5), "r9"),  # an unknown answer, and no other showed it
        ("3", "u", "purchase", "x", 9.5, START + timedelta(hours=2), None),  # sent twice
    ]
    columns = ["event_id", "unit", "event", "item_id", "value", "timestamp", "request_id"]
    events = pl.DataFrame(rows, schema=columns, orient="row")
    raw = Log(exposures, events, events.clear()).cleaned()[0]
    found = join.attribute(exposures, raw.events, join.Rule(24))
    assert dict(found.select("event_id", "request_id").iter_rows()) == {"1": "r1", "2": "r1", "3": "r2", "6": "r1"}
    units = join.by_unit(exposures, found, events.clear())
    first = units.row(0, named=True)
    assert (first["unit"], first["requests"], first["slots"], first["clicks"]) == ("u", 2, 3, 2)
    assert (first["purchases"], first["revenue"], first["converted"], first["fallbacks"]) == (1, 9.5, 1, 1)
    assert units.row(1, named=True)["clicks"] == 0
    why = join.classify(exposures, raw.events, join.Rule(24))
    assert dict(why.select("event_id", "how").iter_rows()) == {
        "1": join.BY_REQUEST,
        "2": join.BY_REQUEST,
        "3": join.BY_WINDOW,
        "4": join.NOT_SHOWN,
        "5": join.NOT_SHOWN,
        "6": join.BY_WINDOW,
        "7": join.LOST,
    }
    named = {check.name: check for check in checks.instrumentation(why)}
    assert named["clicks on answers that are not in the log"].found == pytest.approx(1 / 4)
    assert not named["clicks on answers that are not in the log"].passed


def test_answers_lost_in_one_arm_are_noticed() -> None:
    """Clicks that name no logged answer: spread over all units they pass, from one arm alone they do not."""
    experiment = Experiment.model_validate({"arms": HALVES})
    units = [f"unit-{number}" for number in range(400)]
    mine = [unit for unit in units if arm_of(experiment, bucket("e", unit)) == "b"]
    logged = pl.DataFrame({"request_id": ["other"]})

    def clicks(of: list[str]) -> pl.DataFrame:
        return pl.DataFrame({"event": "click", "unit": of, "request_id": [f"r{at}" for at in range(len(of))]})

    assert checks.equal_loss(logged, clicks(units), "e", experiment).passed
    assert not checks.equal_loss(logged, clicks(mine), "e", experiment).passed


def test_an_arm_that_is_clicked_more_is_not_accused_of_losing_more() -> None:
    """1 % of all answers are lost; b is clicked three times as often, on lost answers as on the others."""
    experiment = Experiment.model_validate({"arms": HALVES})
    chance = np.random.default_rng(1)
    rows = []
    for unit in (f"unit-{number}" for number in range(40_000)):
        in_b = arm_of(experiment, bucket("e", unit)) == "b"
        if chance.random() < (0.6 if in_b else 0.2):
            rows.append((unit, "click", f"lost-{unit}" if chance.random() < 0.01 else "there"))
    events = pl.DataFrame(rows, schema=["unit", "event", "request_id"], orient="row")
    found = checks.equal_loss(pl.DataFrame({"request_id": ["there"]}), events, "e", experiment)
    assert found.passed
    assert found.found > 0.05


@pytest.mark.parametrize("lost_in_b", [4, 9])
def test_the_test_of_lost_answers_is_pearsons_without_correction(lost_in_b: int) -> None:
    """By hand: sum of (found - expected)^2 / expected over the table of arms, one degree of freedom."""
    experiment = Experiment.model_validate({"arms": HALVES})
    by_arm: dict[str, list[str]] = {"a": [], "b": []}
    for number in range(400):
        by_arm[arm_of(experiment, bucket("e", f"unit-{number}")) or ""].append(f"unit-{number}")
    lost = {"a": by_arm["a"][:3], "b": by_arm["b"][:lost_in_b]}
    kept = {"a": by_arm["a"][3:90], "b": by_arm["b"][lost_in_b:90]}
    rows: list[tuple[str, str, bool | None]] = [
        (unit, f"lost-{unit}", None) for units in lost.values() for unit in units
    ]
    rows += [(unit, "there", None) for units in kept.values() for unit in units]
    rows.append((by_arm["a"][100], "on-another-surface", True))
    schema = {"unit": pl.String, "request_id": pl.String, "elsewhere": pl.Boolean}
    events = pl.DataFrame(rows, schema=schema, orient="row").with_columns(event=pl.lit("click"))
    found = checks.equal_loss(pl.DataFrame({"request_id": ["there"]}), events, "e", experiment)
    table = np.array([[3, 87], [lost_in_b, 90 - lost_in_b]])
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / table.sum()
    statistic = float(((table - expected) ** 2 / expected).sum())
    assert found.found == pytest.approx(math.erfc(math.sqrt(statistic / 2)))
