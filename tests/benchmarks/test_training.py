"""Benchmarks of data, models and the pipeline, at toy size. What loads torch or implicit has a process of its own."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from benchmarks import pipeline as waiting
from benchmarks import results as tables
from benchmarks import rules, scale
from benchmarks.data import engines, read_csr, synthetic
from benchmarks.figures.training import SHOWN
from benchmarks.models import allow_repeat, calibration, content_cost
from tests.benchmarks.conftest import Results

Command = Callable[..., str]


def test_reading_events(results: Results) -> None:
    read_csr.main(3_000, turns=1)
    assert set(results("read_csr")["median"]) == {"recsys", "pandas", "polars_rank"}


def test_drawing_a_shop(results: Results) -> None:
    synthetic.main([2_000])
    (run,) = results("synthetic_drawing")["runs"]
    assert run["events"] == 2_000
    assert run["peak_memory_mib"] > 0


def test_cost_of_rules(results: Results) -> None:
    rules.main(sizes=(300,), times=3)
    assert all(milliseconds >= 0 for milliseconds in results("rules")["300 items"].values())


def test_what_a_user_waits_for(results: Results) -> None:
    fetch = "dvc repro --quiet fetch"
    commands = {"setup": "true", "demo": fetch, "repro": fetch, "test": "true"}
    waiting.main(commands, repeats=1, equal=("dvc.lock",))
    assert results("pipeline")["same"] == {"dvc.lock": True}


def test_scale_of_the_first_stages(results: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scale, "BUILD", tmp_path / "scale")
    scale.main({5_000: (150, 100)}, ["fetch", "prepare"])
    stages = results("scale")["sizes"]["5000"]["stages"]
    assert list(stages) == ["fetch", "prepare"]
    assert stages["fetch"]["peak_gib"] > 0


def test_engines_have_a_peak_and_the_same_bytes(
    results: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "BUILD", tmp_path)
    engines.main(20_000, 600, 200)
    found = results("engines")
    assert list(found["peak_gib"]) == ["local", "duckdb"]
    assert all(peak > 0 for stages in found["peak_gib"].values() for peak in stages.values())
    assert set(found["same_sha256"]) == {"prepare", "global_time", "per_user_holdout"}


def test_the_results_table(pipeline: Path) -> None:
    found = tables.figures(pipeline, "synthetic", 1.0)
    assert {row["metric"] for row in found["metrics"]} == set(SHOWN)
    assert found["segments"]["all"]["als"]["lift"]["popular"]


def test_repeat_purchases(pipeline: Path) -> None:
    table, facts = allow_repeat.measure(pipeline)
    assert set(table["variant"]) == set(allow_repeat.VARIANTS)
    assert facts.windows["test"].users > 0


def test_worth_and_cost_of_calibration(results: Results, pipeline: Path) -> None:
    calibration.main(pipeline, answers=5)
    found = results("calibration_synthetic")
    assert found["variants"]["als"]["after"]["brier"] <= found["variants"]["als"]["before"]["brier"]
    assert found["cost"]["answer_us"] > 0


def test_cost_of_the_content_model(results: Results, pipeline: Path) -> None:
    content_cost.main(pipeline, turns=1)
    assert results("content_cost_synthetic")["content_over_als"] > 0


def test_ways_to_recommend_new_items(results: Results, pipeline: Path, command: Command) -> None:
    command("benchmarks.models.new_items", pipeline)
    windows = results("new_items_synthetic")["windows"]
    assert set(windows) == {"valid", "test"}
    assert all(np.isfinite(way["ndcg@10"]) for way in windows["test"].values())


def test_the_grid_of_als_long(results: Results, pipeline: Path, command: Command) -> None:
    command("benchmarks.models.recency_grid", pipeline, 1)
    assert len(results("recency_grid_synthetic")["grid"]) == 1


def test_settings_that_are_found_beside_typed_ones(results: Results, pipeline: Path, command: Command) -> None:
    command("benchmarks.models.found_settings", pipeline, 1)
    found = results("found_settings_synthetic")
    assert {"popular", "als", "content"} <= set(found["ndcg@10"])
    assert all(one["typed"] > 0 and one["found"] > 0 for one in found["ndcg@10"].values())
    assert found["found"]["models"]["als"]["alpha"] > 0


def test_the_train_stage_beside_the_bare_fit(results: Results, command: Command) -> None:
    command("benchmarks.models.train_overhead", 5_000, 1)
    assert set(results("train_overhead")["stage_over"]) == {"bare_process", "bare_fit"}
