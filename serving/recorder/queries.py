"""The SQL of the flight recorder, for `Store.manage`. An item at a version is its newest row up to that version."""

import json
from collections.abc import Mapping
from typing import Any

from recsys.schemas.store_schema import EVENT_COLUMNS, ITEM_COLUMNS, REPLAY_COLUMNS, select_from
from serving.stores import reads
from serving.stores.protocol import Event, Item
from serving.stores.writes import Write

PUT_SNAPSHOT = """INSERT INTO snapshots (kind, version, used, body) VALUES ($1, $2, $3, $4)
    ON CONFLICT (kind, version) DO UPDATE SET used = excluded.used"""
SNAPSHOT = "SELECT body FROM snapshots WHERE kind = $1 AND version = $2"
EXPOSURE = f"{select_from('exposures', *REPLAY_COLUMNS)} WHERE request_id = $1"
EVENTS = f"""{select_from("events", *EVENT_COLUMNS)} WHERE person = $1 AND received <= CAST($2 AS DOUBLE PRECISION)
    ORDER BY timestamp DESC, event_id DESC"""
MERGED = "SELECT anonymous_id FROM merges WHERE user_id = $1 AND merged > CAST($2 AS DOUBLE PRECISION)"
ITEMS = f"""SELECT version, {", ".join(ITEM_COLUMNS)} FROM items WHERE version <= $1
    UNION ALL SELECT version, {", ".join(ITEM_COLUMNS)} FROM item_versions WHERE version <= $1 ORDER BY version"""


def put_snapshot(kind: str, version: str, used: float, body: str) -> Write[None]:
    """Store a snapshot, or update the time of its last use if it is stored already. used: UTC seconds."""
    yield PUT_SNAPSHOT, [(kind, version, used, body)]


def snapshot(kind: str, version: str) -> Write[str | None]:
    """Return the text of a snapshot; None if it is not stored."""
    rows = (yield SNAPSHOT, [(kind, version)])[0]
    return rows[0][0] if rows else None


def exposure(request_id: str) -> Write[Mapping[str, Any] | None]:
    """Return column -> value of an answer's exposure, for `REPLAY_COLUMNS`; None if it is not stored."""
    rows = (yield EXPOSURE, [(request_id,)])[0]
    if not rows:
        return None
    found = dict(zip(REPLAY_COLUMNS, rows[0], strict=True))
    return {**found, **{name: json.loads(found[name] or "null") for name in ("items", "context", "replay")}}


def events(person: str, until: float) -> Write[list[Event]]:
    """Return the events of a person that were received up to a time (UTC seconds), newest first."""
    return [Event(*row) for row in (yield EVENTS, [(person, until)])[0]]


def merged_since(user_id: str, since: float) -> Write[set[str]]:
    """Return the anonymous_ids that were merged into this user after a time (UTC seconds)."""
    return {guest for (guest,) in (yield MERGED, [(user_id, since)])[0]}


def items(version: int) -> Write[dict[str, Item]]:
    """Return item_id -> the item as it was at a version of the store."""
    rows = (yield ITEMS, [(version,)])[0]
    return {item.item_id: item for item in reads.items(rows, 0)[1]}
