"""The SQL of the flight recorder. An item at a version is its newest row of that version or an older one."""

import json
from collections.abc import Mapping
from typing import Any

from recsys.schemas.store_schema import EVENT_COLUMNS, ITEM_COLUMNS, REPLAY_COLUMNS, select_from
from serving.stores import reads
from serving.stores.protocol import Event, Item
from serving.stores.store import Store

PUT_SNAPSHOT = """INSERT INTO snapshots (kind, version, used, body) VALUES ($1, $2, $3, $4)
    ON CONFLICT (kind, version) DO UPDATE SET used = excluded.used"""
SNAPSHOT = "SELECT body FROM snapshots WHERE kind = $1 AND version = $2"
EXPOSURE = f"{select_from('exposures', *REPLAY_COLUMNS)} WHERE request_id = $1"
EVENTS = f"""{select_from("events", *EVENT_COLUMNS)} WHERE person = $1 AND received <= CAST($2 AS DOUBLE PRECISION)
    ORDER BY timestamp DESC, event_id DESC"""
MERGED = "SELECT anonymous_id FROM merges WHERE user_id = $1 AND merged > CAST($2 AS DOUBLE PRECISION)"
ITEMS = f"""SELECT version, {", ".join(ITEM_COLUMNS)} FROM items WHERE version <= $1
    UNION ALL SELECT version, {", ".join(ITEM_COLUMNS)} FROM item_versions WHERE version <= $1 ORDER BY version"""


async def snapshot(store: Store, kind: str, version: str) -> str | None:
    """Return the text of a snapshot; None if it is not stored."""
    rows = await store.select(SNAPSHOT, kind, version)
    return rows[0][0] if rows else None


async def exposure(store: Store, request_id: str) -> Mapping[str, Any] | None:
    """Return column -> value of an answer's exposure, for `REPLAY_COLUMNS`; None if it is not stored."""
    rows = await store.select(EXPOSURE, request_id)
    if not rows:
        return None
    found = dict(zip(REPLAY_COLUMNS, rows[0], strict=True))
    return {**found, **{name: json.loads(found[name] or "null") for name in ("items", "context", "replay")}}


async def events(store: Store, person: str, until: float) -> list[Event]:
    """Return the events of a person that were received up to a time (UTC seconds), newest first."""
    return [Event(*row) for row in await store.select(EVENTS, person, until)]


async def merged_since(store: Store, user_id: str, since: float) -> set[str]:
    """Return the anonymous_ids that were merged into this user after a time (UTC seconds)."""
    return {guest for (guest,) in await store.select(MERGED, user_id, since)}


async def items(store: Store, version: int) -> dict[str, Item]:
    """Return item_id -> the item as it was at a version of the store."""
    return {item.item_id: item for item in reads.items(await store.select(ITEMS, version), 0)[1]}
