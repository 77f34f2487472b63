"""What a hosting site reads (workflows, forms, devcontainer) is valid and calls the commands that people call."""

import json
import os
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
TARGETS = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))
# Name of a schema that check-jsonschema carries -> the files that it holds for.
SCHEMAS = {
    "github-workflows": WORKFLOWS,
    "dependabot": [ROOT / ".github" / "dependabot.yml"],
    "github-issue-forms": [
        path for path in (ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml") if path.stem != "config"
    ],
    "github-issue-config": [ROOT / ".github" / "ISSUE_TEMPLATE" / "config.yml"],
    "citation-file-format": [ROOT / "CITATION.cff"],
    "compose-spec": [ROOT / "deploy" / "compose.yaml"],
}
DEPLOYS = (ROOT / "deploy" / "Dockerfile").is_file()  # a product may leave the image out
if not DEPLOYS:
    del SCHEMAS["compose-spec"]


def commands(workflow: dict[str, Any]) -> list[str]:
    return [step["run"] for job in workflow["jobs"].values() for step in job["steps"] if "run" in step]


@pytest.mark.parametrize("schema", SCHEMAS)
def test_it_fits_the_schema(schema: str) -> None:
    assert SCHEMAS[schema]
    checked = subprocess.run(
        ["check-jsonschema", "--builtin-schema", f"vendor.{schema}", *map(str, SCHEMAS[schema])],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_there_is_a_workflow_for_each_promise() -> None:
    assert {path.stem for path in WORKFLOWS} >= {"lint", "tests", "docs"} | ({"image"} if DEPLOYS else set())


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_calls_a_make_target_that_exists(path: Path) -> None:
    workflow = yaml.safe_load(path.read_text())
    named = {target for command in commands(workflow) for target in re.findall(r"\bmake ([a-z]+)", command)}
    assert named, f"{path.name} calls no make target"
    assert named <= TARGETS, f"the Makefile has no target {sorted(named - TARGETS)}"


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_may_only_read_and_ends(path: Path) -> None:
    workflow = yaml.safe_load(path.read_text())
    assert workflow["permissions"] == {"contents": "read"}
    assert all(job["timeout-minutes"] <= 120 for job in workflow["jobs"].values())


def test_named_scripts_can_be_run() -> None:
    container = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text())
    lines = [container["postCreateCommand"], *(ROOT / ".ci" / "run").read_text().splitlines()]
    for path in WORKFLOWS:
        lines += commands(yaml.safe_load(path.read_text()))
    scripts = {script for line in lines for script in re.findall(r"(?:^|\s)(\.ci/\w+)", line)}
    assert ".ci/packages" in scripts
    assert all(os.access(ROOT / script, os.X_OK) for script in scripts)


def test_one_python_everywhere() -> None:
    container = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text())
    images = {container["image"]}
    for path in WORKFLOWS:
        images |= {job["container"] for job in yaml.safe_load(path.read_text())["jobs"].values() if "container" in job}
    assert images == {"python:3.11-bookworm"}
    assert not DEPLOYS or "FROM python:3.11-slim-bookworm" in (ROOT / "deploy" / "Dockerfile").read_text()


def test_the_citation_names_the_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert (citation["version"], citation["license"]) == (project["version"], project["license"])


def test_every_python_file_compiles_without_a_warning() -> None:
    for top in ("recsys", "serving", "benchmarks", "deploy", "docs", "tests"):
        for path in (ROOT / top).rglob("*.py"):
            compile(path.read_text(encoding="utf-8"), str(path), "exec")
