"""`dvc repro` and `recsys releases promote`, two at once, killed at random moments: what is there stays usable."""

import os
import random
import signal
import subprocess
import sys
import time
from itertools import cycle
from pathlib import Path

import pytest

from recsys.bundle import releases
from tests.cli.test_lock import dvc, restored, workspace
from tests.support import bundles

__all__ = ["workspace"]  # a fixture
pytestmark = pytest.mark.chaos
KILLS = 20
PROMOTES = """
import sys
from pathlib import Path
from recsys.bundle import releases

folder, *bundles = map(Path, sys.argv[1:])
print("ready", flush=True)
while True:
    for bundle in bundles:
        releases.promote(bundle, folder)
        releases.prune(folder, 1)  # so that the next one is copied again
"""


def killed(runs: "list[subprocess.Popen[bytes]]", moments: list[float]) -> int:
    """Kill each run after so many seconds, if it still runs; return how many did."""
    began, running = time.monotonic(), 0
    for moment, run in sorted(zip(moments, runs, strict=True), key=lambda pair: pair[0]):
        time.sleep(max(0.0, began + moment - time.monotonic()))
        if run.poll() is None:
            running += 1
            os.killpg(run.pid, signal.SIGKILL)
        run.communicate()  # also closes the pipe
    return running


def test_two_runs_of_the_pipeline_are_killed(workspace: Path) -> None:
    draw, hit, messages, number = random.Random(11), 0, 0, 0
    began = time.monotonic()
    assert dvc(workspace, "repro", "--force").returncode == 0
    seconds = time.monotonic() - began  # of a whole run on this machine
    while hit < KILLS:
        number += 1
        assert number <= 4 * KILLS, f"{hit} runs killed: the others had ended before"
        (workspace / "in").write_text(f"changed {number}")
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "start_new_session": True}
        runs = [subprocess.Popen(["dvc", "repro"], cwd=workspace, **quiet) for _ in range(2)]  # type: ignore[call-overload]
        hit += killed(runs, [draw.uniform(0.1, 1) * seconds, draw.uniform(0.1, 1) * seconds])
        messages += bool(restored(workspace))
        done = dvc(workspace, "repro")
        assert done.returncode == 0, done.stderr
        assert (workspace / "out4").read_text() == f"changed {number}"
        restored(workspace)  # keeps a copy of the lock
    print(f"{hit} runs killed, {messages} times a file was restored")


def test_two_promotions_are_killed(tmp_path: Path) -> None:
    made = [bundles.write(tmp_path / "one"), bundles.write(tmp_path / "other", made=-bundles.vectors())]
    ids = [releases.verify(bundle) for bundle in made]
    folder, draw, left_over = tmp_path / "releases", random.Random(12), 0
    for number, bundle in zip(range(KILLS), cycle(made), strict=False):
        command = [sys.executable, "-c", PROMOTES, str(folder), *map(str, made)]
        runs = [subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) for _ in range(2)]
        for run in runs:
            assert run.stdout is not None
            assert run.stdout.readline() == b"ready\n"
        assert killed(runs, [draw.uniform(0, 0.5), draw.uniform(0, 0.5)]) == 2
        left_over += any(path.suffix == ".partial" for path in folder.rglob("*"))
        if number or releases.read(folder).stack:
            assert releases.load(releases.current(folder)).manifest.bundle_id in ids
        releases.promote(bundle, folder)
        assert releases.load(releases.current(folder)).manifest.bundle_id == releases.verify(bundle)
        assert releases.prune(folder, 1) is not None
        assert [path.name for path in folder.iterdir() if path.is_dir()] == [releases.verify(bundle)]
    assert left_over, "no kill met a promotion that was writing"
