"""Spark prepares and splits like the engine `local`: the same bytes."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from recsys.data.engines import local, spark
from recsys.errors import DataError
from recsys.stages import fetch, prepare, split
from tests.spark.environment import ROOT, needs_spark, params

pytestmark = needs_spark
BY_USER = {"protocol": "per_user_holdout", "cold_item_share": 0.1}


def run(folder: Path, raw: Path, **changes: Any) -> dict[str, bytes]:
    """The files that both stages write: name -> content."""
    folder.mkdir()
    settings = params(folder, **changes)
    tables, cut = folder / "tables", folder / "split"
    prepare.main(raw, tables, folder / "report.json", folder / "report.txt", settings)
    split.split(tables, cut, settings)
    return written(folder)


def written(folder: Path) -> dict[str, bytes]:
    files = [folder / "report.json", *sorted((folder / "tables").rglob("*")), *sorted((folder / "split").rglob("*"))]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.mark.parametrize(("dataset", "cut"), [("synthetic", {}), ("synthetic", BY_USER), ("files", {})])
def test_the_same_bytes_as_local(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dataset: str, cut: dict[str, Any]
) -> None:
    monkeypatch.chdir(ROOT)  # the example's files
    raw = tmp_path / "raw"
    fetch.main(raw, own=tmp_path / "own", params=params(tmp_path, dataset=dataset))
    local, by_spark = (
        run(tmp_path / engine, raw, dataset=dataset, engine=engine, split=cut) for engine in ("local", "spark")
    )
    assert list(local) == list(by_spark)
    assert not [name for name in local if local[name] != by_spark[name]]
    if dataset == "synthetic":
        reasons = set(pl.read_parquet(tmp_path / "spark/tables/quarantine.parquet")["reason"])
        assert {"duplicate", "bot_like_user", "orphan_item"} <= reasons


@pytest.mark.parametrize(
    ("dataset", "folder", "kept"),
    [("movielens", "ml-latest-small", 100_836), ("online_retail", "online-retail", 391_109)],
)
def test_the_same_bytes_as_local_of_real_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dataset: str, folder: str, kept: int
) -> None:
    """Tables, rejected rows, and the report with the count of each reason."""
    here = Path(os.environ.get("RECSYS_DATA_DIR") or ROOT.parent / "shared/data")
    if not (here / folder).is_dir():
        pytest.skip(f"no real data here: {here} has no {folder}; set RECSYS_DATA_DIR")
    monkeypatch.setenv("RECSYS_DATA_DIR", str(here))
    fetch.main(tmp_path / "raw", params=params(tmp_path, dataset=dataset))
    local, by_spark = (
        run(tmp_path / engine, tmp_path / "raw", dataset=dataset, engine=engine) for engine in ("local", "spark")
    )
    assert list(local) == list(by_spark)
    assert not [name for name in local if local[name] != by_spark[name]]
    report = json.loads(by_spark["report.json"])["interactions"]
    assert report["kept"] == kept
    assert ("duplicate" in report["reasons"]) is (dataset == "online_retail")


def test_rows_that_are_equal_in_user_time_and_item_keep_the_order_of_the_file(tmp_path: Path) -> None:
    rng, n = np.random.default_rng(1), 3000
    events = pl.DataFrame(
        {
            "user_id": pl.Series(["u", "ü", "Z", "日"]).gather(rng.integers(0, 4, n)),
            "item_id": pl.Series(["i", "j"]).gather(rng.integers(0, 2, n)),
            "timestamp": pl.Series(rng.integers(0, 3, n)).cast(pl.Datetime("us", "UTC")),
            "event": ["view"] * n,
            "value": rng.normal(size=n),
            "weight": np.ones(n, dtype=np.float32),
        }
    )
    events.write_parquet(tmp_path / "events.parquet", row_group_size=500)
    (rows, users), (wanted, others) = (
        engine.ordered(tmp_path / "events.parquet", pl.Series(["j", "i"]), tmp_path) for engine in (spark, local)
    )
    assert users.equals(others)
    assert rows.collect().equals(wanted.collect())


def test_an_unknown_item_and_a_missing_file_are_one_line(tmp_path: Path) -> None:
    events = {"user_id": ["u", "v"], "item_id": ["i", "j"], "timestamp": [1, 2], "event": ["e"] * 2}
    pl.DataFrame({**events, "value": [1.0] * 2, "weight": [1.0] * 2}).write_parquet(tmp_path / "events.parquet")
    with pytest.raises(DataError, match="item_id 'j' is not in items"):
        spark.ordered(tmp_path / "events.parquet", pl.Series(["i"]), tmp_path)
    with pytest.raises(DataError, match=r"^spark: .*Path does not exist.*absent.parquet") as failed:
        spark.ordered(tmp_path / "absent.parquet", pl.Series(["i"]), tmp_path)
    assert "\n" not in str(failed.value)
