import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from recsys.datasets import movielens
from recsys.stages import fetch


def settings(root: Path, folder: Path, dataset: str, **adapter: Any) -> Path:
    """params.yaml with another active data set."""
    params = yaml.safe_load((root / "params.yaml").read_text())
    params["dataset"] = dataset
    params["datasets"][dataset]["adapter"] |= adapter
    path = folder / "params.yaml"
    path.write_text(yaml.safe_dump(params))
    return path


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(autouse=True)
def nothing_is_reachable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RECSYS_DATA_DIR", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(movielens, "PUBLISHER", "http://127.0.0.1:1")


def test_generated_data_and_their_provenance(root: Path, tmp_path: Path) -> None:
    raw = tmp_path / "data" / "raw"
    params = settings(root, tmp_path, "synthetic", events=2_000, users=100, items=50)
    fetch.main(raw, params)
    first = contents(raw)
    written = json.loads((tmp_path / "data" / "raw.provenance.json").read_text())
    assert written["dataset"] == "synthetic"
    assert written["seed"] == 7
    assert written["adapter"]["events"] == 2_000
    assert written["origin"] == {"source": "recsys/datasets/synthetic.py"}
    assert abs((datetime.now(UTC) - datetime.fromisoformat(written["fetched_at"])).total_seconds()) < 600
    assert {file["path"]: (file["bytes"], file["sha256"]) for file in written["files"]} == {
        name: (len(content), hashlib.sha256(content).hexdigest()) for name, content in first.items()
    }
    fetch.main(raw, params)
    assert contents(raw) == first, "the same settings and seed give the same bytes"
    assert sorted(path.name for path in raw.parent.iterdir()) == ["raw", "raw.provenance.json"]


def test_provenance_names_the_source_that_served(
    root: Path, data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECSYS_DATA_DIR", str(data_dir))
    fetch.main(tmp_path / "raw", settings(root, tmp_path, "movielens"))
    origin = json.loads((tmp_path / "raw.provenance.json").read_text())["origin"]
    assert origin["source"] == "local folder"
    assert origin["sha256"] == movielens.VARIANTS["latest-small"].sha256


def test_failure_is_one_error_and_leaves_the_earlier_data(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raw = tmp_path / "raw"
    fetch.main(raw, settings(root, tmp_path, "synthetic", events=2_000, users=100, items=50))
    earlier, provenance = contents(raw), (tmp_path / "raw.provenance.json").read_bytes()
    capsys.readouterr()
    with pytest.raises(SystemExit) as stopped:
        fetch.main(raw, settings(root, tmp_path, "movielens", mirrors=[str(tmp_path / "absent.zip")]))
    assert stopped.value.code == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: no source of 'ml-latest-small.zip' could be used: publisher http://127.0.0.1:1/")
    assert f"mirror {tmp_path / 'absent.zip'}: No such file or directory" in error
    assert "set RECSYS_DATA_DIR" in error
    assert contents(raw) == earlier
    assert (tmp_path / "raw.provenance.json").read_bytes() == provenance


def test_unknown_setting_of_the_adapter_is_named(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        fetch.main(tmp_path / "raw", settings(root, tmp_path, "movielens", varriant="1m"))
    assert "datasets.movielens.adapter: unknown key 'varriant'; known here: like_from, mirrors, variant" in (
        capsys.readouterr().err
    )
    assert not (tmp_path / "raw").exists()


def test_command_line(root: Path, tmp_path: Path, run: Any) -> None:
    params = settings(root, tmp_path, "synthetic", events=2_000, users=100, items=50)
    assert run(f"python -m recsys.stages.fetch --raw {tmp_path}/raw --params {params}", root) == ""
    assert (tmp_path / "raw").is_dir()
