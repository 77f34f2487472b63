"""The embedded store: one file that several processes read and write, through `apsw` in WAL mode.

Reads run in the event loop: a user's history takes less time than a switch of threads. Writes run in one thread per
process, see `serving/stores/writer.py`.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import closing
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
READ_WAIT_S = 0.1  # a reader never waits for a writer, only while a file is recovered after a crash
# SQLite's 2 MB of pages would stay with each connection of a burst, and a history is read slower with them: the kernel
# keeps the file's pages anyway
READ_PAGES_KIB = 100


class errors:  # noqa: N801 (used as a function)
    """Turns SQLite's errors into StoreError, except those about the content of a row, such as a broken constraint.
    It is a class because every read of a history uses it, and a generator takes five times as long."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        about_a_row = apsw.ConstraintError, apsw.MismatchError, apsw.TooBigError
        if isinstance(error, apsw.Error | OSError) and not isinstance(error, about_a_row):
            text = f"{self._path}: {type(error).__name__}: {error}; nothing of this call was stored"
            raise StoreError(text) from error


def connect(path: str, *, create: bool = False, wait_s: float = WRITE_WAIT_S) -> apsw.Connection:
    """Open a connection with the settings that every process needs: WAL, synced commits, deleted rows overwritten.
    Temporary data of a statement stay in memory. wait_s: seconds to wait for the write lock."""
    flags = apsw.SQLITE_OPEN_READWRITE | (apsw.SQLITE_OPEN_CREATE if create else 0)
    connection = apsw.Connection(path, flags=flags)
    connection.set_busy_handler(_wait(wait_s))
    connection.transaction_mode = "IMMEDIATE"
    _write_ahead(connection, wait_s)
    for pragma in ("synchronous=FULL", "secure_delete=ON", "temp_store=MEMORY"):
        connection.execute(f"PRAGMA {pragma}").fetchall()
    return connection


def _write_ahead(connection: apsw.Connection, wait_s: float) -> None:
    """Switch to WAL. While another connection switches, SQLite fails at once: try again for `wait_s` seconds."""
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
    """Return a busy handler that tries every ms: SQLite's own sleeps up to 100 ms, and a commit takes 3 ms."""
    began = 0.0

    def again(tries: int) -> bool:
        nonlocal began
        began = time.monotonic() if tries == 0 else began
        time.sleep(0.001)
        return time.monotonic() - began < seconds

    return again


class SqliteDatabase:
    """A `Database` in one SQLite file. The protocol `Database` documents the methods."""

    remote = False

    def __init__(self, path: str) -> None:
        """Open the file. Raises: StoreError: "store/events.sqlite: its tables are of version 0, this code ..."."""
        self._path, self._errors = path, errors(path)
        self._readers: list[apsw.Connection] = []
        migrations.check(_version(path), path)
        self.salt = self._rows(SALT)[0][0]
        self._writer = Writer(lambda: connect(path), lambda: errors(path))

    async def read(self, statement: str, *values: Any) -> Rows:
        """Run a statement; those that may return many rows run in a thread, the others in the event loop."""
        if statement in (HISTORY, SALT):
            return self._rows(statement, *values)
        return await asyncio.to_thread(self._rows, statement, *values)

    async def write(self, job: Job[T]) -> T:
        return await self._writer.write(job)

    async def erase(self) -> None:
        """Empty the write-ahead log, which still contains the deleted rows."""
        await asyncio.to_thread(self._empty_log)

    async def close(self) -> None:
        await self._writer.close()
        while self._readers:
            self._readers.pop().close()

    def _rows(self, statement: str, *values: Any) -> Rows:
        """Read with a free connection, or with a new one. A connection that failed is not used again."""
        with self._errors:
            reader = self._readers.pop() if self._readers else self._reader()
            rows: Rows = reader.execute(numbers(statement), values).fetchall()
        self._readers.append(reader)
        return rows

    def _reader(self) -> apsw.Connection:
        opened = connect(self._path, wait_s=READ_WAIT_S)
        opened.execute(f"PRAGMA cache_size=-{READ_PAGES_KIB}").fetchall()
        return opened

    def _empty_log(self) -> None:
        with errors(self._path), closing(connect(self._path)) as connection:
            busy = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()[0][0]
        if busy:
            raise StoreError(
                f"{self._path}: the rows are deleted, but the WAL file contains them while another connection reads; "
                "repeat the call"
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
