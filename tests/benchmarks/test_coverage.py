"""Coverage is counted by package, and only when all tests pass; what mutants show is looked at."""

import json
import sys
from pathlib import Path

import pytest

from benchmarks import coverage, provenance
from benchmarks.figures import quality
from benchmarks.mutation.survivors import EXPLAINED


def test_a_row_for_each_package_and_nothing_is_rounded_up_to_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    summary = {"num_statements": 1001, "covered_lines": 1000, "num_branches": 0, "covered_branches": 0}
    measured = coverage.by_package({"recsys/data/a.py": {"summary": summary}, "recsys/errors.py": {"summary": summary}})
    monkeypatch.setattr(provenance, "RESULTS", tmp_path)
    assert quality.coverage() == "Not measured yet."
    provenance.write("coverage", provenance.describe(), measured, tmp_path)
    lines = quality.coverage().splitlines()
    assert "| recsys/data | 1001 | 99.9 % | 0 |  |" in lines
    assert "| **all** | 2002 | 99.9 % | 0 |  |" in lines
    assert json.loads((tmp_path / "coverage.json").read_text())["all"]["covered_lines"] == 2000


def test_a_run_that_fails_writes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "false")
    with pytest.raises(SystemExit, match="a test fails"):
        coverage.measure()


def test_of_a_thousand_mutants_nearly_all_are_noticed_and_each_survivor_has_its_reason() -> None:
    found = json.loads((provenance.RESULTS / "mutation.json").read_text())
    assert found["mutants"] >= 1_000
    assert found["killed_share"] >= 0.95
    unexplained = [row for row in found["survivors"] if (row["path"], row["what"], row["code"]) not in EXPLAINED]
    assert unexplained == []
