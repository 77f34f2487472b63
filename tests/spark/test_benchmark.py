import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import provenance
from recsys.stages import fetch, prepare, split
from tests.spark.environment import ROOT, needs_spark, params


@needs_spark
def test_als_of_spark_beside_als(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from benchmarks.models import als_spark

    monkeypatch.setattr(provenance, "RESULTS", tmp_path / "results")
    settings, tables = params(tmp_path), tmp_path / "tables"
    fetch.main(tmp_path / "raw", settings)
    prepare.main(tmp_path / "raw", tables, tmp_path / "r.json", tmp_path / "r.txt", settings)
    split.split(tables, tmp_path / "data/split", settings)
    als_spark.quality(tmp_path, iterations=2)
    written = (tmp_path / "results/als_spark_synthetic.json").read_text()
    assert '"als_spark"' in written


@needs_spark
def test_the_cost_counts_java(tmp_path: Path) -> None:
    """In a process of its own, as it waits for all children of its process."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "RECSYS_BENCHMARK_RESULTS": str(tmp_path)}
    toy = "from benchmarks.models import als_spark; als_spark.TURNS = 1; als_spark.cost(6000)"
    subprocess.run([sys.executable, "-c", toy], env=environment, check=True, capture_output=True)
    found = json.loads((tmp_path / "als_spark_cost_6000.json").read_text())["models"]
    assert {model: len(one["cpu_seconds"]) for model, one in found.items()} == {"als": 1, "als_spark": 1}
    assert found["als_spark"]["median"] > 2 * found["als"]["median"]  # starting Java alone takes longer
