"""The stages `prepare` and `split` write the same bytes with every engine, counts of reasons and all."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from recsys.output import described_files
from recsys.stages import fetch, prepare, split

REAL = ("movielens", "online_retail")
SMALL = {"events": 20_000, "users": 600, "items": 300, "dirt_share": 0.05}


@pytest.mark.parametrize("dataset", ["synthetic", "files", *REAL])
def test_engines_agree(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, root: Path, dataset: str
) -> None:
    if dataset in REAL:
        monkeypatch.setenv("RECSYS_DATA_DIR", str(request.getfixturevalue("data_dir")))
    monkeypatch.chdir(root)  # to which the paths of the data set `files` belong
    settings, raw = tmp_path / "params.yaml", tmp_path / "raw"
    content = yaml.safe_load((root / "params.yaml").read_text(encoding="utf-8"))
    content["datasets"]["synthetic"]["adapter"].update(SMALL)
    found: dict[str, Any] = {}
    for engine in ("local", "duckdb"):
        settings.write_text(yaml.safe_dump({**content, "dataset": dataset, "engine": engine}), encoding="utf-8")
        if not raw.exists():
            fetch.main(raw=raw, params=settings)
        out = tmp_path / engine
        tables, report = out / "tables", out / "data.json"
        prepare.main(raw=raw, tables=tables, report=report, text=out / "data.txt", params=settings)
        split.split(tables=tables, out=out / "split", params_file=settings)
        found[engine] = described_files(out)
    assert found["local"] == found["duckdb"]
    assert {"tables/quarantine.parquet", "split/interactions.parquet", "data.json"} < {
        file["path"] for file in found["duckdb"]
    }
    reasons = json.loads((tmp_path / "duckdb/data.json").read_text())["interactions"]["reasons"]
    if dataset in ("synthetic", "online_retail"):
        assert reasons["duplicate"] > 0
    if dataset == "synthetic":
        assert reasons["bot_like_user"] > 0
