"""What every read makes of its rows, once for both databases."""

import json
from collections import defaultdict
from hashlib import blake2b
from typing import Any

from serving.stores.protocol import Event, Item

Rows = list[tuple[Any, ...]]


def history(rows: Rows) -> tuple[int, list[Event]]:
    """Rows newest first. The version is a digest of the event ids (63 bits): other events, other version."""
    if not rows:
        return 0, []
    ids = "\0".join([row[0] for row in rows])
    version = int.from_bytes(blake2b(ids.encode(), digest_size=8).digest()) >> 1
    return version, [Event(*row) for row in reversed(rows)]


def seen(rows: Rows) -> dict[str, bool]:
    """Rows of item_id, and whether that event was a dislike."""
    found: dict[str, bool] = {}
    for item_id, disliked in rows:
        found[item_id] = found.get(item_id, False) or bool(disliked)
    return found


def items(rows: Rows, since: int) -> tuple[int, list[Item]]:
    """Rows in the order of their versions."""
    found = []
    for _, item_id, title, text, categories, price, available, first_seen in rows:
        names = None if categories is None else tuple(json.loads(categories))
        there = None if available is None else bool(available)
        found.append(Item(item_id, title, text, names, price, there, first_seen))
    return (rows[-1][0] if rows else since), found


def recent(rows: Rows) -> dict[str, dict[str, int]]:
    """Rows of item_id, event, count."""
    counts: dict[str, dict[str, int]] = defaultdict(dict)
    for item_id, event, n in rows:
        counts[item_id][event] = n
    return dict(counts)


def forgotten(rows: Rows, since: int) -> tuple[int, frozenset[str]]:
    """Rows in the order of their versions."""
    return (rows[-1][0] if rows else since), frozenset(fingerprint for _, fingerprint in rows)
