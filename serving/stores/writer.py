"""Group commit for SQLite: one thread writes for the whole process, and commits all waiting jobs together.

A commit waits for the disk once or twice, however many rows it has, so concurrent callers share these waits.
"""

import asyncio
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from functools import lru_cache
from queue import SimpleQueue
from typing import Any, TypeVar

import apsw

from serving.stores.job import MAX_ROWS, Job, all_of
from serving.stores.protocol import WRITE_S, StoreError, UnknownOutcomeError
from serving.stores.writes import Write

T = TypeVar("T")

_Answer = tuple[Job[Any], Any, Exception | None]


class Writer:
    """Runs writes in a thread. connect: opens the connection, at the start and again after an error; errors: returns a
    context manager that turns the database's errors into StoreError."""

    def __init__(
        self, connect: Callable[[], apsw.Connection], errors: Callable[[], AbstractContextManager[None]]
    ) -> None:
        self._connect, self._errors = connect, errors
        self._connection: apsw.Connection | None = None
        self._queue: SimpleQueue[Job[Any] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="store writer", daemon=True)
        self._thread.start()

    async def write(self, job: Job[T]) -> T:
        """Return the result of the write once it is on disk. Raises as `Job.result` does."""
        self._queue.put(job)
        return await job.result()

    async def close(self) -> None:
        """Commit the waiting jobs and end the thread; stop waiting after 10 seconds."""
        self._queue.put(None)
        await asyncio.to_thread(self._thread.join, 2 * WRITE_S)

    def _run(self) -> None:
        last = False
        while not last:
            batch = [self._queue.get()]
            while not self._queue.empty() and sum(job.rows for job in batch if job) < MAX_ROWS:
                batch.append(self._queue.get())
            last = None in batch
            self._commit([job for job in batch if job])
        self._drop()

    def _commit(self, jobs: list[Job[Any]]) -> None:
        if not jobs:
            return
        answers: list[_Answer]
        try:
            results = self._transaction(jobs)
        except Exception as error:  # noqa: BLE001 (raised again in the callers)
            self._drop()
            if len(jobs) > 1 and not isinstance(error, StoreError):
                for job in jobs:  # one of them cannot be written; the others can
                    self._commit([job])
                return
            answers = [(job, None, error) for job in jobs]
        else:
            answers = [(job, result, None) for job, result in results]
        with suppress(RuntimeError):  # the event loop has ended, so nobody waits
            jobs[0].loop.call_soon_threadsafe(_answer, answers)

    def _transaction(self, jobs: list[Job[Any]]) -> list[tuple[Job[Any], Any]]:
        """Run the jobs in one transaction, except those that were cancelled while it waited for the lock."""
        with self._errors():
            if self._connection is None:
                self._connection = self._connect()
            self._connection.execute("BEGIN IMMEDIATE")
            begun = [job for job in jobs if job.begin()]
            results = _run_write(self._connection, all_of(begun))
            try:
                self._connection.execute("COMMIT")
            except (apsw.BusyError, apsw.FullError):
                raise
            except apsw.Error as error:
                raise UnknownOutcomeError(f"the commit failed ({error}): the rows may or may not be stored") from error
        return list(zip(begun, results, strict=True))

    def _drop(self) -> None:
        """Close the connection, which rolls back its transaction; the next write opens a new one."""
        if self._connection is not None:
            with suppress(apsw.Error):
                self._connection.close()
            self._connection = None


@lru_cache(200)
def numbers(statement: str) -> str:
    """Replace the parameters $1, $2 by ?1, ?2: SQLite takes $1 for the name of a parameter."""
    return statement.replace("$", "?")


def _run_write(connection: apsw.Connection, write: Write[T]) -> T:
    try:
        statement, rows = next(write)
        while True:
            numbered = numbers(statement)
            statement, rows = write.send([connection.execute(numbered, row).fetchall() for row in rows])
    except StopIteration as end:
        result: T = end.value
        return result


def _answer(answers: list[_Answer]) -> None:
    for job, result, error in answers:
        job.end(result, error)
