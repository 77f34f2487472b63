"""`recsys retrain` in a real workspace: it releases, does nothing twice, and keeps the last good release."""

import fcntl
import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from recsys.bundle import releases
from recsys.cli import retrain
from recsys.output import write_text


@pytest.fixture(scope="module")
def workspace(pipeline: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("retrain") / "workspace"
    shutil.copytree(pipeline, folder, symlinks=True)
    return folder


def run(workspace: Path, *more: str) -> int:
    command = [sys.executable, "-m", "recsys.cli", "retrain", *more]
    environment = {**os.environ, "PYTHONPATH": str(workspace)}
    return subprocess.run(command, cwd=workspace, env=environment, check=False).returncode


def test_it_releases_once_and_keeps_the_release_when_something_fails(workspace: Path) -> None:
    folder = workspace / "releases"
    assert run(workspace) == retrain.RELEASED
    current = releases.current(folder)
    assert run(workspace, "--no-fetch") == retrain.NOTHING_NEW
    lock = (workspace / "dvc.lock").read_text()
    (workspace / "dvc.lock").write_text(lock[: len(lock) // 2])  # as a killed run leaves it
    assert run(workspace, "--no-fetch") == retrain.NOTHING_NEW
    assert (workspace / "dvc.lock").read_text() == lock
    params = (workspace / "params.yaml").read_text()
    (workspace / "params.yaml").write_text(params.replace("seed:", "sead:", 1))
    assert run(workspace, "--no-fetch") == retrain.FAILED
    (workspace / "params.yaml").write_text(params)
    (workspace / "bundle" / "demand.npy").unlink()  # DVC has it in its cache, and puts it back
    assert run(workspace, "--no-fetch") == retrain.NOTHING_NEW
    assert releases.current(folder) == current
    text = (workspace / "retrain.log").read_text()
    assert f"nothing new: bundle {current.name} is already served" in text
    assert "failed (" in text
    assert "the current release stays" in text
    assert '"notes": "retrained: ' in (folder / f"{current.name}.json").read_text()


def test_a_canary_that_is_being_tried_is_not_replaced(workspace: Path) -> None:
    folder = workspace / "tried"
    canary = releases.Canary(bundle_id="0" * 16, share=0.1, since=datetime.now(UTC))
    write_text(folder / releases.STATE, releases.State(canary=canary).model_dump_json(exclude_none=True))
    assert releases.retrained(folder) is None
    assert run(workspace, "--releases", "tried", "--canary", "10%") == retrain.NOTHING_NEW
    assert "is being tried" in (workspace / "retrain.log").read_text()
    data = workspace / "metrics" / "data.json"
    before = data.stat().st_mtime_ns, (workspace / "bundle" / "manifest.json").stat().st_mtime_ns
    params = (workspace / "params.yaml").read_text()
    (workspace / "params.yaml").write_text(params.replace("seed:", "sead:", 1))
    assert (
        run(workspace, "--releases", "tried", "--canary", "10%") == retrain.FAILED
    )  # the data are checked all the same
    (workspace / "params.yaml").write_text(params)
    assert run(workspace, "--releases", "tried", "--canary", "10%", "--no-fetch") == retrain.NOTHING_NEW
    assert (data.stat().st_mtime_ns, (workspace / "bundle" / "manifest.json").stat().st_mtime_ns) == before
    ended = releases.retrained(folder)
    assert ended is not None
    assert ended[1] == retrain.NOTHING_NEW


def test_two_runs_at_once_are_one(workspace: Path) -> None:
    with (workspace / "retrain.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert run(workspace) == retrain.BUSY
