"""Queries of the pages, and entries of the audit log, as functions for `Store.manage`."""

import json
from typing import Any

from serving.stores import statements
from serving.stores.writes import Write, Writes, audit

SHOWN = ("request_id", "timestamp", "experiment", "variant", "bundle_id", "surface", "segment", "items", "context")
_SELECT = f"SELECT {', '.join(SHOWN)} FROM exposures"
OF_PERSON = f"{_SELECT} WHERE {statements.THEIRS} ORDER BY timestamp DESC LIMIT CAST($2 AS BIGINT)"
NEWEST = "SELECT person, items FROM exposures ORDER BY timestamp DESC LIMIT CAST($1 AS BIGINT)"
UNITS = """SELECT unit, context FROM exposures WHERE experiment = $1 ORDER BY timestamp DESC LIMIT CAST($2 AS BIGINT)"""

FINDINGS = "SELECT at, kind, what, bundle_id, policy FROM findings ORDER BY at DESC LIMIT CAST($1 AS BIGINT)"


def findings(limit: int, _: Writes) -> Write[list[tuple[float, str, str, str, str]]]:
    """Return (UTC seconds, kind, description, bundle id, action taken) of the watcher's newest findings."""
    rows = yield FINDINGS, [(limit,)]
    return list(rows[0])


def shown_to(writes: Writes, person: str, limit: int, key: str | None) -> Write[list[dict[str, Any]]]:
    """Return at most `limit` answers to a user or visitor, newest first; write this access into the audit log. key: the
    name of the API key, None without one."""
    rows = yield OF_PERSON, [(person, limit)]
    yield statements.NOTE, [audit(key, "look", writes.fingerprint(person), None, {"exposures": len(rows[0])})]
    found = [dict(zip(SHOWN, row, strict=True)) for row in rows[0]]
    return [row | {name: json.loads(row[name]) for name in ("items", "context")} for row in found]


def exposure_of(item_id: str, limit: int) -> Write[dict[str, Any]]:
    """Count in the newest `limit` answers: answers, how many there are; places, the item's positions in them; persons
    and everybody, the numbers of persons who got the item, and of all."""
    rows = yield NEWEST, [(limit,)]
    places, persons, everybody = [], set(), set()
    for person, items in rows[0]:
        everybody.add(person)
        for item in json.loads(items):
            if item["item_id"] == item_id:
                places.append(int(item["position"]))
                persons.add(person)
    return {"answers": len(rows[0]), "places": places, "persons": len(persons), "everybody": len(everybody)}


def units_of(experiment: str, limit: int, _: Writes) -> Write[list[tuple[str, str]]]:
    """Return (unit, arm) of the newest answers of an experiment, at most `limit`."""
    rows = yield UNITS, [(experiment, limit)]
    return [(unit, str(json.loads(context)["arm"])) for unit, context in rows[0]]


def note(key: str | None, action: str, what: str, before: Any, after: Any) -> Write[None]:
    """Write an entry of the audit log; see `serving.stores.writes.audit`."""
    yield statements.NOTE, [audit(key, action, what, before, after)]
