"""The content model trained by the processes of two hosts, in network namespaces, is that of two processes of one."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from benchmarks.provenance import TOP
from benchmarks.stores import namespaces
from recsys.bundle import embeddings
from recsys.stages import fetch, prepare, split
from tests.spark.environment import params

pytestmark = pytest.mark.chaos


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    """params.yaml of a small shop; its split is beside it."""
    file, tables = params(tmp_path), tmp_path / "tables"
    fetch.main(tmp_path / "raw", file)
    prepare.main(tmp_path / "raw", tables, tmp_path / "r.json", tmp_path / "r.txt", file)
    split.split(tables, tmp_path / "split", file)
    return file


def run(*command: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    here = {**os.environ, "PYTHONPATH": str(TOP), **environment}
    return subprocess.run([sys.executable, *command], env=here, capture_output=True, text=True, check=False)


def train(settings: Path, out: Path, processes: int, **environment: str) -> subprocess.CompletedProcess[str]:
    content = yaml.safe_load(settings.read_text())
    content["models"]["content"] = {"processes": processes}
    settings.write_text(yaml.safe_dump(content))
    words = "-m", "recsys.stages.train", "--model", "content", "--fold", "test", "--split", settings.parent / "split"
    return run(*words, "--out", out, "--params", settings, **environment)


def test_two_hosts_train_what_two_processes_do(settings: Path, tmp_path: Path) -> None:
    if reason := namespaces.missing():
        pytest.skip(reason)
    done = run("-m", "tests.chaos.content_hosts", settings, tmp_path / "split", tmp_path / "hosts")
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stderr.count("epoch 1 of") == 2, "one process tells of each training, not one of each host"
    alone = train(settings, tmp_path / "alone", 2)
    assert alone.returncode == 0, alone.stderr[-3000:]
    first, second, wanted = (embeddings.load(tmp_path / name) for name in ("hosts/0", "hosts/1", "alone"))
    assert np.array_equal(first.vectors, second.vectors)
    np.testing.assert_allclose(first.vectors, wanted.vectors, atol=1e-4)
    assert np.abs(wanted.vectors).max() > 0.1


def test_a_training_that_cannot_begin_is_one_line(settings: Path, tmp_path: Path) -> None:
    failed = train(settings, tmp_path / "out", 1, PET_NNODES="two")
    assert failed.returncode == 1
    assert failed.stderr.splitlines()[-1].endswith(
        "content: torchrun ended with exit code 1; its messages above say on which host, and why"
    )
