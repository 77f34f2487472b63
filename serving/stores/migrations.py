"""The tables of the store, version by version. A change is a new entry at the end; entries only add, and stay as is.
Own code: Alembic brings SQLAlchemy, and this is a list of statements and one number.

One text for both databases: SQLite reads PostgreSQL's type names; `{clustered}`: it keeps the rows in their key. What
the columns mean: `docs/stores.md`.
"""

import secrets
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from recsys.schemas.store_schema import POSTGRES, SQLITE
from serving.stores.protocol import StoreError, no_store

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """CREATE TABLE events (
            event_id TEXT PRIMARY KEY, person TEXT NOT NULL, user_id TEXT, anonymous_id TEXT, item_id TEXT NOT NULL,
            event TEXT NOT NULL, value DOUBLE PRECISION, timestamp DOUBLE PRECISION NOT NULL, request_id TEXT,
            received DOUBLE PRECISION NOT NULL)""",
        "CREATE INDEX events_of_person ON events (person, timestamp)",
        """CREATE TABLE item_hours (
            hour BIGINT NOT NULL, item_id TEXT NOT NULL, event TEXT NOT NULL, n BIGINT NOT NULL,
            PRIMARY KEY (hour, item_id, event))""",
        """CREATE TABLE exposures (
            request_id TEXT NOT NULL, unit TEXT NOT NULL, timestamp DOUBLE PRECISION NOT NULL, person TEXT,
            user_id TEXT, anonymous_id TEXT, experiment TEXT, variant TEXT NOT NULL, bundle_id TEXT NOT NULL,
            surface TEXT, segment TEXT, propensity DOUBLE PRECISION NOT NULL, items TEXT NOT NULL,
            context TEXT NOT NULL, PRIMARY KEY (request_id, unit))""",
        "CREATE INDEX exposures_of_person ON exposures (person)",
        "CREATE INDEX exposures_by_time ON exposures (timestamp)",
        """CREATE TABLE dead_letters (
            letter_id TEXT PRIMARY KEY, received DOUBLE PRECISION NOT NULL, place BIGINT NOT NULL,
            reason TEXT NOT NULL, body TEXT NOT NULL, user_id TEXT, anonymous_id TEXT)""",
        """CREATE TABLE items (
            item_id TEXT PRIMARY KEY, version BIGINT NOT NULL, title TEXT, text TEXT, categories TEXT,
            price DOUBLE PRECISION, available BOOLEAN, first_seen DOUBLE PRECISION)""",
        "CREATE INDEX items_by_version ON items (version)",
        """CREATE TABLE identities (
            anonymous_id TEXT PRIMARY KEY, user_id TEXT NOT NULL, merged DOUBLE PRECISION NOT NULL)""",
        "CREATE INDEX identities_of_user ON identities (user_id)",
        """CREATE TABLE forgotten (
            fingerprint TEXT PRIMARY KEY, version BIGINT NOT NULL, forgotten DOUBLE PRECISION NOT NULL)""",
        "CREATE INDEX forgotten_by_version ON forgotten (version)",
        "CREATE TABLE salt (salt TEXT PRIMARY KEY)",
        "INSERT INTO salt VALUES ('{salt}')",
    ),
    (  # what a person has met is found however much happened since; `counted`: when it was first met
        """CREATE TABLE person_items (
            person TEXT NOT NULL, item_id TEXT NOT NULL, event TEXT NOT NULL, counted DOUBLE PRECISION NOT NULL,
            PRIMARY KEY (person, item_id, event)){clustered}""",
        """INSERT INTO person_items SELECT person, item_id, event, max(timestamp) FROM events
            GROUP BY person, item_id, event""",
    ),
    (  # who said that a guest is a user, and whose the guest was before: what a merge did can be undone
        """CREATE TABLE merges (
            merge_id TEXT PRIMARY KEY, merged DOUBLE PRECISION NOT NULL, anonymous_id TEXT NOT NULL,
            user_id TEXT NOT NULL, before TEXT, sent_by TEXT)""",
        "CREATE INDEX merges_of_guest ON merges (anonymous_id, merged)",
        "CREATE INDEX merges_of_user ON merges (user_id)",
        "CREATE INDEX merges_from_user ON merges (before)",
    ),
    (  # what is popular is counted from the newest events; nothing is added to `item_hours` any more
        "CREATE INDEX events_by_received ON events (received, event_id)",
    ),
    (  # what administrators did; people are named by their salted hash
        """CREATE TABLE audit (
            audit_id TEXT PRIMARY KEY, at DOUBLE PRECISION NOT NULL, key TEXT, action TEXT NOT NULL, what TEXT,
            before TEXT, after TEXT)""",
        "CREATE INDEX audit_by_time ON audit (at)",
    ),
    (  # what an answer was made of: its request and versions; items before their last change; rules and live counts
        "ALTER TABLE exposures ADD COLUMN replay TEXT",
        """CREATE TABLE item_versions (
            version BIGINT PRIMARY KEY, item_id TEXT NOT NULL, title TEXT, text TEXT, categories TEXT,
            price DOUBLE PRECISION, available BOOLEAN, first_seen DOUBLE PRECISION,
            replaced DOUBLE PRECISION NOT NULL)""",
        "CREATE INDEX item_versions_by_time ON item_versions (replaced)",
        """CREATE TABLE snapshots (
            kind TEXT NOT NULL, version TEXT NOT NULL, used DOUBLE PRECISION NOT NULL, body TEXT NOT NULL,
            PRIMARY KEY (kind, version))""",
        "CREATE INDEX snapshots_by_time ON snapshots (used)",
    ),
)

WANTED = len(MIGRATIONS)
WAIT_S = 30.0  # for another migration, or for what the API is writing
VERSION_TABLE = "CREATE TABLE IF NOT EXISTS migrations (version BIGINT PRIMARY KEY, applied DOUBLE PRECISION NOT NULL)"
FOUND = "SELECT coalesce(max(version), 0) FROM migrations"


def migrate(url: str) -> list[int]:
    """Bring the tables of a store to the newest version in one transaction; return the versions applied.

    Raises:
        StoreError: the url is of no store, or the database cannot be opened or written.
    """
    with transaction(url) as database:
        database.execute(VERSION_TABLE)
        found = database.execute(FOUND).fetchone()[0]
        for version, statements in enumerate(MIGRATIONS[found:], found + 1):
            for statement in statements:
                clustered = " WITHOUT ROWID" if url.startswith(SQLITE) else ""
                statement = statement.replace("{salt}", secrets.token_hex(16)).replace("{clustered}", clustered)
                database.execute(statement)
            database.execute(f"INSERT INTO migrations VALUES ({version}, {time.time()})")
    return list(range(found + 1, WANTED + 1))


def check(found: int, store: str) -> None:
    """Refuse tables that are too old for this code. Newer ones are fine: migrations only add.

    Raises:
        StoreError: "store/events.sqlite: its tables are of version 0, this code wants 1: run `python -m ...`"
    """
    if found < WANTED:
        raise StoreError(
            f"{store}: its tables are of version {found}, this code wants {WANTED}:"
            " run `python -m serving.stores migrate`"
        )


@contextmanager
def transaction(url: str) -> Iterator[Any]:
    """Open a connection in a transaction that excludes other migrations."""
    if url.startswith(SQLITE):
        from serving.stores import sqlite

        path = url.removeprefix(SQLITE)
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        with sqlite.errors(path), closing(sqlite.connect(path, create=True, wait_s=WAIT_S)) as file, file:
            yield file
    elif url.startswith(POSTGRES):
        from serving.stores import postgres

        with postgres.errors(url), postgres.connect(url) as server:
            server.execute(postgres.ALONE)
            yield server
    else:
        raise no_store(url)
