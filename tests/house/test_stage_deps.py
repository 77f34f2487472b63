"""DVC does not follow imports: every file of recsys that a stage imports must be among the stage's `deps`.

The closure is read from the source with `ast`. A call such as `extensions.load("models", name)` imports a file by name:
then the whole folder is in the closure, or the one file that the stage is about (`${key}`, `${dataset}`).
"""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = {path.name for path in (ROOT / "recsys").iterdir() if path.is_dir() and (path / "__init__.py").is_file()}


def file_of(module: str) -> Path | None:
    base = ROOT.joinpath(*module.split("."))
    for path in (base.with_suffix(".py"), base / "__init__.py"):
        if path.is_file():
            return path
    return None


def has_code(path: Path) -> bool:
    return any(not isinstance(node, ast.Expr) for node in ast.parse(path.read_text()).body)


def imported_modules(path: Path) -> Iterator[str]:
    for node in runtime_nodes(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def runtime_nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those under `if TYPE_CHECKING:`."""
    for node in ast.iter_child_nodes(tree):
        if not (isinstance(node, ast.If) and getattr(node.test, "id", None) == "TYPE_CHECKING"):
            yield node
            yield from runtime_nodes(node)


def folders_loaded_by_name(path: Path) -> set[str]:
    """Folders of recsys from which the file imports by a name that is known at run time only."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and node.args:
            first = node.args[0]
            text = first.values[0] if isinstance(first, ast.JoinedStr) and first.values else first
            value = getattr(text, "value", None)
            called = ast.unparse(node.func)
            if called.endswith("import_module") and (match := re.match(r"recsys\.(\w+)\.", str(value))):
                found.add(match[1])
            if called in ("extensions.load", "extensions.build") and value in FOLDERS:
                found.add(str(value))
    return found


@cache
def closure(path: Path) -> tuple[frozenset[Path], frozenset[str]]:
    """The recsys files that running `path` imports, itself included, and the folders it imports from by name."""
    files, folders, todo = set(), set(), [path]
    while todo:
        current = todo.pop()
        if current in files:
            continue
        files.add(current)
        folders |= folders_loaded_by_name(current)
        for module in imported_modules(current):
            parts = module.split(".")
            if parts[0] == "recsys":
                todo += [f for n in range(1, len(parts) + 1) if (f := file_of(".".join(parts[:n])))]
    return frozenset(f for f in files if f.name != "__init__.py" or has_code(f)), frozenset(folders)


def stages() -> dict[str, dict[str, Any]]:
    definitions = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    return {name: definition.get("do", definition) for name, definition in definitions.items()}


def commands(stage: dict[str, Any]) -> list[str]:
    return [stage["cmd"]] if isinstance(stage["cmd"], str) else list(stage["cmd"])


def uncovered(stage: dict[str, Any]) -> set[str]:
    deps = {Path(dep) for dep in stage["deps"]}
    params: dict[str, Any] = yaml.safe_load((ROOT / "params.yaml").read_text())
    own = {"datasets": params["datasets"], "models": params["models"]}
    missing = set()
    for command in commands(stage):
        entry = file_of(command.split()[2])
        assert entry, f"{command}: no such module"
        files, folders = closure(entry)
        files = set(files)
        for folder in folders:
            templates = [dep for dep in deps if dep.parent == Path("recsys", folder) and "$" in dep.name]
            if templates and folder in own:
                for name in own[folder]:
                    named = ROOT / "recsys" / folder / f"{name}.py"
                    assert named.is_file(), f"params.yaml names {folder}.{name}, but there is no {named}"
                    files |= closure(named)[0]
                    deps.add(named.relative_to(ROOT))
            else:
                files |= {f for file in (ROOT / "recsys" / folder).glob("*.py") for f in closure(file)[0]}
        relative = {file.relative_to(ROOT) for file in files}
        missing |= {str(file) for file in relative if not any(file.is_relative_to(dep) for dep in deps)}
    return missing


@pytest.mark.parametrize("name", stages())
def test_deps_cover_the_imports(name: str) -> None:
    missing = sorted(uncovered(stages()[name]))
    assert not missing, f"dvc.yaml, stage {name!r} imports what is not in its deps: {', '.join(missing)}"


@pytest.mark.parametrize("name", stages())
def test_deps_name_only_what_is_imported(name: str) -> None:
    """A folder counts as imported if one file in it is."""
    stage = stages()[name]
    files: set[Path] = set()
    for command in commands(stage):
        entry = file_of(command.split()[2])
        assert entry
        own, folders = closure(entry)
        files |= own
        for folder in folders:
            files |= {f for file in (ROOT / "recsys" / folder).glob("*.py") for f in closure(file)[0]}
    sources = [Path(dep) for dep in stage["deps"] if dep.startswith("recsys") and "$" not in dep]
    idle = [str(dep) for dep in sources if not any(f.relative_to(ROOT).is_relative_to(dep) for f in files)]
    assert not idle, f"dvc.yaml, stage {name!r} has deps that it does not import: {', '.join(idle)}"


def test_a_missing_dep_is_noticed() -> None:
    stage = dict(stages()["split"])
    stage["deps"] = [dep for dep in stage["deps"] if dep != "recsys/data"]
    assert "recsys/data/split.py" in uncovered(stage)
