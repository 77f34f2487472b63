"""Compares two releases: settings, data, offline metrics by segment, and the lists of users."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from recsys.bundle import bundle
from recsys.drift import canary

SKIPPED = {"bundle_id", "files", "format"}
USERS = 200


def lines(folder: Path, first: str, second: str) -> list[str]:
    """Return the differences, one a line: `key: value -> other`.

    Raises:
        BundleError: one of them is no release, or damaged.
    """
    old, new = (bundle.load(folder / one) for one in (first, second))
    manifests = [_flat(json.loads((folder / one / bundle.MANIFEST).read_text())) for one in (first, second)]
    found = []
    for key in sorted({*manifests[0], *manifests[1]}):
        before, after = (manifest.get(key, "-") for manifest in manifests)
        if before != after:
            found.append(f"{key}: {before} -> {after}")
    for one in (first, second):
        record = folder / f"{one}.json"
        found.append(f"{one}: {' '.join(record.read_text().split()) if record.is_file() else 'no record'}")
    users = new.histories.users
    step = -(-len(users) // USERS) or 1
    persons = [f"u:{users.external_id(at)}" for at in range(0, len(users), step)]
    return [*found, f"lists of {new.manifest.default_variant}: {canary.replay(new, old, persons, [])}"]


def _flat(content: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in content.items():
        if not before and key in SKIPPED:
            continue
        name = f"{before}{key}"
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{name}.")
        else:
            flat[name] = value
    return flat
