"""The embedded store: one file that several processes read and write, through `apsw` in WAL mode.

Reads run in the event loop: a user's history takes less time than a switch of threads. Writes run in one thread per
process, see `serving/stores/writer.py`.
"""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import apsw

from recsys.schemas.store_schema import fingerprint
from serving.stores import checks, migrations, reads, statements
from serving.stores.job import Job
from serving.stores.protocol import (
    FORGET_S,
    MAX_SEEN,
    Event,
    Exposure,
    Item,
    Outcome,
    PersonEvent,
    Rejected,
    StoreError,
)
from serving.stores.reads import Rows
from serving.stores.writer import Writer, numbers
from serving.stores.writes import Write, Writes

T = TypeVar("T")

WRITE_WAIT_S = 5.0
READ_WAIT_S = 0.1  # readers wait for no writer, only for the moment in which a file is recovered after a crash


@contextmanager
def errors(path: str) -> Iterator[None]:
    """Turn SQLite's errors into StoreError; errors of a row itself pass through."""
    try:
        yield
    except (apsw.ConstraintError, apsw.MismatchError, apsw.TooBigError):
        raise
    except (apsw.Error, OSError) as error:
        raise StoreError(f"{path}: {type(error).__name__}: {error}; nothing is acknowledged of this call") from error


def connect(path: str, *, create: bool = False, wait_s: float = WRITE_WAIT_S) -> apsw.Connection:
    """Open a connection with the settings that every process needs: WAL, synced commits, deleted rows overwritten."""
    flags = apsw.SQLITE_OPEN_READWRITE | (apsw.SQLITE_OPEN_CREATE if create else 0)
    connection = apsw.Connection(path, flags=flags)
    connection.set_busy_handler(_wait(wait_s))
    connection.transaction_mode = "IMMEDIATE"
    _write_ahead(connection, wait_s)
    for pragma in ("synchronous=FULL", "secure_delete=ON"):
        connection.execute(f"PRAGMA {pragma}").fetchall()
    return connection


def _write_ahead(connection: apsw.Connection, wait_s: float) -> None:
    """Switch to WAL. SQLite does not ask the busy handler when two connections switch a new file at once."""
    until = time.monotonic() + wait_s
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL").fetchall()
            return
        except apsw.BusyError:
            if time.monotonic() >= until:
                raise
            time.sleep(0.001)


def _wait(seconds: float) -> Callable[[int], bool]:
    """Wait for a lock, briefly: SQLite's own handler sleeps up to 100 ms between two tries, a commit takes 3 ms."""
    began = 0.0

    def again(tries: int) -> bool:
        nonlocal began
        began = time.monotonic() if tries == 0 else began
        time.sleep(0.001)
        return time.monotonic() - began < seconds

    return again


class SqliteStore:
    """A `Store` in SQLite; see there for what its methods do."""

    remote = False

    def __init__(self, path: str) -> None:
        """Open the file; raises StoreError: "store/events.sqlite: its tables are of version 0, this code ..."."""
        self._path = path
        self._readers: list[apsw.Connection] = []
        migrations.check(_version(path), path)
        self.salt = self._read(statements.SALT)[0][0]
        self._writes = Writes(self.salt)
        self._writer = Writer(lambda: connect(path), lambda: errors(path))

    async def add_events(self, rows: Sequence[Event | Rejected]) -> list[Outcome]:
        checks.events(rows)
        return await self._writer.write(Job[list[Outcome]](self._writes.add_events, len(rows), events=rows))

    async def history(self, user_id: str | None, anonymous_id: str | None, limit: int) -> tuple[int, list[Event]]:
        return reads.history(self._read(statements.HISTORY, user_id, anonymous_id, limit))

    async def seen(self, user_id: str | None, anonymous_id: str | None) -> dict[str, bool]:
        """See `Store`. Runs in a thread: there may be many rows."""
        return reads.seen(await asyncio.to_thread(self._read, statements.SEEN, user_id, anonymous_id, MAX_SEEN))

    async def add_exposures(self, batch: Sequence[Exposure]) -> None:
        checks.exposures(batch)
        await self._writer.write(Job[None](lambda: self._writes.add_exposures(batch), len(batch)))

    async def upsert_items(self, items: Sequence[Item], by: str | None = None) -> None:
        checks.items(items)
        await self._writer.write(Job[None](lambda: self._writes.upsert_items(items, by), len(items)))

    async def items_since(self, version: int) -> tuple[int, list[Item]]:
        return reads.items(await asyncio.to_thread(self._read, statements.ITEMS, version), version)

    async def newest(self, since: float, before: tuple[float, str], limit: int) -> list[PersonEvent]:
        return reads.newest(await asyncio.to_thread(self._read, statements.NEWEST, since, *before, limit))

    async def merge(self, anonymous_id: str, user_id: str, sent_by: str | None = None) -> int:
        checks.texts(anonymous_id, user_id)
        return await self._writer.write(Job[int](lambda: self._writes.merge(anonymous_id, user_id, sent_by)))

    async def unmerge(self, anonymous_id: str, by: str | None = None) -> int | None:
        checks.texts(anonymous_id)
        return await self._writer.write(Job[int | None](lambda: self._writes.unmerge(anonymous_id, by)))

    async def forget(self, user_id: str, by: str | None = None) -> dict[str, int]:
        """See `Store`. Also empties the write-ahead log, which still holds the deleted rows."""
        checks.texts(user_id)
        deleted = await self._writer.write(
            Job[dict[str, int]](lambda: self._writes.forget(user_id, by), seconds=FORGET_S)
        )
        await asyncio.to_thread(self._empty_log)
        return deleted

    async def manage(self, action: Callable[[Writes], Write[T]]) -> T:
        return await self._writer.write(Job[T](lambda: action(self._writes)))

    async def forgotten(self, since: int = 0) -> tuple[int, frozenset[str]]:
        return reads.forgotten(await asyncio.to_thread(self._read, statements.FORGOTTEN, since), since)

    def fingerprint(self, user_id: str) -> str:
        return fingerprint(self._writes.salt, user_id)

    async def ping(self) -> None:
        self._read(statements.SALT)

    async def close(self) -> None:
        await self._writer.close()
        while self._readers:
            self._readers.pop().close()

    def _read(self, statement: str, *values: Any) -> Rows:
        """Read with a connection that is free; one that failed is closed."""
        with errors(self._path):
            reader = self._readers.pop() if self._readers else connect(self._path, wait_s=READ_WAIT_S)
            rows: Rows = reader.execute(numbers(statement), values).fetchall()
        self._readers.append(reader)
        return rows

    def _empty_log(self) -> None:
        with errors(self._path), closing(connect(self._path)) as connection:
            busy = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()[0][0]
        if busy:
            raise StoreError(
                f"{self._path}: deleted, but the WAL file still holds the rows, a reader is using it; repeat the call"
            )


def _version(path: str) -> int:
    if not Path(path).is_file():
        return 0
    with errors(path), closing(connect(path)) as connection:
        try:
            found: Any = connection.execute(migrations.FOUND).fetchall()[0][0]
        except apsw.SQLError:  # no such table
            return 0
    return int(found)
