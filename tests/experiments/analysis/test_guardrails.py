"""Guardrails are budgets or margins: a better arm that keeps them is shipped, however much slower than the control."""

from typing import Any

import numpy as np
import polars as pl
import pytest

from recsys.errors import ParamsError
from recsys.experiments.analysis import run
from recsys.experiments.analysis.readout import Readout
from recsys.experiments.online import config
from recsys.experiments.online.config import GUARDRAILS, MARGIN, Guardrail
from tests.support.experiment_logs import HALVES, answers, clickers, event, experiment, log_of, trusted

N = 6000


def tried(
    *, a: float = 12.0, b: float = 12.0, slow_b: float = 0.0, fallbacks: tuple[float, float] = (0.0, 0.0), **more: Any
) -> Readout:
    """b has 68 % more clicks; a, b: milliseconds; slow_b: share of b's answers that take half a second."""
    draw = np.random.default_rng(4)
    ms = np.where(np.arange(N) % 2, b, a) + draw.normal(0, 1, N)
    ms[(draw.random(N) < slow_b) & (np.arange(N) % 2 == 1)] = 500.0
    fell = draw.random(N) < np.where(np.arange(N) % 2, fallbacks[1], fallbacks[0])
    shown = answers(N).with_columns(latency_ms=pl.Series(ms), fallback=pl.Series(fell))
    rows = [event(u) for u in clickers(N, 0.20)] + [event(u, item_id="i2") for u in clickers(N, 0.136, 5) if u % 2]
    buys = [event(u, "purchase", 10.0, 50.0) for u in clickers(N, 0.2, 6)]
    return run.of("x", experiment(**more), log_of(shown, rows + buys))


@pytest.mark.parametrize("b", [12.6, 20.0, 60.0, 95.0])
def test_a_slower_model_inside_its_budget_is_shipped(b: float) -> None:
    found = tried(b=b)
    assert trusted(found)
    assert found.decisions["b"][0] == "ship"
    assert not any(state.broken for state in found.guardrails)


@pytest.mark.parametrize(("b", "slow_b"), [(150.0, 0.0), (12.0, 0.03), (500.0, 1.0)])
def test_an_arm_over_its_latency_budget_is_stopped(b: float, slow_b: float) -> None:
    what, why = tried(b=b, slow_b=slow_b).decisions["b"]
    assert what == "stop"
    assert "guardrail" in why
    assert "answers over 100 ms" in why
    assert tried(b=b, slow_b=slow_b, guardrails={"latency_ms": {"budget": 1000}}).decisions["b"][0] == "ship"


def test_one_slow_answer_in_a_hundred_is_within_the_budget() -> None:
    assert tried(slow_b=0.008).decisions["b"][0] == "ship"


def test_a_budget_that_the_control_breaks_as_well_is_not_the_arms_fault() -> None:
    assert tried(a=300.0, b=300.0).decisions["b"][0] == "ship"
    assert tried(fallbacks=(0.4, 0.4)).decisions["b"][0] == "ship"


@pytest.mark.parametrize(("rate", "word"), [(0.0, "ship"), (0.02, "ship"), (0.2, "stop"), (1.0, "stop")])
def test_the_fallback_rate_has_a_bound(rate: float, word: str) -> None:
    found = tried(fallbacks=(0.0, rate))
    assert found.decisions["b"][0] == word
    assert f"at most {0.05:.2%}" in next(state.says for state in found.guardrails if state.metric == "fallback_rate")


def test_a_margin_has_to_be_shown() -> None:
    """Conversion is alike in both arms: 50 % worse is ruled out, 1 % worse is not, and neither stops."""
    assert tried(guardrails={"conversion": {"margin": 0.5}}).decisions["b"][0] == "ship"
    what, why = tried(guardrails={"conversion": {"margin": 0.01}}).decisions["b"]
    assert what == "go on"
    assert tried(guardrails={"conversion": {"margin": 0.01}}, planned_units=N).decisions["b"][0] == "keep the control"
    assert "not shown to keep its margin: conversion of b" in why


def test_an_arm_that_is_worse_by_more_than_its_margin_is_stopped() -> None:
    what, why = tried(b=60.0, guardrails={"latency_ms": {"margin": 0.5}}).decisions["b"]
    assert what == "stop"
    assert "at most 50.0% worse" in why


def test_a_list_of_guardrails_takes_the_defaults() -> None:
    given = experiment(guardrails=["latency_ms", "conversion"]).guardrails
    assert given == {"latency_ms": GUARDRAILS["latency_ms"], "conversion": MARGIN}
    assert experiment(guardrails=[]).guardrails == {}


@pytest.mark.parametrize(
    ("guardrails", "message"),
    [
        ({"conversion": {"budget": 0.5}}, "conversion cannot have a budget, set a margin"),
        ({"latency_ms": {"budget": 100, "margin": 0.1}}, "either a budget or a margin, not both"),
        ({"latency_ms": {}}, "either a budget or a margin, not both"),
        ({"clicks": {"margin": 0.1}}, "clicks"),
    ],
)
def test_wrong_guardrails_are_refused(guardrails: dict[str, Any], message: str, tmp_path: Any) -> None:
    path = tmp_path / "experiments.yaml"
    path.write_text(str({"experiments": {"home": {"arms": HALVES, "guardrails": guardrails}}}))
    with pytest.raises(ParamsError, match=message):
        config.load(path)
    assert Guardrail(budget=0.0).budget == 0.0
