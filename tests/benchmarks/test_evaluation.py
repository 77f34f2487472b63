"""Benchmarks of the evaluation at toy size."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.evaluation import gate
from recsys import params
from tests.benchmarks.conftest import Results

Command = Callable[..., str]


def test_what_the_gate_promotes(results: Results, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["gate", "--sets", "40", "--users", "5000"])
    gate.main()
    promoted = {row["scenario"]: row["promoted"] for row in results("gate")["figures"].values()}
    assert promoted["equal"] <= 0.1
    assert promoted["equal_to_each"] <= 0.1
    assert promoted["better"] > 0.7
    assert promoted["better_than"] > 0.7


def test_what_each_model_is_worth(results: Results, command: Command, pipeline: Path) -> None:
    command("benchmarks.evaluation.ablate", str(pipeline))
    found = results("ablate_synthetic")
    assert set(found["without"]) == set(params.load(pipeline / "params.yaml").models)
    assert found["as_good"]["0.5"]["segments"]["all"]["change"] <= 0


def test_how_a_model_ages(results: Results, command: Command, pipeline: Path) -> None:
    command("benchmarks.evaluation.rolling", str(pipeline))
    found = results("rolling_synthetic")
    assert {row["kept"] for row in found["rows"] if row["age_days"] == 0} == {1.0}
    assert found["train_every_days"] > 0
