import shutil
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from recsys.cli.main import use
from recsys.data import split
from tests.data.test_split_protocols import N_ITEMS, items, random_events, table


@pytest.fixture(autouse=True)
def settings(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the synthetic shop, whichever data set is active."""
    shutil.copy(root / "params.yaml", tmp_path)
    use("synthetic", tmp_path / "params.yaml")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(root))


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "recsys.stages.split", *map(str, arguments)], capture_output=True, text=True
    )


def test_the_stage_writes_the_same_bytes_twice_and_says_what_it_made(tmp_path: Path) -> None:
    table(random_events(3000, n_users=600)).collect().write_parquet(tmp_path / "interactions.parquet")
    items(N_ITEMS).write_parquet(tmp_path / "items.parquet")
    for name in ("one", "two"):
        done = run("--tables", tmp_path, "--out", tmp_path / name)
        assert done.returncode == 0, done.stderr
        assert f"{N_ITEMS} items" in done.stdout
    for file in (tmp_path / "one").iterdir():
        assert file.read_bytes() == (tmp_path / "two" / file.name).read_bytes()
    assert split.load(tmp_path / "one").facts.n_items == N_ITEMS


def test_a_missing_table_is_one_line_and_leaves_the_old_output(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old").touch()
    done = run("--tables", tmp_path, "--out", tmp_path / "out")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "interactions.parquet: no such file" in done.stderr
    assert (tmp_path / "out" / "old").exists()


def test_vectors_of_items_come_along(tmp_path: Path) -> None:
    table(random_events(3000, n_users=600)).collect().write_parquet(tmp_path / "interactions.parquet")
    items(N_ITEMS).write_parquet(tmp_path / "items.parquet")
    first = items(N_ITEMS)["item_id"][0]
    brought = pl.DataFrame(
        {"item_id": [first], "vector": [[1.0, 2.0]]}, schema_overrides={"vector": pl.Array(float, 2)}
    )
    brought.write_parquet(tmp_path / "vectors.parquet")
    assert run("--tables", tmp_path, "--out", tmp_path / "out").returncode == 0
    catalogue = split.load(tmp_path / "out").catalogue
    assert catalogue.drop_nulls("vector").select("item_id", "vector").rows() == [(first, [1.0, 2.0])]
