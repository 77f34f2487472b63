"""Decisions, plans and preferences, each from a small log or a few intervals that are written out."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import polars as pl
import pytest

from recsys.experiments.analysis import population, readout, run
from recsys.experiments.analysis.effects import Effect
from tests.support.experiment_logs import START, answers, clickers, event, experiment, log_of

EVEN = Effect("b", "ctr", 0.2, 0.2, 0.0, -0.1, 0.1, 0.0, -0.5, 0.5, 1.0, 1.0, 1.0, -0.2, 0.2)


def of(planned: int | None = 100, metric: str = "ctr", **changes: Any) -> tuple[str, str]:
    """What is decided after 100 units; changes: of an effect that is none."""
    given = experiment(primary=metric, planned_units=planned)
    return readout.decide(given, "b", [replace(EVEN, metric=metric, **changes)], [], 100, planned)


@pytest.mark.parametrize(
    ("metric", "low", "high", "anytime_low", "anytime_high", "decision"),
    [
        ("ctr", 0.1, 0.3, -0.1, 0.5, readout.SHIP),
        ("ctr", -0.3, -0.1, -0.5, 0.1, readout.KEEP),
        ("ctr", -0.3, -0.1, -0.5, -0.1, readout.STOP),
        ("fallback_rate", -0.3, -0.1, -0.5, 0.1, readout.SHIP),
        ("fallback_rate", -0.1, 0.3, -0.1, 0.5, readout.KEEP),
        ("fallback_rate", 0.2, 0.3, 0.1, 0.5, readout.STOP),
    ],
)
def test_a_metric_of_which_less_is_better_is_judged_the_other_way_round(
    metric: str, low: float, high: float, anytime_low: float, anytime_high: float, decision: str
) -> None:
    found, why = of(100, metric, low=low, high=high, anytime_low=anytime_low, anytime_high=anytime_high)
    assert found == decision
    if decision == readout.KEEP:
        assert (
            "no difference was found" if metric == "fallback_rate" else "worse, but not by the interval for every look"
        ) in why
    if decision == readout.STOP:
        assert "interval that allows peeking (-0.5 to -0.1)" in why


def test_before_the_planned_size_the_interval_that_allows_peeking_decides() -> None:
    early = of(1_000, low=0.1, high=0.3, anytime_low=-0.1, anytime_high=0.5)
    assert early[0] == readout.GO_ON
    assert "interval -0.1 to +0.5 by the interval that allows peeking" in early[1]
    less = of(1_000, "fallback_rate", low=-0.3, high=-0.1, anytime_low=-0.5, anytime_high=-0.2)
    assert less[0] == readout.SHIP
    assert "interval +0.2 to +0.5 by" in less[1]


def test_an_interval_that_ends_at_zero_shows_no_harm() -> None:
    assert of(1_000, anytime_high=0.0)[0] == readout.GO_ON
    assert "no difference was found" in of(high=0.0)[1]
    assert "worse, but not by the interval for every look" in of(high=-0.01)[1]


def test_an_answer_without_an_arm_is_in_an_unknown_one() -> None:
    shown = answers(4).with_columns(arm=pl.Series(["a", "b", None, "c"]), forced=pl.lit(False))
    people, left_out = population.randomised(shown, experiment())
    assert people["unit"].to_list() == ["u0", "u1"]
    assert left_out == {population.UNKNOWN_ARM: 2}


def test_segments_come_in_the_order_of_their_first_units() -> None:
    of_unit = {f"u{number}": f"s{number * 7 % 12}" for number in range(600)}
    shown = answers(600).with_columns(segment=pl.col("unit").replace_strict(of_unit))
    found = run.of("home", experiment(), log_of(shown, [event(u) for u in clickers(600, 0.4)]))
    assert list(found.segments) == list(dict.fromkeys(of_unit[unit] for unit in sorted(of_unit)))


def test_clicks_on_answers_that_two_lists_made_say_which_is_preferred() -> None:
    both = experiment(arms={"a": {"variant": "als", "weight": 0.5},
                            "b": {"variant": "als", "interleave": "popular", "weight": 0.5}})  # fmt: skip
    shown = answers(40).with_columns(
        teams=pl.when(pl.col("arm") == "b").then(pl.lit(["a", "b", "b"])).otherwise(pl.lit([], pl.List(pl.String)))
    )
    clicks = [event(u, item_id="i1" if u % 4 == 1 else "i2") for u in range(40)]
    found = run.preferences(both, log_of(shown, clicks))
    assert list(found) == ["b"]
    assert (found["b"].units, found["b"].score) == (20, 0.0)


@pytest.mark.parametrize(("minutes", "a_day"), [(6, 99 * 240 / 98), (0, 99 * 24)])
def test_the_pace_of_a_history_is_units_by_its_days_but_at_least_an_hour(minutes: int, a_day: float) -> None:
    times = [START + timedelta(minutes=minutes * number) for number in range(99)]
    shown = answers(99).with_columns(timestamp=pl.Series(times, dtype=pl.Datetime("us", "UTC")))
    units, _, pace = run._history(log_of(shown, []), experiment())
    assert units.height == 99
    assert pace == pytest.approx(a_day)
