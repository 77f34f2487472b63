"""SQL queries for the pages of the Console."""

import json
from typing import Any

from serving.stores import admin, statements
from serving.stores.store import Store

OF_PERSON = f"""SELECT {", ".join(admin.SHOWN)} FROM exposures WHERE {statements.THEIRS}
    ORDER BY timestamp DESC LIMIT CAST($2 AS BIGINT)"""
NEWEST = "SELECT person, items FROM exposures ORDER BY timestamp DESC LIMIT CAST($1 AS BIGINT)"
UNITS = "SELECT unit, context FROM exposures WHERE experiment = $1 ORDER BY timestamp DESC LIMIT CAST($2 AS BIGINT)"
FINDINGS = "SELECT at, kind, what, bundle_id, policy FROM findings ORDER BY at DESC LIMIT CAST($1 AS BIGINT)"


async def shown_to(store: Store, person: str, limit: int, key: str | None) -> list[dict[str, Any]]:
    """Return at most `limit` answers to a user or visitor, newest first; write this access into the audit log. key: the
    name of the API key, None without one."""
    rows = await store.select(OF_PERSON, person, limit)
    await admin.note(store, key, "look", store.fingerprint(person), None, {"exposures": len(rows)})
    return [admin.as_row(admin.SHOWN, row) for row in rows]


async def exposure_of(store: Store, item_id: str, limit: int) -> dict[str, Any]:
    """Count in the newest `limit` answers: answers, how many there are; places, the item's positions in them; persons
    and everybody, the numbers of persons who got the item, and of all."""
    rows = await store.select(NEWEST, limit)
    places, persons, everybody = [], set(), set()
    for person, items in rows:
        everybody.add(person)
        for item in json.loads(items):
            if item["item_id"] == item_id:
                places.append(int(item["position"]))
                persons.add(person)
    return {"answers": len(rows), "places": places, "persons": len(persons), "everybody": len(everybody)}
