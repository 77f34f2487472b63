"""Experiments and data: what their files say, and a sentence where there is none."""

import json
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from serving.console import reports
from serving.settings import Settings
from tests.support.apps import Start, new_store, until, until_ready

ARMS = "{control: {variant: als, weight: 0.5}, popular: {variant: popular, weight: 0.5}}"


def test_without_files_the_pages_say_how_to_get_them(
    console: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reports, "DATA", tmp_path / "data.json")
    assert "<code>dvc repro</code> writes it" in console.get("/console/data").text
    (tmp_path / "data.json").write_text("{")
    assert "<code>dvc repro</code> writes it" in console.get("/console/data").text
    monkeypatch.setattr(reports, "RUNS", tmp_path / "retrain.log")
    assert "<code>recsys retrain</code> writes it" in console.get("/console/data").text
    (tmp_path / "retrain.log").write_text("".join(f"02:{minute:02} <i>done</i>\n" for minute in range(40)))
    lines = console.get("/console/data").text.split("&lt;i&gt;done")
    assert (len(lines) - 1, lines[0].endswith("02:39 ")) == (reports.LINES, True)
    assert "None is running" in console.get("/console/experiments").text


def test_the_counts_of_the_pipeline_are_shown(
    console: TestClient, pipeline: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reports, "DATA", pipeline / "metrics" / "data.json")
    counts = json.loads((pipeline / "metrics" / "data.json").read_text())["interactions"]
    page = console.get("/console/data").text
    assert f"{counts['kept']:,} of {counts['read']:,} rows kept" in page
    for reason, n in counts["reasons"].items():
        assert f'<span>{reason.replace("_", " ")}</span><span class="value">{n:,} rows' in page


def test_units_of_arms_are_counted_and_the_readout_is_shown(
    bundle_folder: Path, start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "experiments.yaml").write_text(f"experiments: {{pop: {{arms: {ARMS}}}}}\n")
    monkeypatch.setattr(reports, "READOUTS", tmp_path)
    named = Settings(bundle=bundle_folder, experiments=tmp_path / "experiments.yaml", store_url=new_store(tmp_path))
    with start(named) as client:
        client.base_url = "http://localhost"
        until_ready(client)
        arms = [
            client.post("/v1/recommend", json={"user_id": f"u{number}"}).json()["meta"]["experiment"]["variant"]
            for number in range(10) for _ in range(2)
        ]  # fmt: skip
        control = arms.count("control") // 2
        until(lambda: f"{control} units, {10 * control} % (50 %)" in client.get("/console/experiments").text)
        assert "recsys experiment readout pop</code> writes one" in client.get("/console/experiments").text
        effect = {"arm": "popular", "metric": "ctr", "control": 0.1, "value": 0.2, "relative": 1.0}
        effect |= {"anytime_low": -0.05, "anytime_high": 0.25}
        check = {"name": "sample ratio", "found": 0.5, "limit": ">= 0.0005", "passed": False}
        readout = {"decisions": {"popular": ["go on", "<b>too early</b>"]}, "effects": [effect], "checks": [check]}
        (tmp_path / "pop").mkdir()
        (tmp_path / "pop" / "readout.json").write_text(json.dumps(readout))
        page = client.get("/console/experiments").text
        assert "<b>popular: go on.</b> &lt;b&gt;too early&lt;/b&gt;" in page
        assert "between -0.05 and +0.25" in page
        assert '<b class="bad">failed</b> sample ratio' in page
