"""`recsys init`: a product under its own name, or nothing changed."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from template.parts import PARTS, chosen
from template.rename import OLD, renamed
from template.render import text_of

TOP = Path(__file__).resolve().parents[2]


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def git(folder: Path, *arguments: str) -> str:
    done = run(folder, "git", "-c", "user.name=t", "-c", "user.email=t@example.org", *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def template(folder: Path, *wanted: str) -> Path:
    """A repository of the template as it is here: all of it, or the files that are named; version 0.1.0."""
    listed = git(TOP, "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")
    for name in listed:
        if name and (TOP / name).is_file() and (not wanted or name.startswith(wanted)):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(TOP / name, folder / name)
            shutil.copymode(TOP / name, folder / name)
    git(folder, "init", "-q", "-b", "main")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "template")
    git(folder, "tag", "v0.1.0")
    return folder


def init(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run(folder, sys.executable, "-B", "-m", "template", *arguments)


SMALL = (
    "LICENSE",
    "template/",
    "copier.yml",
    "recsys/errors.py",
    "params.yaml",
    "README.md",
    "CHANGELOG.md",
    "pyproject.toml",
)


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The whole repository after init, with everything left out that may be."""
    folder = template(tmp_path_factory.mktemp("whole") / "clone")
    (folder / "recsys" / "__pycache__").mkdir()
    (folder / "recsys" / "__pycache__" / "errors.pyc").write_bytes(b"\0")
    made = init(
        folder, "--name", "acme_recs", "--dataset", "grocery", "--purpose", "repeats", "--drop", ",".join(PARTS)
    )
    assert made.returncode == 0, made.stderr
    git(folder, "commit", "-q", "-m", "begin")
    return folder


def test_the_old_name_is_in_three_files_only(product: Path) -> None:
    found = run(product, "git", "grep", "-il", "recsys").stdout.split()
    assert {"LICENSE", "CHANGELOG.md"} <= set(found) <= {"LICENSE", "CHANGELOG.md", ".copier-answers.yml"}
    assert not [name for name in git(product, "ls-files").split() if "recsys" in name.lower()]
    assert not (product / "recsys").exists()
    assert not (product / "template").exists()


def test_no_file_keeps_the_old_name_whatever_is_left_out() -> None:
    """Also those of parts that the product above does not have."""
    paths = chosen(git(TOP, "ls-files", "-z").strip("\0").split("\0"), [], TOP)
    texts = {path: renamed(text_of(TOP / path) or "", "acme_recs").lower() for path in paths}
    assert [path for path, text in texts.items() if OLD in text] == []


def test_limits_of_lines_grow_with_the_name(product: Path) -> None:
    for name, said in {"tests/house/test_texts.py": "> 330}", "CONTRIBUTING.md": "above 330 lines a file, 66 "}.items():
        text = (product / name).read_text()
        assert said in text
        assert not re.search(r"300[ _]lines|\b60 lines|> 300|> 60\b", text)


def test_the_readme_and_the_settings_are_those_of_the_product(product: Path) -> None:
    text = (product / "README.md").read_text()
    assert text.startswith("# acme_recs\n")
    assert "Purpose: repeats. Data set: `grocery`" in text
    params = yaml.safe_load((product / "params.yaml").read_text())
    assert params["dataset"] == "grocery"
    assert params["datasets"]["grocery"]["split"]["allow_repeat"] is True
    assert params["datasets"]["grocery"]["split"]["target_events"] == ["purchase"]


def test_it_is_as_tidy_as_the_template(product: Path) -> None:
    for command in (["ruff", "check"], ["ruff", "format", "--check"], ["lint-imports", "--no-cache"]):
        done = run(product, "env", f"PYTHONPATH={product}", *command)
        assert done.returncode == 0, done.stdout


def test_its_documents_lead_to_what_is_there(product: Path) -> None:
    """With the tests that hold the template's own documents; they find the files of the folder they are in."""
    names = ["test_texts.py", "test_glossary.py", "test_template.py"]
    done = run(product, "env", f"PYTHONPATH={product}", sys.executable, "-m", "pytest", "-q", "-n", "0", "-p",
               "no:cacheprovider", *(f"tests/house/{name}" for name in names))  # fmt: skip
    assert done.returncode == 0, done.stdout
    targets = set(re.findall(r"^([a-z-]+):", (product / "Makefile").read_text(), re.M))
    assert {"test", "demo", "lint"} <= targets
    assert not targets & {target for part in PARTS.values() for target in part.targets}


def test_tests_of_what_is_left_out_go_with_it(product: Path) -> None:
    assert not (product / "tests" / "benchmarks").exists()
    assert not (product / "tests" / "chaos" / "test_faults.py").exists()
    assert (product / "tests" / "conftest.py").exists()
    collected = run(product, "env", f"PYTHONPATH={product}", sys.executable, "-m", "pytest", "-q", "-n", "0",
                    "--collect-only", "tests/export", "tests/serving/watch")  # fmt: skip
    assert collected.returncode == 0, collected.stdout[-2000:]


def test_names_in_each_spelling() -> None:
    for old, new in {
        "recsys.errors RecsysError": "my_shop.errors MyShopError",
        "RECSYS_URL recsys_total recsys:rate": "MY_SHOP_URL my_shop_total my_shop:rate",
        "recsys-api {secretKeyRef: {name: recsys, key: k}}": "my-shop-api {secretKeyRef: {name: my-shop, key: k}}",
        "namespace: recsys; --namespace recsys": "namespace: my-shop; --namespace my-shop",
    }.items():
        assert renamed(old, "my_shop") == new


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--name", "Acme"], "error: --name 'Acme': expected small letters, digits and _"),
        (["--name", "recsys2"], "without the old name"),
        (["--name", "json"], "error: --name json: a folder or an installed package has that name already"),
        (
            ["--name", "acme", "--dataset", "x"],
            "error: --dataset 'x': params.yaml has no such data set; there are synthetic",
        ),
        (["--name", "acme", "--purpose", "x"], "error: --purpose 'x': expected one of first-purchases, repeats, news"),
        (["--name", "acme", "--drop", "story"], "error: --drop story: expected some of benchmarks, deploy"),
    ],
)
def test_a_wrong_answer_changes_nothing(tmp_path: Path, arguments: list[str], said: str) -> None:
    folder = template(tmp_path / "clone", *SMALL)
    refused = init(folder, *arguments)
    assert refused.returncode == 1
    assert said in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
    assert git(folder, "status", "--porcelain", "--ignored") == ""


def test_changes_of_ones_own_are_not_touched(tmp_path: Path) -> None:
    folder = template(tmp_path / "clone", *SMALL)
    (folder / "README.md").write_text("mine")
    refused = init(folder, "--name", "acme")
    assert refused.stderr == "error: the tree has changes (M README.md); commit or stash them first\n"
    assert (folder / "README.md").read_text() == "mine"


def test_a_name_that_cannot_be_renamed_changes_nothing(tmp_path: Path) -> None:
    """Mixed spelling: no rule says what becomes of it."""
    folder = template(tmp_path / "clone", *SMALL)
    (folder / "recsys" / "errors.py").write_text('"""Shown at RecSys."""\n')
    git(folder, "commit", "-q", "-a", "-m", "citation")
    refused = init(folder, "--name", "acme")
    assert refused.returncode == 1
    assert 'errors.py: line 1: the old name is left in \'"""Shown at RecSys."""\'; nothing was' in refused.stderr
    assert git(folder, "status", "--porcelain", "--ignored") == ""


def test_questions_are_asked_without_a_name(tmp_path: Path) -> None:
    folder = template(tmp_path / "clone", *SMALL)
    command, typed = [sys.executable, "-B", "-m", "template"], "acme\nfiles\nfilms\n\n"
    asked = subprocess.run(command, cwd=folder, input=typed, capture_output=True, text=True, check=False)
    assert asked.returncode == 0, asked.stderr
    answers: dict[str, Any] = yaml.safe_load((folder / ".copier-answers.yml").read_text())
    assert answers.pop("_src_path") == str(folder)
    assert answers == {"_commit": "v0.1.0", "name": "acme", "dataset": "files", "purpose": "films", "drop": []}
    split = yaml.safe_load((folder / "params.yaml").read_text())["datasets"]["files"]["split"]
    assert split["protocol"] == "per_user_holdout"
