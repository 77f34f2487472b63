"""Writes the product: every file of the template that it has, under its own name. `recsys init` and copier call this.

copier calls `python template/render.py TARGET ANSWERS` in a clone of the template; ANSWERS is a JSON object.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # copier runs this file of a clone

from template.parts import chosen, without
from template.rename import OLD, renamed

ANSWERS_FILE = ".copier-answers.yml"
SPLITS = {  # of the data set: how its events become folds, and what counts
    "first-purchases": {"protocol": "global_time", "allow_repeat": "false"},
    "repeats": {"protocol": "global_time", "allow_repeat": "true"},
    "news": {"protocol": "global_time", "allow_repeat": "false"},
    "films": {"protocol": "per_user_holdout", "allow_repeat": "false", "cold_item_share": "0.1"},
}


def render(source: Path, target: Path, answers: dict[str, Any]) -> list[Path]:
    """Write the files of a product into a folder, and return their paths in it.

    Args:
        answers: name, dataset, purpose, drop (a list), and what copier adds (_commit, _src_path).
    """
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=source, capture_output=True, text=True, check=True).stdout
    paths = listed.strip("\0").split("\0")
    kept = chosen(paths, answers["drop"], source)
    left_out = set(paths) - set(kept)
    written = []
    for path in kept:
        new = target / (path if Path(path).name == "LICENSE" else renamed(path, answers["name"]))
        new.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / path, new)
        shutil.copymode(source / path, new)
        written.append(new)
        text = text_of(new)
        if text is not None and new.name != "LICENSE":
            text = changed(text, path, answers, left_out)
            new.write_text(text if path == "CHANGELOG.md" else renamed(text, answers["name"]), encoding="utf-8")
    shown = {key: answers[key] for key in ("_commit", "_src_path", "name", "dataset", "purpose", "drop")}
    lines = "".join(f"{key}: {json.dumps(value)}\n" for key, value in shown.items())  # JSON is YAML
    (target / ANSWERS_FILE).write_text("# Written by init and copier; leave it as it is.\n" + lines, encoding="utf-8")
    style(target, [path for path in written if path.suffix == ".py"])
    check(written)
    return [*written, target / ANSWERS_FILE]


def text_of(path: Path) -> str | None:
    """Return the text of a file; None if it is no UTF-8 text."""
    try:
        text = path.read_bytes().decode()
    except UnicodeDecodeError:
        return None
    return None if "\0" in text else text


def changed(text: str, path: str, answers: dict[str, Any], left_out: set[str]) -> str:
    """Return the text of a file as the product has it, under the old names."""
    if path == "params.yaml":
        text = settings(text, answers)
    if path == "README.md":
        text = readme(text, answers)
    if path == "CHANGELOG.md":
        begun = f"Begun from the template {OLD}; `.copier-answers.yml` has its version."
        return f"# Changelog\n\n## [Unreleased]\n\n### Added\n- {begun}\n"
    if path == "pyproject.toml":
        text = text.replace(
            "ignore = [\n", 'ignore = [\n  "E501", # `ruff format` folds code; texts grew with the name\n', 1
        )
    if path in ("tests/house/test_texts.py", "CONTRIBUTING.md"):  # lines fold, and files grow, with a longer name
        text = re.sub(r"(?<!\d)(?:300|60)(?=[ _]lines)|(?<=> )(?:300|60)\b", lambda n: str(int(n[0]) * 11 // 10), text)
    return without(text, path, answers["drop"], left_out)


def settings(text: str, answers: dict[str, Any]) -> str:
    """Return params.yaml with the data set, and its split for the purpose."""
    text = re.sub(r"(?m)^dataset: \S+", f"dataset: {answers['dataset']}", text)
    section = re.search(rf"(?ms)^  {answers['dataset']}:.*?^    split: \{{(.*?)\}}", text)
    if section is None:
        raise SystemExit(f"params.yaml: no data set {answers['dataset']!r} with a line `split: {{...}}`")
    split = dict(pair.split(": ", 1) for pair in re.findall(r"\w+: (?:\[.*?\]|[^,]+)", section[1]))
    split.pop("cold_item_share", None)
    line = ", ".join(f"{key}: {value}" for key, value in (split | SPLITS[answers["purpose"]]).items())
    return text[: section.start(1)] + line + text[section.end(1) :]


def readme(text: str, answers: dict[str, Any]) -> str:
    """Return the README of the product: what it is for, and the sections of the template's that hold for it too."""
    sections = dict(re.findall(r"(?ms)^## (.*?)\n(.*?)(?=^## |\Z)", text))
    head = (Path(__file__).parent / "product.txt").read_text(encoding="utf-8")
    head = head.format(title=answers["name"], **{key: answers[key] for key in ("dataset", "purpose")})
    names = ["How it works", "Make it yours", "Operate it", "What it is not"]
    names[1:1] = [] if "benchmarks" in answers["drop"] else ["Results"]
    return head + "".join(f"\n## {name}\n{sections[name].rstrip()}\n" for name in names)


def style(target: Path, paths: list[Path]) -> None:
    """Sort the imports and fold the lines that the new name has moved."""
    folders = os.pathsep.join([str(Path(sys.executable).parent), str(Path(".venv/bin").resolve()), os.environ["PATH"]])
    ruff = shutil.which("ruff", path=folders)
    if ruff is None:
        raise SystemExit("ruff: no such program; run `make setup` first, it installs it into .venv")
    for command in (["check", "--quiet", "--fix", "--exit-zero"], ["format", "--quiet"]):
        subprocess.run([ruff, *command, *map(str, paths)], cwd=target, check=True)


def check(paths: list[Path]) -> None:
    """Refuse a result in which the old name is left."""
    for path in paths:
        if path.name in ("LICENSE", "CHANGELOG.md"):
            continue
        lines = [str(path), *(text_of(path) or "").splitlines()]
        for number, line in enumerate(lines):
            if OLD in line.lower():
                raise SystemExit(f"{path}: line {number}: the old name is left in {line!r:.200}; nothing was changed")


if __name__ == "__main__":
    render(Path(__file__).resolve().parents[1], Path(sys.argv[1]), json.loads(sys.argv[2]))
