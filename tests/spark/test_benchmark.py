from pathlib import Path

import pytest

from benchmarks import provenance
from recsys.stages import fetch, prepare, split
from tests.spark.environment import needs_spark, params


@needs_spark
def test_als_of_spark_beside_als(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cost is that of stages, which tests/spark runs: a session of each would take minutes here."""
    from benchmarks.models import als_spark

    monkeypatch.setattr(provenance, "RESULTS", tmp_path / "results")
    settings, tables = params(tmp_path), tmp_path / "tables"
    fetch.main(tmp_path / "raw", settings)
    prepare.main(tmp_path / "raw", tables, tmp_path / "r.json", tmp_path / "r.txt", settings)
    split.split(tables, tmp_path / "data/split", settings)
    als_spark.quality(tmp_path, iterations=2)
    written = (tmp_path / "results/als_spark_synthetic.json").read_text()
    assert '"als_spark"' in written
