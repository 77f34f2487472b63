"""`recsys lock`: restores a `dvc.lock` that a killed `dvc repro` left damaged."""

import json
import subprocess
from pathlib import Path

import yaml

from recsys.output import write_text


def restore(path: Path) -> None:
    """Restore a damaged lock file from the copy that an earlier call made, or from git; copy it if it is intact."""
    in_use, kept = (path.parent / ".dvc" / "tmp" / name for name in ("rwlock", "dvc.lock.kept"))
    if in_use.exists() and not _is_json(in_use):  # DVC's record of the files in use by running commands
        in_use.unlink()
        print(f"{in_use}: damaged, probably by a killed run: removed")
    if not path.exists() or _is_lock(path):
        if path.exists():
            write_text(kept, path.read_text(encoding="utf-8"))
        return
    committed = path.with_name("dvc.lock.committed")
    git = subprocess.run(["git", "show", f"HEAD:./{path.name}"], cwd=path.parent, capture_output=True, check=False)
    committed.write_bytes(git.stdout)
    for source, named in ((kept, "the copy of the last run"), (committed, "git")):
        if _is_lock(source):
            write_text(path, source.read_text(encoding="utf-8"))
            print(f"{path}: damaged, probably by a killed run: restored from {named}")
            break
    else:
        path.unlink()
        print(f"{path}: damaged, probably by a killed run, and there is no copy: removed; `dvc repro` runs every stage")
    committed.unlink()


def _is_json(path: Path) -> bool:
    try:
        json.loads(path.read_bytes())
    except ValueError:
        return False
    return True


def _is_lock(path: Path) -> bool:
    """Return whether DVC can read the file: a truncated file is often still valid YAML."""
    from dvc.schema import COMPILED_LOCKFILE_SCHEMA  # imported here, because it is slow

    try:
        return bool(COMPILED_LOCKFILE_SCHEMA(yaml.safe_load(path.read_text(encoding="utf-8"))))
    except Exception:  # noqa: BLE001 (any error means damage)
        return False
