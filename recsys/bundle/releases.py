"""The releases of one installation: promotes a bundle to be served, and rolls back to the one before.

    releases/<bundle_id>/    the bundles that were promoted        releases/state.json    {"stack": [ids], "log": [...]}

The last id of the stack is current. `promote` pushes, `rollback` pops. state.json is replaced in one rename, so a
reader sees the old state or the new one. With a public key only bundles that its owner signed are promoted or opened.
"""

import json
import re
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from pydantic import Field

from recsys.bundle import bundle
from recsys.bundle.bundle import Bundle
from recsys.errors import BundleError
from recsys.output import locked, replaced, write_text
from recsys.params import Section, parse

STATE = "state.json"
BundleId = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]  # the name of a folder: nothing that leads elsewhere


def is_id(name: str) -> bool:
    """Return whether a name is a valid id of a release."""
    return re.fullmatch("[0-9a-f]{16}", name) is not None


class Entry(Section):
    """One promotion or rollback in the log."""

    at: datetime
    action: str
    bundle_id: BundleId


class State(Section):
    """The promoted releases and the log, as in `state.json`."""

    stack: list[BundleId] = Field(default_factory=list)
    log: list[Entry] = Field(default_factory=list)


def read(folder: Path) -> State:
    """Read the state; an installation without releases has an empty one.

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
    """Return the folder of the bundle that is served now.

    Raises:
        BundleError: "releases: nothing was promoted yet; run `recsys releases promote bundle`"
    """
    state = read(folder)
    if not state.stack:
        raise BundleError(f"{folder}: nothing was promoted yet; run `recsys releases promote bundle`")
    return folder / state.stack[-1]


def verify(folder: Path, public_key: str | None = None) -> str:
    """Check a bundle's files, and its signature if there is a public key (base64). Returns its id.

    Raises:
        BundleError: see `bundle.verify` and `signing.check`.
    """
    _check_signature(folder, public_key)
    return bundle.verify(folder).bundle_id


def load(folder: Path, public_key: str | None = None) -> Bundle:
    """Verify and open a bundle.

    Raises:
        BundleError: see `verify`.
    """
    _check_signature(folder, public_key)
    return bundle.load(folder)


def promote(
    source: Path, folder: Path, public_key: str | None = None, check: Callable[[Path], None] | None = None
) -> str:
    """Verify a bundle, copy it into the releases, verify the copy, make it current. Returns its id.

    check: refuses what cannot be served, see `recsys/recommend/self_check.py`.

    Raises:
        BundleError: the bundle or its copy is not what its manifest says, or `check` refuses it; the current release
            stays.
    """
    bundle_id = verify(source, public_key)
    if check is not None:
        check(source)
    with locked(folder):  # one promotion runs at a time
        target = folder / bundle_id
        if not _same(source, target):
            with replaced(target) as aside:
                shutil.copytree(source, aside, dirs_exist_ok=True)
                if verify(aside, public_key) != bundle_id:
                    raise BundleError(f"{source}: it changed while it was copied; promote it again")
        state = read(folder)
        if state.stack[-1:] != [bundle_id]:
            _write(folder, [*state.stack, bundle_id], state, "promote")
    return bundle_id


def rollback(folder: Path, public_key: str | None = None) -> str:
    """Make the release before the current one current again. Returns its id.

    Raises:
        BundleError: "releases: no release before 1f...; promote another bundle"
    """
    with locked(folder):
        state = read(folder)
        if len(state.stack) < 2:
            now = state.stack[-1] if state.stack else "none"
            raise BundleError(f"{folder}: no release before the current one ({now}); promote another bundle instead")
        verify(folder / state.stack[-2], public_key)
        _write(folder, state.stack[:-1], state, "rollback")
        return state.stack[-2]


def prune(folder: Path, keep: int) -> list[str]:
    """Delete all releases but the newest `keep`, of which the last is current; returns the ids of the deleted ones.

    Raises:
        BundleError: `state.json` cannot be read; nothing is deleted.
    """
    with locked(folder):
        state = read(folder)
        kept = state.stack[-keep:]
        old = [path for path in folder.iterdir() if is_id(path.name) and path.name not in kept]
        if len(kept) < len(state.stack):
            _write(folder, kept, state, "prune")
        for path in old if kept else []:
            shutil.rmtree(path)
    return [path.name for path in old]


def _check_signature(folder: Path, public_key: str | None) -> None:
    if public_key is not None:
        from recsys.bundle import signing  # here, so that who wants no signatures loads no cryptography

        signing.check(folder / bundle.MANIFEST, folder / bundle.SIGNATURE, public_key)


def _same(source: Path, target: Path) -> bool:
    """Return whether the release is already there, complete and with the present signature of the source."""
    signatures = [folder / bundle.SIGNATURE for folder in (source, target)]
    try:
        bundle.verify(target)
    except BundleError:
        return False
    new, old = (path.read_bytes() if path.is_file() else None for path in signatures)
    return old == new


def _write(folder: Path, stack: list[BundleId], state: State, action: str) -> None:
    entry = Entry(at=datetime.now(UTC), action=action, bundle_id=stack[-1])
    content = State(stack=stack, log=[*state.log, entry]).model_dump_json(indent=1)
    write_text(folder / STATE, content + "\n", durable=True)
