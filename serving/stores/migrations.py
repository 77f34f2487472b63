"""Makes the tables of the store, version by version: `tables/001_first.sql` and so on. A change is a new file; a file
only adds, and stays as it is. Own code: Alembic brings SQLAlchemy, and this is a list of statements and one number.

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

FILES = sorted((Path(__file__).parent / "tables").glob("*.sql"))
MIGRATIONS = [file.read_text(encoding="utf-8").rstrip().removesuffix(";").split(";\n") for file in FILES]

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
        StoreError: "store/events.sqlite: its tables are of version 0, this code needs 1: run `python -m ...`"
    """
    if found < WANTED:
        raise StoreError(
            f"{store}: its tables are of version {found}, this code needs {WANTED}:"
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
