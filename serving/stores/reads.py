"""Converts the rows of every read, for both databases.

An invalid cell, which an older version or another program wrote, becomes None; a row without a valid id or time is
dropped. The metric `recsys_store_rows_unusable` counts both.
"""

import json
from hashlib import blake2b
from math import isfinite
from typing import Any, TypeGuard

from msgspec.structs import astuple
from prometheus_client import Counter

from recsys.schemas.field_limits import EARLIEST, LATEST, is_packed_vector, number_fault, read_attributes
from serving.stores.protocol import Event, Item, PersonEvent

Rows = list[tuple[Any, ...]]

UNUSABLE = Counter("recsys_store_rows_unusable", "Rows read from the store with an invalid cell", ["table"])
FIRST, LAST = EARLIEST.timestamp(), LATEST.timestamp()


def history(rows: Rows) -> tuple[int, list[Event]]:
    """Return (version, events oldest first). rows: newest first; version: an integer of 63 bits, a hash of the ids."""
    if not rows:
        return 0, []
    ids = "\0".join([row[0] for row in rows])
    version = int.from_bytes(blake2b(ids.encode(), digest_size=8).digest()) >> 1
    events = [Event(*row) for row in reversed(rows)]
    usable = [event for event in events if _is_number(event.timestamp) and event.timestamp <= LAST]
    if len(usable) < len(events):
        UNUSABLE.labels("events").inc(len(events) - len(usable))
    return version, usable


def seen(rows: Rows) -> dict[str, bool]:
    """Convert rows of (item_id, whether the event was a dislike) to item_id -> whether it was ever disliked."""
    found: dict[str, bool] = {}
    for item_id, disliked in rows:
        found[item_id] = found.get(item_id, False) or bool(disliked)
    return found


def items(rows: Rows, since: int) -> tuple[int, list[Item]]:
    """Convert rows of items, sorted by version. Return the last version (`since` without rows), and the items."""
    found = []
    for _, item_id, *cells in rows:
        title, text, categories, price, available, first_seen, attributes, vector = cells
        item = Item(
            item_id,
            title if isinstance(title, str) else None,
            text if isinstance(text, str) else None,
            names(categories),
            price if _is_number(price) and number_fault(price, negative=False) is None else None,
            None if available is None else bool(available),
            # later than the latest allowed time means that the item is not sold yet
            min(first_seen, LAST) if _is_number(first_seen) and first_seen >= FIRST else None,
            attributes if read_attributes(attributes) is not None else None,
            vector if is_packed_vector(vector) else None,
        )
        lost = any((one is None) != (cell is None) for one, cell in zip(astuple(item)[1:], cells, strict=True))
        if lost or first_seen != item.first_seen:
            UNUSABLE.labels("items").inc()
        found.append(item)
    return (rows[-1][0] if rows else since), found


def _is_number(cell: Any) -> TypeGuard[float]:
    return isinstance(cell, int | float) and isfinite(cell)


def names(cell: Any) -> tuple[str, ...] | None:
    """Convert a list of texts in JSON to a tuple; None if it is anything else."""
    try:
        found = json.loads(cell) if isinstance(cell, str) else None
    except ValueError:
        return None
    return tuple(found) if isinstance(found, list) and all(isinstance(name, str) for name in found) else None


def newest(rows: Rows) -> list[PersonEvent]:
    """Convert rows of events with their owners; keep their order."""
    found = [PersonEvent(*row) for row in rows]
    usable = [e for e in found if all(map(_is_number, e[4:])) and all(isinstance(cell, str) for cell in e[:4])]
    if len(usable) < len(found):
        UNUSABLE.labels("events").inc(len(found) - len(usable))
    return usable


def forgotten(rows: Rows, since: int) -> tuple[int, frozenset[str]]:
    """Convert rows of forgotten users, sorted by version. Return the last version, and the fingerprints."""
    return (rows[-1][0] if rows else since), frozenset(fingerprint for _, fingerprint in rows)
