"""A product with changes of its own takes a later version of the template by `copier update`."""

import shutil
import sys
from pathlib import Path

import pytest
import yaml

from tests.template.test_init import SMALL, git, init, run, template

COPIER = Path(sys.executable).parent / "copier"
ERRORS, PARAMS = "errors.py", "params.yaml"


def copier(folder: Path, *arguments: str) -> None:
    done = run(folder, str(COPIER), *arguments)
    assert done.returncode == 0, done.stderr


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return template(tmp_path / "source", *SMALL)


def next_version(source: Path) -> None:
    """0.2.0: a line of settings, a docstring and a file more."""
    replace(source / PARAMS, "seed: 7", "seed: 9")
    replace(source / "recsys" / ERRORS, '"""Errors', '"""Recsys: errors')
    (source / "recsys" / "later.py").write_text('"""Came with 0.2.0."""\n')
    git(source, "add", "-A")
    git(source, "commit", "-q", "-m", "later")
    git(source, "tag", "v0.2.0")


def product_of(source: Path, folder: Path, way: str) -> Path:
    """A product, made by init in a clone or by copier, with its first commit."""
    if way == "init":
        git(source.parent, "clone", "-q", str(source), str(folder))
        made = init(folder, "--name", "acme_recs", "--purpose", "repeats")
        assert made.returncode == 0, made.stderr
    else:
        copier(source.parent, "copy", "--trust", "--defaults", "--data", "name=acme_recs", "--data", "purpose=repeats",
               str(source), str(folder))  # fmt: skip
        git(folder, "init", "-q", "-b", "main")
    for key in ("name", "email"):
        git(folder, "config", f"user.{key}", "t@example.org")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "begin")
    return folder


def test_init_and_copier_make_the_same_files(source: Path, tmp_path: Path) -> None:
    made = [product_of(source, tmp_path / way, way) for way in ("init", "copier")]
    first, second = ({name: (top / name).read_bytes() for name in git(top, "ls-files").split()} for top in made)
    assert first == second
    assert "acme_recs/errors.py" in first


@pytest.mark.parametrize("way", ["init", "copier"])
def test_a_later_version_is_merged_and_conflicts_are_shown(source: Path, tmp_path: Path, way: str) -> None:
    folder = product_of(source, tmp_path / "product", way)
    (folder / "acme_recs" / "own.py").write_text('"""Ours."""\n')
    (folder / "dvc.lock").write_text("schema: '2.0'\n")
    with (folder / "acme_recs" / ERRORS).open("a") as file:
        file.write("\nOURS = 1\n")
    replace(folder / PARAMS, "seed: 7", "seed: 8")
    replace(folder / "README.md", "Recommendations from our own events.", "What our shoppers may like.")
    git(folder, "add", "-A", "-f")
    git(folder, "commit", "-q", "-m", "ours")
    next_version(source)

    copier(folder, "update", "--trust", "--defaults")

    assert yaml.safe_load((folder / ".copier-answers.yml").read_text())["_commit"] == "v0.2.0"
    errors = (folder / "acme_recs" / ERRORS).read_text()
    assert errors.startswith('"""AcmeRecs: errors')
    assert errors.endswith("\nOURS = 1\n")
    assert (folder / "acme_recs" / "later.py").is_file()
    assert (folder / "acme_recs" / "own.py").is_file()
    assert (folder / "dvc.lock").read_text() == "schema: '2.0'\n"
    assert "What our shoppers may like." in (folder / "README.md").read_text()
    assert "<<<<<<< before updating\nseed: 8\n" in (folder / PARAMS).read_text()
    status = git(folder, "status", "--porcelain")
    assert f"UU {PARAMS}" in status
    assert not (folder / "recsys").exists()
    assert status.count("UU") == 1


def test_without_changes_of_its_own_a_product_becomes_what_init_would_make(source: Path, tmp_path: Path) -> None:
    folder = product_of(source, tmp_path / "product", "copier")
    next_version(source)
    copier(folder, "update", "--trust", "--defaults")
    fresh = product_of(source, tmp_path / "fresh", "copier")
    git(folder, "add", "-A")
    names = git(folder, "ls-files").split()
    assert names == git(fresh, "ls-files").split()
    assert all((folder / name).read_bytes() == (fresh / name).read_bytes() for name in names)
    shutil.rmtree(fresh)
