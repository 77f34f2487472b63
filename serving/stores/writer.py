"""Group commit: one thread writes for the whole process, and whatever waits is committed together.

A commit costs one or two waits for the disk, however many events it holds: 32 callers with one event each share it.
"""

import asyncio
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, TypeVar

import apsw

from serving.stores.protocol import StoreError
from serving.stores.writes import Write

T = TypeVar("T")

MAX_ROWS = 2000  # in one commit, so that a caller with one event does not wait for ever


_Answer = tuple["asyncio.Future[Any]", Any, Exception | None]


@dataclass(frozen=True, slots=True)
class _Job:
    write: Callable[[], Write[Any]]
    rows: int
    done: "asyncio.Future[Any]"
    loop: asyncio.AbstractEventLoop


class Writer:
    """Runs writes on the connection that `connect` opens; after an error a new one is opened for the next write."""

    def __init__(
        self, connect: Callable[[], apsw.Connection], errors: Callable[[], AbstractContextManager[None]]
    ) -> None:
        self._connect, self._errors = connect, errors
        self._connection: apsw.Connection | None = None
        self._queue: SimpleQueue[_Job | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="store writer", daemon=True)
        self._thread.start()

    async def write(self, write: Callable[[], Write[T]], rows: int = 1) -> T:
        """Returns the result of the write when it is on disk.

        Raises:
            StoreError: nothing of it was stored.
        """
        loop = asyncio.get_running_loop()
        done: asyncio.Future[T] = loop.create_future()
        self._queue.put(_Job(write, rows, done, loop))
        return await done

    async def close(self) -> None:
        """Commit what waits, then end."""
        self._queue.put(None)
        await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        last = False
        while not last:
            batch = [self._queue.get()]
            while not self._queue.empty() and sum(job.rows for job in batch if job) < MAX_ROWS:
                batch.append(self._queue.get())
            last = None in batch
            self._commit([job for job in batch if job])
        self._drop()

    def _commit(self, jobs: list[_Job]) -> None:
        if not jobs:
            return
        answers: list[_Answer]
        try:
            results = self._transaction(jobs)
        except Exception as error:  # noqa: BLE001 (it is the callers' to handle)
            self._drop()
            if len(jobs) > 1 and not isinstance(error, StoreError):
                for job in jobs:  # one of them cannot be written; the others can
                    self._commit([job])
                return
            answers = [(job.done, None, error) for job in jobs]
        else:
            answers = [(job.done, result, None) for job, result in zip(jobs, results, strict=True)]
        with suppress(RuntimeError):  # the loop has ended, so nobody waits
            jobs[0].loop.call_soon_threadsafe(_answer, answers)

    def _transaction(self, jobs: list[_Job]) -> list[Any]:
        with self._errors():
            if self._connection is None:
                self._connection = self._connect()
            self._connection.execute("BEGIN IMMEDIATE")
            results = [_run_write(self._connection, job.write()) for job in jobs]
            self._connection.execute("COMMIT")
        return results

    def _drop(self) -> None:
        """Closing rolls back, and a new connection trusts nothing that went before an error."""
        if self._connection is not None:
            with suppress(apsw.Error):
                self._connection.close()
            self._connection = None


def numbers(statement: str) -> str:
    """SQLite takes $2 for a name and ?2 for the second parameter."""
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
    for done, result, error in answers:
        if done.done():
            continue  # the caller went away
        if error is None:
            done.set_result(result)
        else:
            done.set_exception(error)
