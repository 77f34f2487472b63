"""Privacy and audit: exports all data about a person, reads the log of administrators' actions, deletes old rows.

The log has salted hashes in place of user ids, so forgetting a user does not change it.
"""

import json
import time
from collections.abc import Mapping
from typing import Any

from recsys.contracts import SECONDS_PER_DAY
from recsys.schemas.store_schema import EVENT_COLUMNS
from serving.stores import migrations, statements
from serving.stores.statements import AUDIT, NOTE
from serving.stores.store import Store
from serving.stores.writes import audit

Row = dict[str, Any]

SHOWN = ("request_id", "timestamp", "experiment", "variant", "bundle_id", "surface", "segment", "items", "context",
    "replay")  # fmt: skip
OWN_ITEMS = "person IN ('u:' || CAST($1 AS TEXT), 'a:' || CAST($1 AS TEXT))"
OWN = "user_id = $1 OR anonymous_id = $1"
PERSONAL: dict[str, tuple[tuple[str, ...], str]] = {
    "events": (EVENT_COLUMNS, statements.THEIRS),
    "exposures": (("unit", "user_id", "anonymous_id", *SHOWN), statements.THEIRS),
    "person_items": (("item_id", "event", "counted"), OWN_ITEMS),
    "identities": (("anonymous_id", "merged"), OWN),
    "merges": (("anonymous_id", "merged"), OWN),
}
LETTERS = ("received", "reason", "body")
JSON = {"items", "context", "replay", "body", "before", "after"}

# Tables that grow without end: the column with the time of a row, and the key column.
AGES = {
    "events": ("received", "event_id"),
    "exposures": ("timestamp", "request_id"),
    "dead_letters": ("received", "letter_id"),
    "merges": ("merged", "merge_id"),
    "person_items": ("counted", "person"),
    "audit": ("at", "audit_id"),
    "item_versions": ("replaced", "version"),
    "snapshots": ("used", "version"),
}
ROWS_AT_ONCE = 5_000  # in one transaction: the API cannot write while it runs


async def export(store: Store, user_id: str, key: str | None) -> dict[str, list[Row]]:
    """Return table -> rows about a user or visitor, also of visitors merged into the user. key: name of the API key."""
    found: dict[str, list[Row]] = {}
    for table, (columns, where) in PERSONAL.items():
        rows = await store.select(f"SELECT {', '.join(columns)} FROM {table} WHERE {where}", user_id)
        found[table] = [as_row(columns, row) for row in rows]
    ids = [user_id, *[guest for (guest,) in await store.select(statements.GUESTS, user_id)]]
    letters = f"SELECT {', '.join(LETTERS)} FROM dead_letters WHERE {statements.THEIR_LETTERS}"
    of_ids = [await store.select(letters, json.dumps(known), known, user_id) for known in ids]
    found["dead_letters"] = [as_row(LETTERS, row) for rows in of_ids for row in rows]
    counts = {name: len(rows) for name, rows in found.items()}
    await note(store, key, "export", store.fingerprint(user_id), None, counts)
    return found


async def note(store: Store, key: str | None, action: str, what: str, before: Any, after: Any) -> None:
    """Write an entry of the audit log; see `serving.stores.writes.audit`."""
    await store.execute(NOTE, *audit(key, action, what, before, after))


async def log(store: Store, limit: int) -> list[Row]:
    """Return at most `limit` entries of the audit log, newest first."""
    newest = f"SELECT {', '.join(AUDIT)} FROM audit ORDER BY at DESC, audit_id LIMIT CAST($1 AS BIGINT)"
    return [as_row(AUDIT, row) for row in await store.select(newest, limit)]


def delete_old(url: str, days: Mapping[str, float]) -> dict[str, int]:
    """Delete old rows. days: table -> age above which its rows are deleted. Return the deleted rows per table.

    Raises:
        StoreError: the database cannot be opened or written.
    """
    deleted = {}
    for table, age in days.items():
        column, key = AGES[table]
        old = f"{column} < {time.time() - age * SECONDS_PER_DAY}"
        where = f"{old} AND {key} IN (SELECT {key} FROM {table} WHERE {old} LIMIT {ROWS_AT_ONCE})"
        deleted[table] = 0
        while True:
            with migrations.transaction(url) as run:
                n = len(run(f"DELETE FROM {table} WHERE {where} RETURNING 1"))
            deleted[table] += n
            if not n:
                break
    return deleted


def as_row(columns: tuple[str, ...], cells: tuple[Any, ...]) -> Row:
    """Return column -> value of a row, of columns with JSON the decoded value."""
    return {
        name: json.loads(cell) if name in JSON and cell is not None else cell
        for name, cell in zip(columns, cells, strict=True)
    }
