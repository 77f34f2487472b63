"""What a reader of a readout sees."""

import json
from pathlib import Path

from recsys.experiments.analysis import checks, readout, report
from recsys.experiments.analysis.readout import Readout
from tests.experiments.analysis.test_statistics import EXPERIMENT, shop


def made(passed: bool = True) -> Readout:
    check = checks.Check("sample ratio (p-value)", 0.4 if passed else 0.0, ">= 0.0005", passed)
    return readout.read("home", EXPERIMENT, shop(6000, 3, uplift=0.3), [check], 5000, 0.05, 2, "by request")


def test_the_text_says_what_to_do_and_why() -> None:
    text = report.text(made())
    assert "experiment home: 6,000 units of 5,000 planned" in text
    assert "b: SHIP. ctr" in text
    assert "the bootstrap over units gives ctr" in text
    assert "should there be one" in text
    failed = report.text(made(passed=False))
    assert "FAIL sample ratio" in failed
    assert "b: STOP. not to be trusted: sample ratio" in failed


def test_the_page_needs_nothing_else_and_the_json_holds_every_figure(tmp_path: Path) -> None:
    found = made()
    report.write(found, tmp_path)
    page = (tmp_path / "readout.html").read_text()
    assert "http" not in page
    assert page.count("data:image/png;base64,") == 1
    assert "b: SHIP" in page
    figures = json.loads((tmp_path / "readout.json").read_text())
    assert {effect["metric"] for effect in figures["effects"]} == {"ctr", "conversion", "revenue", "latency_ms"}
    assert set(figures["segments"]) == {"warm"}
    assert figures["effects"][0]["p_value"] == found.effects[0].p_value
