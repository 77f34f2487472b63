"""The tables of `recsys watch`: a lease, so that one process watches a store, and its findings."""

from typing import Any

from recsys.schemas.store_schema import SQLITE
from serving.stores import migrations

LEAD = """INSERT INTO leases (name, holder, until) VALUES ($1, $2, $3)
    ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until = excluded.until
    WHERE leases.holder = excluded.holder OR leases.until < CAST($4 AS DOUBLE PRECISION) RETURNING holder"""
ADD = """INSERT INTO findings (finding_id, at, kind, what, bundle_id, policy) VALUES ($1, $2, $3, $4, $5, $6)
    ON CONFLICT (finding_id) DO NOTHING RETURNING finding_id"""


def lead(url: str, holder: str, now: float, seconds: float) -> bool:
    """Take or extend the lease for so many seconds; return whether it is this holder's.

    Raises:
        StoreError: the store cannot be written.
    """
    return bool(_run(url, LEAD, ("watch", holder, now + seconds, now)))


def add(url: str, finding_id: str, now: float, kind: str, what: str, bundle_id: str, policy: str) -> bool:
    """Write a finding; return False if one of this id is there. Raises as `lead` does."""
    return bool(_run(url, ADD, (finding_id, now, kind, what, bundle_id, policy)))


def _run(url: str, statement: str, row: tuple[Any, ...]) -> list[Any]:
    with migrations.transaction(url) as database:
        if url.startswith(SQLITE):
            from serving.stores.writer import numbers  # each driver only where it is used

            return list(database.execute(numbers(statement), row))
        from psycopg import RawCursor

        return list(RawCursor(database).execute(statement, row).fetchall())
