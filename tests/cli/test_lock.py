"""A run of the pipeline that is killed at any moment does not keep the next one from running."""

import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from recsys.cli import app

STAGES = "stages:\n" + "".join(
    f"  s{n}:\n    cmd: sleep 0.1 && cp in out{n}\n    deps: [in]\n    outs: [out{n}]\n" for n in range(5)
)


def dvc(folder: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(["dvc", *words], cwd=folder, capture_output=True, text=True, check=False)


def restored(folder: Path) -> str:
    result = CliRunner().invoke(app, ["lock", str(folder / "dvc.lock")])
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    (tmp_path / "dvc.yaml").write_text(STAGES)
    (tmp_path / "in").write_text("1")
    for command in ("git init -q", "dvc init -q", "git config user.email t@example.org", "git config user.name t"):
        subprocess.run(command.split(), cwd=tmp_path, check=True)
    assert dvc(tmp_path, "repro").returncode == 0
    for command in ("git add -A", "git commit -qm run"):
        subprocess.run(command.split(), cwd=tmp_path, check=True)
    return tmp_path


def test_a_damaged_lock_is_restored_and_said(workspace: Path) -> None:
    lock = workspace / "dvc.lock"
    good = lock.read_text()
    lock.write_text("")
    assert dvc(workspace, "repro").returncode != 0, "what a killed run leaves, DVC refuses"
    assert "restored from git" in restored(workspace)
    assert lock.read_text() == good
    assert restored(workspace) == ""  # keeps a copy
    (workspace / ".git").rename(workspace / "gone")
    for cut in (0, 1, good.index("cmd:") + 2, good.rindex("cmd:") + 2):
        lock.write_text(good[:cut])
        assert "restored from the copy of the last run" in restored(workspace)
        assert lock.read_text() == good
    (workspace / "gone").rename(workspace / ".git")
    lock.write_text(good[:-20])
    restored(workspace)
    assert dvc(workspace, "repro").returncode == 0


def test_without_any_copy_every_stage_runs_again(workspace: Path) -> None:
    subprocess.run(["git", "rm", "-q", "--cached", "dvc.lock"], cwd=workspace, check=True)
    subprocess.run(["git", "commit", "-qm", "no lock"], cwd=workspace, check=True)
    (workspace / "dvc.lock").write_text("schema: '2.0'\nstages:\n  s0:\n    cm")
    assert "runs every stage" in restored(workspace)
    assert dvc(workspace, "repro").returncode == 0
    assert restored(workspace) == ""


def test_a_damaged_record_of_running_commands_is_removed_and_said(workspace: Path) -> None:
    running = workspace / ".dvc" / "tmp" / "rwlock"
    running.write_text("")
    (workspace / "in").write_text("2")
    assert dvc(workspace, "repro").returncode != 0, "what a killed run leaves, DVC refuses"
    assert f"{running}: damaged, probably by a killed run: removed" in restored(workspace)
    assert dvc(workspace, "repro").returncode == 0
    assert restored(workspace) == ""


def test_kill_9_at_random_moments(workspace: Path) -> None:
    draw = random.Random(7)
    for number in range(4):
        restored(workspace)
        (workspace / "in").write_text(f"changed {number}")
        run = subprocess.Popen(["dvc", "repro"], cwd=workspace, start_new_session=True, stdout=subprocess.DEVNULL)
        until = time.monotonic() + draw.uniform(0.5, 4)
        while time.monotonic() < until and run.poll() is None:
            time.sleep(0.01)
        if run.poll() is None:
            os.killpg(run.pid, signal.SIGKILL)
        run.wait()
        if number % 2:  # the moment between opening and writing the file
            (workspace / "dvc.lock").write_text("")
        restored(workspace)
        done = dvc(workspace, "repro")
        assert done.returncode == 0, done.stderr
        assert (workspace / "out4").read_text() == f"changed {number}"
