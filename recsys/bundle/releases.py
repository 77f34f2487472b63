"""Manages the releases of one installation: promotes a bundle, rolls back to the one before, and runs canaries.

    releases/<bundle_id>/        the bundles that were promoted
    releases/<bundle_id>.json    who promoted the bundle, when, at which git commit, after which release, and notes
    releases/state.json          the `State`: {"stack": [ids], "log": [...], ...}

The last id of the stack is the current release. `promote` pushes an id, `rollback` pops one; a canary is a second
bundle that serves a share of the units until `ramp` makes it current or `abort` ends it. state.json is replaced in one
rename, so a reader sees the old state or the new one. With a public key, a bundle is promoted or opened only if it was
signed with the matching private key.
"""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping
from contextlib import suppress
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
RESTORE = "restore a copy, or delete it and promote again"
RETRAINED = "retrained.json"  # when the last `recsys retrain` ended, and its exit code
BundleId = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]  # also the name of a folder, so it must not contain a path


def is_id(name: str) -> bool:
    """Return whether a name is a valid id of a release."""
    return re.fullmatch("[0-9a-f]{16}", name) is not None


class Entry(Section):
    """One change of the releases in the log. why: the reason that the operator gave, None without one."""

    at: datetime
    action: str
    bundle_id: BundleId
    why: str | None = None


class Canary(Section):
    """A second bundle that serves a share of the units: users and visitors, chosen by a hash of their id, see
    `experiments/online/assignment.py`. since: when it began to serve this share."""

    bundle_id: BundleId
    share: float = Field(gt=0, le=1)
    since: datetime


class State(Section):
    """The promoted releases and the log, as in `state.json`. variant: the variant to serve in place of the bundle's
    default; url: an address such as s3://bucket/releases that holds copies of the bundles, each in a folder named by
    its id; None: there is none."""

    stack: list[BundleId] = Field(default_factory=list)
    log: list[Entry] = Field(default_factory=list)
    canary: Canary | None = None
    variant: str | None = None
    url: str | None = None


def of_text(text: str, where: str) -> State:
    """Read a state from its JSON. where: the name of the source in messages.

    Raises:
        BundleError: "releases/state.json: not readable (...); restore a copy, or delete it and promote again"
    """
    try:
        return parse(State, json.loads(text), where)
    except ValueError as error:
        raise BundleError(f"{where}: not readable ({error}); {RESTORE}") from error


def read(folder: Path) -> State:
    """Read the state; an installation without releases has an empty one.

    Raises:
        BundleError: see `of_text`.
    """
    path = folder / STATE
    if not path.is_file():
        return State()
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise BundleError(f"{path}: not readable ({error}); {RESTORE}") from error
    return of_text(text, str(path))


def retrained(folder: Path) -> tuple[float, int] | None:
    """Return when the last `recsys retrain` ended, UTC seconds, and its exit code; None if no run was recorded."""
    with suppress(OSError, ValueError, KeyError):
        content = json.loads((folder / RETRAINED).read_text(encoding="utf-8"))
        return float(content["at"]), int(content["code"])
    return None


def current(folder: Path, state: State | None = None) -> Path:
    """Return the folder of the current release. state: by default the one in `folder`.

    Raises:
        BundleError: "releases: nothing was promoted yet; run `recsys releases promote bundle`"
    """
    state = read(folder) if state is None else state
    if not state.stack:
        raise BundleError(f"{folder}: nothing was promoted yet; run `recsys releases promote bundle`")
    return folder / state.stack[-1]


def source(folder: Path, state: State, bundle_id: str) -> Path | str:
    """Return the local folder of a release; if it is absent, its address below `State.url`, if that is set."""
    path = folder / bundle_id
    return f"{state.url}/{bundle_id}" if state.url and not path.is_dir() else path


def verify(folder: Path, public_key: str | None = None) -> str:
    """Check a bundle's files, and its signature if there is a public key (base64). Return its id.

    Raises:
        BundleError: see `bundle.verify` and `signing.check`.
    """
    check_signature(folder, public_key)
    return bundle.verify(folder).bundle_id


def load(folder: Path, public_key: str | None = None) -> Bundle:
    """Check a bundle's signature if there is a public key (base64), verify its files, and open it.

    Raises:
        BundleError: see `verify` and `bundle.load`.
    """
    check_signature(folder, public_key)
    return bundle.load(folder)


def promote(
    source: Path,
    folder: Path,
    public_key: str | None = None,
    check: Callable[[Path], None] | None = None,
    canary: float = 1.0,
    notes: str = "",
) -> str:
    """Verify a bundle, copy it into the releases, verify the copy, and make it current. Return its id.

    check: raises a BundleError for a bundle that cannot be served, see `recsys/recommend/self_check.py`; canary: below
    1 the bundle becomes a canary for this share of the units; notes: a text for the log.

    Raises:
        BundleError: the bundle or its copy differs from its manifest, or `check` raised; the current release stays.
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
                    raise BundleError(f"{source}: the bundle changed while it was copied; promote it again")
        state = read(folder)
        if state.stack[-1:] != [bundle_id]:
            _record(folder, bundle_id, state.stack[-1] if state.stack else None, notes)
            if canary < 1 and state.stack:
                change = {"canary": Canary(bundle_id=bundle_id, share=canary, since=datetime.now(UTC))}
                _write(folder, state, change, f"canary {canary:.0%}", bundle_id, notes)
            else:
                _write(folder, state, _made_current(state, bundle_id), "promote", bundle_id, notes)
    return bundle_id


def rollback(folder: Path, public_key: str | None = None, why: str = "") -> str:
    """Make the release before the current one current again, and return its id. why: the reason, for the log.

    Raises:
        BundleError: "releases: no release before the current one (1f...); promote another bundle instead"
    """
    with locked(folder):
        state = read(folder)
        if len(state.stack) < 2:
            now = state.stack[-1] if state.stack else "none"
            raise BundleError(f"{folder}: no release before the current one ({now}); promote another bundle instead")
        before = state.stack[-2]
        verify(folder / before, public_key)
        _write(folder, state, {"stack": state.stack[:-1], "variant": None}, "rollback", before, why)
        return before


def ramp(folder: Path, why: str = "", public_key: str | None = None) -> float | None:
    """Multiply the canary's share of the units by ten; from 1 on it becomes the current release. Return the new share,
    None if there is no canary."""
    with locked(folder):
        state = read(folder)
        if state.canary is None:
            return None
        bundle_id, share = state.canary.bundle_id, min(1.0, 10 * state.canary.share)
        if state.canary.share >= 1:
            verify(folder / bundle_id, public_key)
            _write(folder, state, _made_current(state, bundle_id), "promote", bundle_id, why)
        else:
            change = {"canary": Canary(bundle_id=bundle_id, share=share, since=datetime.now(UTC))}
            _write(folder, state, change, f"canary {share:.0%}", bundle_id, why)
        return share


def abort(folder: Path, why: str = "") -> str | None:
    """End the canary, so that the current release serves all. Return the id of the canary, None without one."""
    with locked(folder):
        state = read(folder)
        if state.canary is not None:
            _write(folder, state, {"canary": None}, "abort canary", state.canary.bundle_id, why)
        return state.canary.bundle_id if state.canary else None


def serve_variant(folder: Path, variant: str | None, why: str = "") -> None:
    """Serve this variant until the next promotion; None: serve the default variant of the current release again."""
    with locked(folder):
        state = read(folder)
        if state.stack and state.variant != variant:
            _write(folder, state, {"variant": variant}, f"serve {variant or 'default'}", state.stack[-1], why)


def prune(folder: Path, keep: int) -> list[str]:
    """Delete all releases except the canary and the newest `keep` of the stack, and unfinished copies of killed
    promotions. Return the ids of the deleted releases.

    Raises:
        BundleError: `state.json` cannot be read; nothing is deleted.
    """
    with locked(folder):
        state = read(folder)
        kept = state.stack[-keep:]
        used = {*kept, state.canary.bundle_id if state.canary else ""}
        old = [path for path in folder.iterdir() if is_id(path.name) and path.name not in used]
        if len(kept) < len(state.stack):
            _write(folder, state, {"stack": kept}, "prune", kept[-1])
        for path in old if kept else []:
            shutil.rmtree(path)
            path.with_suffix(".json").unlink(missing_ok=True)
        for path in folder.glob("*.partial/"):
            shutil.rmtree(path)
    return [path.name for path in old]


def check_signature(folder: Path, public_key: str | None) -> None:
    """Check the signature of a bundle's manifest; without a public key do nothing. Raises as `signing.check` does."""
    if public_key is not None:
        from recsys.bundle import signing  # here, so that `cryptography` is loaded only where signatures are checked

        signing.check(folder / bundle.MANIFEST, folder / bundle.SIGNATURE, public_key)


def _same(source: Path, target: Path) -> bool:
    """Return whether `target` is complete and has the same signature as `source`."""
    signatures = [folder / bundle.SIGNATURE for folder in (source, target)]
    try:
        bundle.verify(target)
    except BundleError:
        return False
    new, old = (path.read_bytes() if path.is_file() else None for path in signatures)
    return old == new


def _made_current(state: State, bundle_id: str) -> dict[str, object]:
    return {"stack": [*state.stack, bundle_id], "canary": None, "variant": None}


def _write(
    folder: Path, state: State, change: Mapping[str, object], action: str, bundle_id: str, why: str = ""
) -> None:
    entry = Entry(at=datetime.now(UTC), action=action, bundle_id=bundle_id, why=why or None)
    content = state.model_copy(update={**change, "log": [*state.log, entry]})
    write_text(folder / STATE, content.model_dump_json(indent=1, exclude_none=True) + "\n", durable=True)


def _record(folder: Path, bundle_id: str, parent: str | None, notes: str) -> None:
    """Write <bundle_id>.json: who promoted the bundle, when and from which commit; null where that is unknown."""
    commit = None
    with suppress(OSError):  # no git here
        git = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
        commit = git.stdout.strip() or None
    author = os.environ.get("USER") or str(os.getuid())
    found = {"parent": parent, "commit": commit, "author": author, "at": datetime.now(UTC).isoformat()}
    write_text(folder / f"{bundle_id}.json", json.dumps({**found, "notes": notes}, indent=1) + "\n")
