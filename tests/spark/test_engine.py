"""Spark prepares and splits like the engine `local`: the same bytes."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from recsys.data.engines import spark
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
    written = [folder / "report.json", *sorted(tables.rglob("*")), *sorted(cut.rglob("*"))]
    return {str(path.relative_to(folder)): path.read_bytes() for path in written}


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


def test_an_unknown_item_and_a_missing_file_are_one_line(tmp_path: Path) -> None:
    events = {"user_id": ["u", "v"], "item_id": ["i", "j"], "timestamp": [1, 2], "event": ["e"] * 2}
    pl.DataFrame({**events, "value": [1.0] * 2, "weight": [1.0] * 2}).write_parquet(tmp_path / "events.parquet")
    with pytest.raises(DataError, match="item_id 'j' is not in items"):
        spark.ordered(tmp_path / "events.parquet", pl.Series(["i"]), tmp_path)
    with pytest.raises(DataError, match=r"^spark: .*Path does not exist.*absent.parquet") as failed:
        spark.ordered(tmp_path / "absent.parquet", pl.Series(["i"]), tmp_path)
    assert "\n" not in str(failed.value)
