"""The store for several hosts: PostgreSQL through psycopg 3, with one writing task per process.

Reads have a pool, and the writing task has another: in an overload late reads keep their pool busy, and events would be
refused for want of a connection. A read that its caller has given up goes on, for `READ_S` at most: to cancel it takes
another connection, and costs the server more than most reads.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, Self, TypeVar

import psycopg
from psycopg import AsyncConnection, AsyncRawCursor, RawCursor, conninfo
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from recsys.errors import one_line
from serving.stores import migrations
from serving.stores.job import Job, all_of
from serving.stores.protocol import StoreError, UnknownOutcomeError
from serving.stores.reads import Rows
from serving.stores.statements import SALT
from serving.stores.task_writer import TaskWriter
from serving.stores.writes import Write

T = TypeVar("T")
Pool = AsyncConnectionPool[AsyncConnection[Any]]

READERS, WRITERS = 3, 2  # connections of a process; the second writer is for when a write hangs
READ_S = 5.0
OPENING_S = 2.0
WAIT_S = 1.0  # for a connection: in an outage a call fails after that, and the next one tries again
# No session state, such as settings or prepared statements: behind a pooler in transaction mode every transaction may
# get another session. The timeouts detect a dead network.
OPTIONS: dict[str, Any] = {
    "prepare_threshold": None, "connect_timeout": 2, "tcp_user_timeout": 5000,
    "keepalives_idle": 5, "keepalives_interval": 2, "keepalives_count": 3,
}  # fmt: skip
# A commit returns once it is on disk, whatever the server's default. The wait for a lock ends before the caller's wait.
SETTINGS = """SELECT set_config('synchronous_commit', 'on', true), set_config('lock_timeout', '4500', true)"""
# Processes write events and exposures at the same time; a write that moves, deletes or numbers rows runs alone.
ALONE = "SELECT pg_advisory_xact_lock(1128679022)"
BESIDE = "SELECT pg_advisory_xact_lock_shared(1128679022)"


@contextmanager
def errors(url: str) -> Iterator[None]:
    """Turn psycopg's errors into StoreError, except those about the content of a row, such as a broken constraint."""
    try:
        yield
    except (psycopg.DataError, psycopg.IntegrityError):
        raise
    except (psycopg.Error, PoolTimeout, OSError) as error:
        raise StoreError(f"{name_of(url)}: {one_line(str(error))}; nothing of this call was stored") from error


def name_of(url: str) -> str:
    """Return the URL without user and password."""
    try:
        parts = conninfo.conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        return "the store's url"
    return f"postgresql://{parts.get('host', '')}:{parts.get('port', 5432)}/{parts.get('dbname', '')}"


def connect(url: str) -> "psycopg.Connection[Any]":
    """Open a connection outside of the pool, for `migrations.transaction`."""
    return psycopg.connect(url, cursor_factory=RawCursor, **OPTIONS)


def rows(cursor: "psycopg.Cursor[Any]") -> Rows:
    """Return the rows of a statement; none if it is not a query."""
    return cursor.fetchall() if cursor.description else []


class PostgresDatabase:
    """A `Database` in PostgreSQL. The protocol `Database` documents the methods."""

    remote = True

    def __init__(self, url: str, readers: Pool, writers: Pool, salt: str) -> None:
        self._url, self._readers, self._writers = url, readers, writers
        self.salt = salt
        self._writer = TaskWriter(self._transaction)

    @classmethod
    async def open(cls, url: str) -> Self:
        """Open both pools. Raises: StoreError: the server cannot be reached, or its tables are too old."""
        with errors(url):
            readers, writers = _pool(url, READERS), _pool(url, WRITERS)
            try:
                await readers.open(wait=True, timeout=OPENING_S)
                await writers.open(wait=True, timeout=OPENING_S)
                async with readers.connection() as connection:
                    migrations.check(await _version(connection), name_of(url))
                    salt = await _fetch(connection, SALT)
            except BaseException:
                await readers.close()
                await writers.close()
                raise
        return cls(url, readers, writers, salt[0][0])

    async def read(self, statement: str, *values: Any) -> Rows:
        async def fetch(connection: "AsyncConnection[Any]") -> Rows:
            async with asyncio.timeout(READ_S):
                return await _fetch(connection, statement, *values)

        return await self._with_connection(self._readers, fetch)

    async def write(self, job: Job[T]) -> T:
        return await self._writer.write(job)

    async def erase(self) -> None:
        pass  # the server's vacuum removes them

    async def close(self) -> None:
        await self._writer.close()
        await self._readers.close()
        await self._writers.close()

    async def _transaction(self, jobs: list[Job[Any]]) -> list[Any]:
        broken = False

        async def commit(connection: "AsyncConnection[Any]") -> list[Any]:
            nonlocal broken
            try:
                async with connection.pipeline(), connection.transaction():
                    await connection.execute(SETTINGS)
                    await connection.execute(ALONE if any(job.alone for job in jobs) else BESIDE)
                    return await _run_write(connection, all_of(jobs))
            except psycopg.OperationalError:
                broken = broken or connection.closed
                raise

        try:
            return await self._with_connection(self._writers, commit)
        except StoreError as error:
            if broken:
                cause = f"{name_of(self._url)}: the connection broke ({one_line(str(error.__cause__))})"
                raise UnknownOutcomeError(f"{cause}; the rows may or may not be stored") from error
            raise

    async def _with_connection(self, pool: Pool, use: Callable[["AsyncConnection[Any]"], Awaitable[T]]) -> T:
        """Call `use` with a connection of the pool. If this call is cancelled, it stops waiting for a connection, but
        `use` goes on to its end, and then the connection returns to the pool."""
        with errors(self._url):
            connection = await pool.getconn()
            return await asyncio.shield(asyncio.create_task(_used(pool, connection, use)))


async def _used(
    pool: Pool, connection: "AsyncConnection[Any]", use: Callable[["AsyncConnection[Any]"], Awaitable[T]]
) -> T:
    """Call `use`. Try once more after a deadlock, of which the server aborts one transaction, and with a new connection
    after a broken one: a restart of the server breaks every connection of the pool."""
    try:
        return await use(connection)
    except psycopg.errors.DeadlockDetected:
        return await use(connection)
    except psycopg.OperationalError:
        if not connection.closed:
            raise
    finally:
        await pool.putconn(connection)
    await pool.check()
    async with pool.connection() as another:
        return await use(another)


def _pool(url: str, most: int) -> Pool:
    return AsyncConnectionPool(
        url,
        kwargs={**OPTIONS, "autocommit": True, "cursor_factory": AsyncRawCursor},
        min_size=1,
        max_size=most,
        timeout=WAIT_S,
        reconnect_timeout=WAIT_S,
        open=False,
    )


async def _fetch(connection: "AsyncConnection[Any]", statement: str, *values: Any) -> Rows:
    cursor = await connection.execute(statement, values)
    return await cursor.fetchall()


async def _version(connection: "AsyncConnection[Any]") -> int:
    try:
        return int((await _fetch(connection, migrations.FOUND))[0][0])
    except psycopg.errors.UndefinedTable:
        return 0


async def _run_write(connection: "AsyncConnection[Any]", write: Write[T]) -> T:
    try:
        statement, rows = next(write)
        while True:
            statement, rows = write.send(await _execute(connection, statement, rows))
    except StopIteration as end:
        result: T = end.value
        return result


async def _execute(connection: "AsyncConnection[Any]", statement: str, rows: Rows) -> list[Rows]:
    """Execute a statement once per row of parameters, in one round trip; return the rows of each execution."""
    if not rows:
        return []
    async with connection.cursor() as cursor:
        await cursor.executemany(statement, rows, returning=True)
        returned = [await _rows(cursor)]
        while cursor.nextset():
            returned.append(await _rows(cursor))
        return returned


async def _rows(cursor: "psycopg.AsyncCursor[Any]") -> Rows:
    return await cursor.fetchall() if cursor.description else []
