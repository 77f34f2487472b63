"""What a reader of a readout sees."""

import json
from base64 import b64decode
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib import pyplot
from matplotlib.figure import Figure

from recsys.experiments.analysis import report, run
from recsys.experiments.analysis.readout import Readout
from recsys.experiments.analysis.run import Moment
from tests.support.experiment_logs import answers, clickers, event, experiment, log_of


def made(passed: bool = True) -> Readout:
    """b has half as many clicks again as a; where the log is broken, three in four of the units are in b."""
    more = set(clickers(6000, 0.15, 4))
    rows = [event(u) for u in clickers(6000, 0.3)] + [event(u, item_id="i2") for u in more if u % 2]
    rows += [event(u, "purchase", 20.0 + u % 3, 90.0) for u in clickers(6000, 0.1, 5)]
    shown = answers(6000, arm_of=lambda u: "b" if u % 2 or (not passed and u % 4) else "a")
    return run.of("home", experiment(planned_units=5000, forced={"u1": "a", "u2": "b"}), log_of(shown, rows))


def test_the_text_says_what_to_do_and_why() -> None:
    text = report.text(made())
    assert "experiment home: 5,998 units of 5,000 planned" in text
    assert "b: SHIP. ctr" in text
    assert "events attributed: 2," in text
    assert "by request id; not attributed: none" in text
    assert "units left out: 2 put into an arm by hand" in text
    assert "guardrail ok: latency_ms of b: 0.00% answers over 100 ms" in text
    assert "the bootstrap over units gives ctr" in text
    assert "these units can detect a change of" in text
    failed = report.text(made(passed=False))
    assert "FAIL sample ratio" in failed
    assert "by request id; not attributed" in report.page(made())
    assert "b: STOP. not to be trusted: sample ratio" in failed


def test_the_page_needs_nothing_else_and_the_json_holds_every_figure(tmp_path: Path) -> None:
    found = made()
    report.write(found, {"b": [Moment(1e9, 10, 0.1, -0.1, 0.3)]}, tmp_path)
    page = (tmp_path / "readout.html").read_text()
    assert "http" not in page
    assert page.count("data:image/png;base64,") == 1
    assert "b: SHIP" in page
    figures = json.loads((tmp_path / "readout.json").read_text())
    assert {effect["metric"] for effect in figures["effects"]} == {"ctr", "conversion", "revenue", "latency_ms"}
    assert set(figures["segments"]) == {"warm"}
    assert figures["over_time"] == {"b": [{"at": 1e9, "units": 10, "difference": 0.1, "low": -0.1, "high": 0.3}]}
    assert figures["effects"][0]["p_value"] == found.effects[0].p_value


def test_a_folder_that_is_missing_is_made_and_one_that_is_there_is_written_again(tmp_path: Path) -> None:
    for _ in range(2):
        report.write(made(), {}, tmp_path / "reports" / "home")
    assert (tmp_path / "reports" / "home" / "readout.html").is_file()


def test_the_plot_has_both_intervals_and_the_difference_of_every_metric(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Figure] = []
    monkeypatch.setattr(pyplot, "close", drawn.append)
    effects = made().effects
    nothing_to_compare_with = replace(effects[0], control=0.0, relative=None)
    assert b64decode(report._plot([*effects, nothing_to_compare_with])).startswith(b"\x89PNG")
    (axes,) = drawn[0].axes
    assert [label.get_text() for label in axes.get_yticklabels()] == [
        f"b, {effect.metric}" for effect in reversed(effects)
    ]
    expected = []
    for place, effect in enumerate(reversed(effects)):
        percent = abs(effect.control) / 100
        expected += [([effect.anytime_low / percent, effect.anytime_high / percent], place)]
        expected += [([effect.low / percent, effect.high / percent], place), ([effect.difference / percent], place)]
    lines = axes.get_lines()
    for (xs, place), line in zip(expected, lines[:-1], strict=True):
        assert list(np.asarray(line.get_xdata())) == pytest.approx(xs)
        assert set(np.asarray(line.get_ydata())) == {place}
    assert set(np.asarray(lines[-1].get_xdata())) == {0}, "no change"
    assert [line.get_linewidth() for line in lines if len(np.asarray(line.get_xdata())) == 2] == [2, 5] * 4 + [1]
    assert drawn[0].get_size_inches().tolist() == pytest.approx([8, 0.8 + 0.5 * len(effects)])
    legend = axes.get_legend()
    assert legend is not None
    assert not legend.get_frame_on()
    assert [text.get_text() for text in legend.get_texts()] == ["anytime", "one look"]
