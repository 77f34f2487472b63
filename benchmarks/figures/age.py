"""How many commits have touched the code that a results file measures since the commit that it was measured at.

The code is what the benchmark imports of `recsys` and `serving`, and what it runs in other processes: a benchmark names
the files or folders where that begins in `MEASURES`. Files are followed through renames.
"""

import ast
import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.provenance import TOP
from benchmarks.structure import imports

FOLDERS = ("benchmarks/results", "docs/results")
CODE = ("recsys", "serving")


@dataclass(frozen=True)
class Age:
    """commits: None where the commit is not in this history, as after a rebase."""

    path: Path
    origin: dict[str, Any]
    commits: int | None


def ages(root: Path = TOP, until: str = "HEAD") -> list[Age]:
    """All results files of the tree `root`, which is what `until` holds, the oldest first."""
    found = []
    for path in sorted(file for folder in FOLDERS for file in (root / folder).glob("*.json")):
        origin = json.loads(path.read_text(encoding="utf-8"))["provenance"]
        files = frozenset(str(file.relative_to(root)) for file in measured(root, module_of(origin["command"])))
        found.append(Age(path, origin, touched(files, origin["commit"], until)))
    return sorted(found, key=lambda age: -(10**9 if age.commits is None else age.commits))


def module_of(command: str) -> str:
    """`benchmarks.models.als` of "python -m benchmarks.models.als shop"."""
    match = re.match(r"python -m (benchmarks[\w.]*)", command)
    if match is None:
        raise ValueError(f"a figure's command is `python -m benchmarks...`, not {command!r}")
    return match[1]


@cache
def measured(root: Path, module: str) -> frozenset[Path]:
    """The files whose change makes the figures of a benchmark stale."""
    package = root.joinpath(*module.split("."), "__main__.py")
    entry = package if package.is_file() else imports.file_of(root, module)
    if entry is None:
        raise ValueError(f"there is no benchmark {module}: the command of a results file has to run today")
    files = _closure(root, entry)
    declared = {root / name for file in files for name in _declared(file)}
    for path in declared:
        starts = path.rglob("*.py") if path.is_dir() else [path]
        files |= {file for start in starts for file in (_closure(root, start) if start.suffix == ".py" else {start})}
    code = (file for file in files if file.relative_to(root).parts[0] in CODE)
    return frozenset([*code, *(path for path in declared if path.is_file())])


def _closure(root: Path, entry: Path) -> set[Path]:
    files, folders = imports.closure(root, entry, (*CODE, "benchmarks"))
    by_name = (file for folder in folders for file in (root / "recsys" / folder).rglob("*.py"))
    return set(files).union(*(imports.closure(root, file, CODE)[0] for file in by_name))


def _declared(path: Path) -> Iterator[str]:
    if "benchmarks" in path.parts:
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", None) == "MEASURES":
                yield from ast.literal_eval(node.value)


def touched(files: frozenset[str], since: str, until: str = "HEAD", top: Path = TOP) -> int | None:
    """Commits after `since` up to `until` that changed one of the files, under whatever name they had then."""
    names, count = set(files), 0
    changes = _changes(since, until, top)
    if changes is None:
        return None
    for commit in changes:
        mine = [change for change in commit if change[-1] in names]
        count += any(not change[0].startswith("R100") for change in mine)
        names |= {change[1] for change in mine if change[0].startswith("R")}
    return count


@cache
def _changes(since: str, until: str, top: Path) -> list[list[list[str]]] | None:
    """The changes of each commit, the newest first: (status, name) or (status, old name, new name)."""
    command = ["git", "log", "--format=%x00", "--name-status", "-M", f"{since}..{until}"]
    done = subprocess.run(command, cwd=top, capture_output=True, text=True, check=False)
    if done.returncode:
        return None
    parts = done.stdout.split("\0")[1:]
    return [[line.split("\t") for line in part.strip().splitlines()] for part in parts]
