"""The stage writes what `dvc metrics`, `dvc plots`, the gate and people read; the same input gives the same bytes."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from recsys.bundle import bundle, calibration
from recsys.evaluation import results

RELIABILITY = ("ece", "ece_by_chance", "brier")


def evaluate(pipeline: Path, out: Path, **changed: Path) -> subprocess.CompletedProcess[str]:
    folders = {name: Path(name) for name in ("models", "indexes")}
    folders |= {"split": Path("data/split"), "rankers": Path("rankers/test")} | changed
    options = [text for name, path in folders.items() for text in (f"--{name}", str(path))]
    command = [sys.executable, "-m", "recsys.stages.evaluate", *options]
    command += ["--metrics", str(out / "metrics"), "--report", str(out / "reports" / "offline.html")]
    return subprocess.run(command, cwd=pipeline, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def done(pipeline: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    out = tmp_path_factory.mktemp("evaluate")
    ran = evaluate(pipeline, out)
    assert ran.returncode == 0, ran.stderr
    return out, ran.stdout


def test_the_same_bytes_as_under_dvc(pipeline: Path, done: tuple[Path, str]) -> None:
    files = sorted(path.relative_to(done[0]) for path in done[0].rglob("*") if path.is_file())
    assert {
        "als.json",
        "popular.json",
        "random.json",
        "intervals.csv",
        "curve.csv",
        "new_users.csv",
        "ramp.csv",
        "calibration.csv",
        "calibration.json",
        "offline.html",
    } <= {path.name for path in files}
    for path in files:
        assert (done[0] / path).read_bytes() == (pipeline / path).read_bytes(), path


def test_the_parts_agree(done: tuple[Path, str]) -> None:
    table = results.against(results.read(done[0] / "metrics" / "intervals.csv"), "random")
    for path in (done[0] / "metrics" / "offline").iterdir():
        flat = json.loads(path.read_text())
        confident = () if path.stem == "live" else RELIABILITY  # its scores are live counts, and there are none
        assert {"recall@10", "ndcg@20", "coverage@10", "warm.ndcg@10", *confident} <= flat.keys()
        for name, value in flat.items() - {(name, flat[name]) for name in confident}:
            segment, metric = name.split(".") if "." in name else ("all", name)
            assert table.filter(variant=path.stem, segment=segment, metric=metric)["value"].to_list() == [value]
    als = table.filter(variant="als", segment="all", metric="ndcg@10").row(0, named=True)
    assert als["low"] < als["value"] < als["high"]
    assert f"{als['value']:.4f}" in done[1]


def test_a_model_beats_random_on_a_shop_with_tastes(done: tuple[Path, str]) -> None:
    table = results.read(done[0] / "metrics" / "intervals.csv").filter(
        segment="all", metric="recall@20", baseline="als"
    )
    value = dict(table.select("variant", "value").iter_rows())
    assert value["als"] > 2 * value["random"]
    assert value["popular"] > value["random"]


def test_confidence_is_released_and_near_what_came_true(done: tuple[Path, str], pipeline: Path) -> None:
    """In a window that it never saw, and as near as so few slots can tell."""
    fitted = calibration.load(done[0] / "metrics" / "calibration.json")
    assert bundle.load(pipeline / "bundle").calibration == fitted
    assert fitted.horizon_days is not None
    table = pl.read_csv(done[0] / "metrics" / "calibration.csv").filter(variant="als")
    slots = table["slots"].to_numpy()
    off = np.abs(table["confidence"].to_numpy() - table["wanted"].to_numpy()) * slots
    flat = json.loads((done[0] / "metrics" / "offline" / "als.json").read_text())
    assert flat["ece"] == pytest.approx(off.sum() / slots.sum(), abs=2e-6)
    assert flat["ece"] < 2 * flat["ece_by_chance"] < table["wanted"].mean()


def test_a_missing_model_is_one_line_and_the_old_outputs_stay(
    pipeline: Path, done: tuple[Path, str], tmp_path: Path
) -> None:
    shutil.copytree(done[0], tmp_path / "old")
    ran = evaluate(pipeline, tmp_path / "old", models=tmp_path / "nothing")
    assert ran.returncode == 1
    assert ran.stderr.count("\n") == 1
    assert ran.stderr.startswith(f"error: {tmp_path / 'nothing' / 'valid' / 'als'}: no such folder")
    for path in done[0].rglob("*.*"):
        if path.is_file():
            assert (tmp_path / "old" / path.relative_to(done[0])).read_bytes() == path.read_bytes()
