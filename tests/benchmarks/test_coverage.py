"""The table of docs/quality.md is the one that the measured file gives."""

import json

import pytest

from benchmarks import coverage

MEASURED = {
    "provenance": {"commit": "0123456789", "date": "2026-11-20", "command": "python -m benchmarks.coverage"},
    "all": {"lines": 1001, "covered_lines": 1000, "branches": 10, "covered_branches": 5},
    "packages": {"recsys": {"lines": 1001, "covered_lines": 1000, "branches": 0, "covered_branches": 0}},
}


def test_the_page_shows_what_was_measured() -> None:
    shown = coverage.PAGE.read_text(encoding="utf-8").split(coverage.BEGIN)[1].split(coverage.END)[0].strip()
    measured = json.loads(coverage.RESULT.read_text(encoding="utf-8")) if coverage.RESULT.is_file() else None
    assert shown == (coverage.table(measured) if measured else "Not measured yet.")


def test_a_row_for_each_package_and_nothing_is_rounded_up_to_all() -> None:
    *_, package, total = coverage.table(MEASURED).splitlines()
    assert package == "| recsys | 1001 | 99.9 % | 0 |  |"
    assert total == "| **all** | 1001 | 99.9 % | 10 | 50.0 % |"


def test_a_run_that_fails_writes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coverage.sys, "executable", "false")
    with pytest.raises(SystemExit, match="a test fails"):
        coverage.measure()
