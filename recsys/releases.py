"""The releases of one installation: which bundle is served now, and the way back.

    releases/<bundle_id>/    the bundles that were promoted        releases/state.json    {"stack": [ids], "log": [...]}

The last id of the stack is current. `promote` pushes, `rollback` pops. state.json is replaced in one rename, so a
reader sees the old state or the new one.
"""

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from pydantic import Field

from recsys import bundle
from recsys.errors import BundleError
from recsys.params import Section, parse

STATE = "state.json"


class Entry(Section):
    """One line of the log."""

    at: datetime
    action: str
    bundle_id: str


class State(Section):
    """What `state.json` holds."""

    stack: list[str] = Field(default_factory=list)
    log: list[Entry] = Field(default_factory=list)


def read(folder: Path) -> State:
    """The state; an installation without releases has an empty one.

    Raises:
        BundleError: "releases/state.json: not readable (...); restore it from a copy or promote again"
    """
    path = folder / STATE
    if not path.is_file():
        return State()
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BundleError(f"{path}: not readable ({error}); restore a copy, or delete it and promote again") from error
    return parse(State, content, str(path))


def current(folder: Path) -> Path:
    """The folder of the bundle that is served now.

    Raises:
        BundleError: "releases: nothing was promoted yet; run `recsys releases promote bundle`"
    """
    state = read(folder)
    if not state.stack:
        raise BundleError(f"{folder}: nothing was promoted yet; run `recsys releases promote bundle`")
    return folder / state.stack[-1]


def promote(source: Path, folder: Path) -> str:
    """Verify a bundle, copy it into the releases, verify the copy, make it current. Returns its id.

    Raises:
        BundleError: when the bundle or its copy is not what its manifest says; the current release stays.
    """
    bundle_id = bundle.verify(source).bundle_id
    with _locked(folder):
        target = folder / bundle_id
        if not target.is_dir():
            aside = folder / f"{bundle_id}.partial"
            shutil.rmtree(aside, ignore_errors=True)
            shutil.copytree(source, aside)
            bundle.verify(aside)
            aside.rename(target)
        bundle.verify(target)
        state = read(folder)
        if state.stack[-1:] != [bundle_id]:
            _write(folder, [*state.stack, bundle_id], state, "promote")
    return bundle_id


def rollback(folder: Path) -> str:
    """Make the release before the current one current again. Returns its id.

    Raises:
        BundleError: "releases: no release before 1f...; promote another bundle"
    """
    with _locked(folder):
        state = read(folder)
        if len(state.stack) < 2:
            now = state.stack[-1] if state.stack else "none"
            raise BundleError(f"{folder}: no release before the current one ({now}); promote another bundle instead")
        bundle.verify(folder / state.stack[-2])
        _write(folder, state.stack[:-1], state, "rollback")
        return state.stack[-2]


def _write(folder: Path, stack: list[str], state: State, action: str) -> None:
    entry = Entry(at=datetime.now(UTC), action=action, bundle_id=stack[-1])
    content = State(stack=stack, log=[*state.log, entry]).model_dump_json(indent=1)
    aside = folder / f"{STATE}.partial"
    with aside.open("w", encoding="utf-8") as file:
        file.write(content + "\n")
        file.flush()
        os.fsync(file.fileno())
    aside.replace(folder / STATE)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One promotion at a time, also from several machines that share a folder which supports locks."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
