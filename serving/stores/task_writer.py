"""Group commit for a server: one task writes for the whole process, and whatever waits is committed together."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from serving.stores.protocol import StoreError
from serving.stores.writer import MAX_ROWS
from serving.stores.writes import Write

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Job:
    """One caller's write; alone: no other process may write beside it."""

    write: Callable[[], Write[Any]]
    rows: int
    alone: bool
    done: "asyncio.Future[Any]"


class TaskWriter:
    """`transaction` runs the writes of all jobs, commits, and returns their results in order."""

    def __init__(self, transaction: Callable[[list[Job]], Awaitable[list[Any]]]) -> None:
        self._transaction = transaction
        self._queue: asyncio.Queue[Job | None] = asyncio.Queue()
        self._task = asyncio.create_task(self._run())

    async def write(self, write: Callable[[], Write[T]], rows: int = 1, *, alone: bool = False) -> T:
        """Returns the result of the write when it is on disk.

        Raises:
            StoreError: nothing of it is acknowledged.
        """
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._queue.put_nowait(Job(write, rows, alone, done))
        return await done

    async def close(self) -> None:
        """Commit what waits, then end."""
        self._queue.put_nowait(None)
        await self._task

    async def _run(self) -> None:
        last = False
        while not last:
            batch = [await self._queue.get()]
            while not self._queue.empty() and sum(job.rows for job in batch if job) < MAX_ROWS:
                batch.append(self._queue.get_nowait())
            last = None in batch
            await self._commit([job for job in batch if job and not job.done.done()])

    async def _commit(self, jobs: list[Job]) -> None:
        if not jobs:
            return
        try:
            results = await self._transaction(jobs)
        except Exception as error:  # noqa: BLE001 (it is the callers' to handle)
            if len(jobs) > 1 and not isinstance(error, StoreError):
                for job in jobs:  # one of them cannot be written; the others can
                    await self._commit([job])
                return
            for job in jobs:
                if not job.done.done():
                    job.done.set_exception(error)
        else:
            for job, result in zip(jobs, results, strict=True):
                if not job.done.done():
                    job.done.set_result(result)
