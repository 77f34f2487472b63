"""`dvc repro` notices that files of one's own changed, and does nothing while they are the same."""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.support import tiny_shops

Run = Callable[..., str]


@pytest.fixture
def fetched(root: Path, tmp_path: Path, run: Run) -> Path:
    """A workspace with the first stage alone, whose data set has been read once from outside of it."""
    folder = tmp_path / "workspace"
    shutil.copytree(root / "own", folder / "own", ignore=shutil.ignore_patterns("*"))
    shutil.copyfile(root / "own" / ".gitignore", folder / "own" / ".gitignore")
    stage = yaml.safe_load((root / "dvc.yaml").read_text())["stages"]["fetch"]
    stage["deps"] = [dep for dep in stage["deps"] if not dep.startswith("recsys")]  # imported from where they are
    (folder / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"fetch": stage}}))
    settings = yaml.safe_load((root / "params.yaml").read_text())
    settings["dataset"] = "files"
    files = {"path": str(tmp_path / "mine.csv"), "event": "purchase"}
    settings["datasets"]["files"]["adapter"] = {"interactions": files}
    (folder / "params.yaml").write_text(yaml.safe_dump(settings))
    (tmp_path / "mine.csv").write_text(tiny_shops.csv(tiny_shops.fifty_users()))
    run("git init -q && dvc init -q", folder)
    assert ran(folder, run)
    return folder


def ran(folder: Path, run: Run) -> bool:
    """Run what has changed; return whether `fetch` was run."""
    text = run(f"{sys.executable} -m dvc repro", folder)
    assert ("up to date" in text) != ("Running stage 'fetch'" in text), text
    return "Running" in text


def test_a_changed_file_is_read_again_and_an_unchanged_one_is_not(fetched: Path, tmp_path: Path, run: Run) -> None:
    assert not ran(fetched, run)
    with (tmp_path / "mine.csv").open("a") as mine:
        mine.write("somebody,i1,2024-01-05\n")
    assert ran(fetched, run)
    assert "somebody" in str(next((fetched / "data" / "raw" / "interactions").glob("*.parquet")).read_bytes())
    assert not ran(fetched, run)


def test_files_in_the_folder_are_watched_as_a_whole(fetched: Path, tmp_path: Path, run: Run) -> None:
    params = (fetched / "params.yaml").read_text().replace(str(tmp_path / "mine.csv"), "own/*.csv")
    (fetched / "params.yaml").write_text(params)
    shutil.copyfile(tmp_path / "mine.csv", fetched / "own" / "a.csv")
    assert ran(fetched, run)
    assert [path.name for path in (fetched / "own").iterdir() if path.is_symlink()] == []
    assert not ran(fetched, run)
    shutil.copyfile(tmp_path / "mine.csv", fetched / "own" / "b.csv")
    assert ran(fetched, run)
    assert not ran(fetched, run)
