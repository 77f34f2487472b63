"""Benchmarks of the evaluation at toy size."""

import sys

import pytest

from benchmarks.evaluation import gate
from tests.benchmarks.conftest import Results


def test_what_the_gate_promotes(results: Results, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["gate", "--sets", "40", "--users", "5000"])
    gate.main()
    promoted = {row["scenario"]: row["promoted"] for row in results("gate")["figures"].values()}
    assert promoted["equal"] <= 0.1
    assert promoted["equal_to_each"] <= 0.1
    assert promoted["better"] > 0.7
    assert promoted["better_than"] > 0.7
