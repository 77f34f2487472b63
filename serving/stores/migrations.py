"""Creates and updates the tables of the store: `tables/001_first.sql` and so on, one file per version.

A change of the tables is a new file, which only adds to them; earlier files are never edited. Both databases run the
same text: SQLite accepts PostgreSQL's type names, and `{clustered}` becomes its WITHOUT ROWID. `docs/stores.md`
explains the columns. Alembic is not used: it needs SQLAlchemy, and this is a list of statements and one number.
"""

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from recsys.schemas.store_schema import POSTGRES, SQLITE
from serving.stores.protocol import StoreError, no_store

FILES = sorted((Path(__file__).parent / "tables").glob("*.sql"))
MIGRATIONS = [file.read_text(encoding="utf-8").rstrip().removesuffix(";").split(";\n") for file in FILES]

Run = Callable[..., list[tuple[Any, ...]]]

WANTED = len(MIGRATIONS)
WAIT_S = 30.0  # for the write lock, which another migration or the API holds
VERSION_TABLE = "CREATE TABLE IF NOT EXISTS migrations (version BIGINT PRIMARY KEY, applied DOUBLE PRECISION NOT NULL)"
FOUND = "SELECT coalesce(max(version), 0) FROM migrations"


def migrate(url: str) -> list[int]:
    """Bring the tables of a store to the newest version in one transaction; return the numbers of the new versions.

    Raises:
        StoreError: the URL is invalid, or the database cannot be opened or written.
    """
    with transaction(url) as run:
        run(VERSION_TABLE)
        found = run(FOUND)[0][0]
        for version, statements in enumerate(MIGRATIONS[found:], found + 1):
            for statement in statements:
                clustered = " WITHOUT ROWID" if url.startswith(SQLITE) else ""
                run(statement.replace("{salt}", secrets.token_hex(16)).replace("{clustered}", clustered))
            run("INSERT INTO migrations VALUES ($1, $2)", version, time.time())
    return list(range(found + 1, WANTED + 1))


def check(found: int, store: str) -> None:
    """Check that the tables are not too old for this code; newer ones work too, as migrations only add to them.

    found: version of the tables; store: its name, for the message.

    Raises:
        StoreError: "store/events.sqlite: its tables are of version 0, this code needs 1: run `python -m ...`"
    """
    if found < WANTED:
        raise StoreError(
            f"{store}: its tables are of version {found}, this code needs {WANTED}:"
            " run `python -m serving.stores migrate`"
        )


@contextmanager
def transaction(url: str) -> Iterator[Run]:
    """Open a transaction during which no other process can write. Yield a function that runs a statement with these
    values of $1, $2, ... and returns its rows."""
    if url.startswith(SQLITE):
        from serving.stores import sqlite, writer  # each driver only where it is used

        path = url.removeprefix(SQLITE)
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        with sqlite.errors(path), closing(sqlite.connect(path, create=True, wait_s=WAIT_S)) as file, file:
            yield lambda statement, *values: file.execute(writer.numbers(statement), values).fetchall()
    elif url.startswith(POSTGRES):
        from serving.stores import postgres

        with postgres.errors(url), postgres.connect(url) as server:
            server.execute(postgres.ALONE)
            yield lambda statement, *values: postgres.rows(server.execute(statement, values))
    else:
        raise no_store(url)
