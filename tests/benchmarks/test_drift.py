"""The benchmark of drift at toy size."""

import sys

import pytest

from benchmarks.drift import windows
from tests.benchmarks.conftest import Results


def test_drift_alarms_on_shifts_not_on_nothing(results: Results, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["windows", "--windows", "16", "--shifted", "2"])
    monkeypatch.setattr(windows, "SIZES", (100, 500, 1_000))
    monkeypatch.setattr(windows, "SHIFTS", ((2_000, 0.2),))
    windows.main()
    rows = {(row["test"], row["answers"], row["shift"]): row for row in results("drift")["rows"]}
    assert all(row["alarms"] <= 2 for (test, _, shift), row in rows.items() if not shift and test in windows.OURS)
    assert rows["weeks", 2_000, 0.2]["alarms"] == rows["reference", 2_000, 0.2]["alarms"] == 2
    assert rows["alike", 2_000, 0.2]["alarms"] == 2
    assert rows["psi", 100, 0.0]["rate"] > 0.5
    assert rows["unpaired", 500, 0.0]["rate"] > 0.5
