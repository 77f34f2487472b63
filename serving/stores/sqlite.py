"""The embedded store: one file that several processes read and write, through `apsw` in WAL mode.

Reads run in the event loop: a user's history takes less time than a switch of threads. Writes run in one thread per
process, see `serving/stores/writer.py`.
"""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import apsw

from serving.stores import migrations
from serving.stores.job import Job
from serving.stores.protocol import StoreError
from serving.stores.reads import Rows
from serving.stores.statements import HISTORY, SALT
from serving.stores.writer import Writer, numbers

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
    """Open a connection with the settings that every process needs: WAL, synced commits, deleted rows overwritten.

    A statement that adds many rows notes in memory how to undo itself, not in a file.
    """
    flags = apsw.SQLITE_OPEN_READWRITE | (apsw.SQLITE_OPEN_CREATE if create else 0)
    connection = apsw.Connection(path, flags=flags)
    connection.set_busy_handler(_wait(wait_s))
    connection.transaction_mode = "IMMEDIATE"
    _write_ahead(connection, wait_s)
    for pragma in ("synchronous=FULL", "secure_delete=ON", "temp_store=MEMORY"):
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


class SqliteDatabase:
    """A `Database` in one file; its methods are documented there."""

    remote = False

    def __init__(self, path: str) -> None:
        """Open the file; raises StoreError: "store/events.sqlite: its tables are of version 0, this code ..."."""
        self._path = path
        self._readers: list[apsw.Connection] = []
        migrations.check(_version(path), path)
        self.salt = self._rows(SALT)[0][0]
        self._writer = Writer(lambda: connect(path), lambda: errors(path))

    async def read(self, statement: str, *values: Any) -> Rows:
        """Read a row or a history in the event loop, and statements with many rows in a thread."""
        if statement in (HISTORY, SALT):
            return self._rows(statement, *values)
        return await asyncio.to_thread(self._rows, statement, *values)

    async def write(self, job: Job[T]) -> T:
        return await self._writer.write(job)

    async def erase(self) -> None:
        """Empty the write-ahead log, which still holds the deleted rows."""
        await asyncio.to_thread(self._empty_log)

    async def close(self) -> None:
        await self._writer.close()
        while self._readers:
            self._readers.pop().close()

    def _rows(self, statement: str, *values: Any) -> Rows:
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
