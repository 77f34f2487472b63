"""DVC does not follow imports: every file of recsys that a stage imports must be among the stage's `deps`.

Of a folder from which a stage imports by name (`benchmarks/structure/imports.py`) the whole folder is needed, or the
one file that the stage is about (`${key}`, `${dataset}`).
"""

from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmarks.structure import imports

ROOT = Path(__file__).resolve().parents[2]


def closure(path: Path) -> tuple[frozenset[Path], frozenset[str]]:
    return imports.closure(ROOT, path, ("recsys",))


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
        entry = imports.file_of(ROOT, command.split()[2])
        assert entry, f"{command}: no such module"
        imported, folders = closure(entry)
        files = set(imported)
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
        entry = imports.file_of(ROOT, command.split()[2])
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
