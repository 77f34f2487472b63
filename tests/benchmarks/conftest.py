"""Benchmarks at toy size: they write into a folder of the test, and serve the small finished pipeline."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks import provenance
from benchmarks.serving import shop
from benchmarks.serving.swap import rewritten
from benchmarks.story import phases
from recsys.bundle import releases

Results = Callable[[str], dict[str, Any]]


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Results:
    """The results file of a name that a benchmark wrote in this test."""
    folder = tmp_path / "results"
    monkeypatch.setattr(provenance, "RESULTS", folder)
    monkeypatch.setattr(provenance, "DOCS", folder)
    monkeypatch.setenv("RECSYS_BENCHMARK_RESULTS", str(folder))  # of other processes

    def read(name: str) -> dict[str, Any]:
        written: dict[str, Any] = json.loads((folder / f"{name}.json").read_text())
        assert written["provenance"]["commit"]
        return written

    return read


@pytest.fixture(scope="session")
def released(pipeline: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of releases with the pipeline's bundle, to which the variants of the story are added."""
    folder = tmp_path_factory.mktemp("released")
    shutil.copytree(pipeline / "bundle", folder / "bundle")
    variants = json.loads((folder / "bundle/manifest.json").read_text())["variants"]
    rewritten(folder / "bundle", {"variants": {**phases.variants(variants["learned"]), **variants}})
    releases.promote(folder / "bundle", folder / "releases")
    return folder / "releases"


@pytest.fixture
def served(released: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The serving benchmarks ask this shop in place of the one of 10,000 items."""
    monkeypatch.setattr(shop, "releases", lambda: released)
    return released


@pytest.fixture
def command(tmp_path: Path) -> Callable[..., str]:
    """Run `python -m` with these words in a process of its own, as it is typed; returns what it prints."""

    def run(*words: object) -> str:
        environment = {**os.environ, "PYTHONPATH": str(provenance.TOP)}
        typed = [sys.executable, "-m", *map(str, words)]
        done = subprocess.run(typed, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run
