"""A log from which nothing can be read gives one clear line: never an exception, never a sound readout."""

import json
import math
from dataclasses import asdict
from typing import Any

import polars as pl
import pytest

from recsys.experiments.analysis import population, report, run
from recsys.experiments.analysis.log import Log
from recsys.experiments.analysis.readout import Readout
from tests.support.experiment_logs import HALVES, answers, clickers, event, experiment, log_of, shown_at, trusted

THREE = {"c": {"variant": "learned", "weight": 1 / 3}} | {
    name: {**arm, "weight": 1 / 3} for name, arm in HALVES.items()
}


def readout(raw: Log, **more: Any) -> Readout:
    """The readout, after every form of it was made."""
    found = run.of("x", experiment(**more), raw)
    assert report.text(found)
    assert "</html>" in report.page(found)
    json.dumps(asdict(found), allow_nan=False)
    return found


def refused(raw: Log, word: str, says: str, **more: Any) -> Readout:
    found = readout(raw, **more)
    assert not trusted(found)
    for what, why in found.decisions.values():
        assert what == word
        assert says in why
        assert "\n" not in why
    return found


def some(n: int = 4000) -> list[dict[str, Any]]:
    return [event(number, "purchase", 10.0, 60.0) for number in clickers(n, 0.3)] + [
        event(number) for number in clickers(n, 0.4)
    ]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e300, -1e300, 1.1e12])
def test_an_amount_that_is_none(value: float) -> None:
    rows = [*some(), event(5, "purchase", value, 70.0, event_id="odd")]
    found = refused(log_of(answers(4000), rows), "stop", "amounts that are no usable numbers 1", primary="revenue")
    assert found.cleaned["amounts that are no numbers"] == 1
    assert all(math.isfinite(effect.difference) for effect in found.effects)


@pytest.mark.parametrize("value", [math.nan, math.inf, 1e300, -5.0])
def test_a_latency_that_is_none(value: float) -> None:
    shown = answers(4000).with_columns(latency_ms=pl.when(pl.col("unit") == "u7").then(value).otherwise("latency_ms"))
    refused(log_of(shown, some()), "stop", "amounts that are no usable numbers")


def test_an_absent_amount_or_latency_is_none() -> None:
    rows = [*some(), event(5, "purchase", None, 70.0, event_id="without")]
    assert trusted(readout(log_of(answers(4000).with_columns(latency_ms=pl.lit(None, pl.Float64)), rows)))


@pytest.mark.parametrize("metric", ["ctr", "conversion", "revenue"])
def test_a_log_without_outcomes(metric: str) -> None:
    refused(log_of(answers(4000), []), "go on", f"arms in which {metric} can be compared: no outcome", primary=metric)


def test_one_arm_is_empty() -> None:
    raw = log_of(answers(8, arm_of=lambda number: "a"), [event(1)])
    refused(raw, "go on", "units in the smallest arm 0, expected >= 2")
    raw = log_of(answers(4000, arm_of=lambda number: "a"), some())
    refused(raw, "stop", "sample ratio")
    raw = log_of(answers(4000, arm_of=lambda number: "b"), some())
    refused(raw, "stop", "sample ratio")


def test_one_arm_of_three_is_empty() -> None:
    raw = log_of(answers(4000), some())
    found = refused(raw, "stop", "units in the smallest arm 0", arms=THREE)
    assert set(found.decisions) == {"a", "b"}


@pytest.mark.parametrize("n", [0, 1, 2, 3])
@pytest.mark.parametrize("clicked", [True, False])
def test_hardly_any_unit(n: int, clicked: bool) -> None:
    rows = [event(number) for number in range(n)] if clicked else []
    refused(log_of(answers(n), rows), "go on", "units in the smallest arm")


def test_every_unit_does_the_same() -> None:
    rows = [event(number) for number in range(400)]
    refused(log_of(answers(400), rows), "go on", "can be compared: every unit did the same")
    one_arm = [event(number) for number in range(0, 400, 2)]
    refused(log_of(answers(400), one_arm), "go on", "can be compared: every unit did the same")


def test_answers_without_items() -> None:
    shown = answers(400).with_columns(items=pl.lit([], pl.List(pl.String)))
    refused(log_of(shown, some(400)), "go on", "arms in which ctr can be compared: no outcome was logged")


def test_weights_as_people_write_them() -> None:
    arms = {name: {"variant": "als", "weight": 0.3333333} for name in "abc"}
    raw = log_of(answers(6000, arm_of=lambda number: "abc"[number % 3]), some(6000))
    assert trusted(readout(raw, arms=arms))


def test_units_that_nobody_drew_are_in_no_statistic() -> None:
    """Testers by the file and by the log, an arm that is gone, units in both arms: as if they were not there."""
    clean = log_of(answers(4000), some())
    shown = answers(4060).with_columns(
        arm=pl.when(pl.col("unit").is_in([f"u{number}" for number in range(4040, 4060)]))
        .then(pl.lit("gone"))
        .otherwise(pl.lit("b")),
        forced=pl.col("unit").is_in([f"u{number}" for number in range(4000, 4020)]),
    )[4000:]
    both = answers(4)[2:3].with_columns(request_id=pl.lit("again") + pl.col("unit"), arm=pl.lit("b"), forced=False)
    dirt = [event(number, event_id=f"{k}-{number}", item_id=f"i{k}") for number in range(4000, 4060) for k in (1, 2, 3)]
    raw = log_of(pl.concat([answers(4000, forced=False), shown, both]), [*some(), *dirt])
    found = readout(raw, forced={f"u{number}": "b" for number in range(4020, 4040)})
    assert found.left_out == {population.BY_HAND: 40, population.UNKNOWN_ARM: 20, population.SEVERAL_ARMS: 1}
    assert "40 put into an arm by hand, 20 in an arm that the experiment does not have" in report.text(found)
    expected = readout(log_of(clean.exposures.filter(pl.col("unit") != "u2"), some()))
    assert trusted(found)
    assert found.effects == expected.effects
    assert found.units == expected.units


def test_machines_are_left_out() -> None:
    """600 answers in a day, each with a click: kept, they would triple the rate of b."""
    robot = answers(600, arm_of=lambda number: "b", unit="robot").with_columns(
        request_id=pl.lit("r") + pl.col("request_id")
    )
    rows = [event(number, event_id=f"r{number}", unit="robot", request_id=f"rq{number}") for number in range(600)]
    found = readout(log_of(pl.concat([answers(4000), robot]), [*some(), *rows]))
    assert found.left_out == {population.MACHINES: 1}
    assert found.effects == readout(log_of(answers(4000), some())).effects


def test_what_is_delivered_again_counts_once() -> None:
    """With its id or a new one, and an answer logged twice; equal events without a time of their client both count."""
    rows = some()
    again = rows + [{**row, "event_id": row["event_id"] + "-again"} for row in rows]
    twice = log_of(pl.concat([answers(4000), answers(4000)]), rows + again)
    found, expected = readout(twice), readout(log_of(answers(4000), rows))
    assert trusted(found)
    assert found.effects == expected.effects
    assert found.cleaned == {
        "answers logged twice": 4000,
        "events delivered twice": len(rows),
        "events delivered twice, under other ids": len(rows),
    }
    two = [event(number, "purchase", 10.0, event_id=f"{k}-{number}") for number in range(50) for k in "ab"]
    stamped = [{**row, "received": row["timestamp"]} for row in two]
    assert readout(log_of(answers(4000), stamped)).cleaned == {}


@pytest.mark.parametrize("value", [10.0, -10.0, None])
def test_a_return_takes_back_what_was_paid_however_it_is_written(value: float | None) -> None:
    """Below zero, it would count as revenue; without an amount, as nothing."""
    back = [event(number, "return", value, 90.0) for number in clickers(4000, 0.3) if number % 2]
    found = readout(log_of(answers(4000), some() + back), primary="revenue")
    assert [effect.value for effect in found.effects if effect.metric == "revenue"] == [0.0]
    assert found.decisions["b"][0] == "stop"


def test_refunds_of_more_than_was_paid_are_found() -> None:
    """In cents, or delivered twice with other times; a refund with the postage is not worth a word."""
    buyers = clickers(4000, 0.3)
    twice = [
        event(number, "return", 10.0, 90.0 + k, event_id=f"{k}-{number}") for number in buyers[:200] for k in (1, 2)
    ]
    refused(log_of(answers(4000), some() + twice), "stop", "more was returned than paid 0.16", primary="revenue")
    assert trusted(readout(log_of(answers(4000), some() + twice)))
    postage = [event(number, "return", 14.9, 90.0) for number in buyers[:10]]
    assert trusted(readout(log_of(answers(4000), some() + postage), primary="revenue"))


def test_an_arm_whose_variant_was_changed_is_two_experiments() -> None:
    changed = pl.when((pl.col("arm") == "b") & (pl.col("timestamp") > shown_at(2000))).then(pl.lit("learned"))
    before = answers(4000, variant="popular")
    refused(log_of(before.with_columns(variant=changed.otherwise("variant")), some()), "stop", "variants of one arm")
    assert trusted(readout(log_of(before, some())))
