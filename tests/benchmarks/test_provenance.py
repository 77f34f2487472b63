"""Every results file says where its figures come from."""

import json
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from benchmarks import provenance

FILES = sorted([*provenance.RESULTS.iterdir(), *provenance.DOCS.iterdir()])


@pytest.mark.parametrize("path", [path for path in FILES if path.suffix == ".json"], ids=lambda path: path.name)
def test_a_results_file_carries_commit_kernel_processor_and_command(path: Path) -> None:
    origin = json.loads(path.read_text())["provenance"]
    assert re.fullmatch(r"[0-9a-f]{40}", origin["commit"]), "measure again with everything committed"
    assert origin["cpu"]
    assert origin["kernel"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", origin["date"])
    assert origin["cores"] >= 1
    module = re.match(r"python -m (benchmarks[\w.]*)", origin["command"])
    assert module, f"{path.name}: the command is {origin['command']!r}"
    assert find_spec(module[1])


@pytest.mark.parametrize("path", [path for path in FILES if path.suffix != ".json"], ids=lambda path: path.name)
def test_the_figures_that_a_picture_shows_are_there(path: Path) -> None:
    assert path.with_suffix(".json").name in {each.name for each in FILES}


def test_what_is_written_says_where_it_comes_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["a program", "5000", "/somewhere/else/shop"])
    provenance.write("some", provenance.describe(), {"answers_per_s": 3}, tmp_path)
    written = json.loads((tmp_path / "some.json").read_text())
    assert written["answers_per_s"] == 3
    assert written["provenance"]["command"].endswith(" 5000 shop")
    assert "openblas" in written["provenance"]["kernel"]
    assert re.fullmatch(r"[0-9a-f]{40}(-dirty)?", written["provenance"]["commit"])


def test_only_a_change_of_something_other_than_results_makes_a_commit_dirty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, result, page = tmp_path / "code.py", tmp_path / "docs/results/shop.json", tmp_path / "README.md"
    result.parent.mkdir(parents=True)
    for path in (code, result, page):
        path.write_text("{}")
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b"]
    for arguments in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "--message=a"]):
        subprocess.run([*git, *arguments], cwd=tmp_path, check=True)
    monkeypatch.setattr(provenance, "TOP", tmp_path)
    for path in (result, page):
        path.write_text("[]")
    assert re.fullmatch(r"[0-9a-f]{40}", provenance.describe()["commit"])
    code.write_text("[]")
    assert provenance.describe()["commit"].endswith("-dirty")
