"""Group commit for PostgreSQL: one task writes for the whole process, and commits all waiting jobs together."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from serving.stores.job import MAX_ROWS, Job, abandon_after
from serving.stores.protocol import WRITE_S, StoreError, UnknownOutcomeError

T = TypeVar("T")


class TaskWriter:
    """Runs writes in a task of its own. transaction: runs and commits all jobs, and returns their results in order."""

    def __init__(self, transaction: Callable[[list[Job[Any]]], Coroutine[Any, Any, list[Any]]]) -> None:
        self._transaction = transaction
        self._queue: asyncio.Queue[Job[Any] | None] = asyncio.Queue()
        self._task = asyncio.create_task(self._run())

    async def write(self, job: Job[T]) -> T:
        """Return the result of the write once it is on disk. Raises as `Job.result` does."""
        self._queue.put_nowait(job)
        return await job.result()

    async def close(self) -> None:
        """Commit the waiting jobs and end the task; cancel it after 5 seconds."""
        self._queue.put_nowait(None)
        await asyncio.wait({self._task}, timeout=WRITE_S)
        self._task.cancel()

    async def _run(self) -> None:
        last = False
        while not last:
            batch = [await self._queue.get()]
            while not self._queue.empty() and sum(job.rows for job in batch if job) < MAX_ROWS:
                batch.append(self._queue.get_nowait())
            last = None in batch
            await self._commit([job for job in batch if job])

    async def _commit(self, jobs: list[Job[Any]]) -> None:
        jobs = [job for job in jobs if job.begin()]
        if not jobs:
            return
        patience = 2 * max(job.seconds for job in jobs)
        try:
            results = await abandon_after(patience, self._transaction(jobs))
        except TimeoutError:
            for job in jobs:
                message = f"the store did not confirm the write within {patience:g} s; it may be stored"
                job.end(None, UnknownOutcomeError(message))
        except Exception as error:  # noqa: BLE001 (raised again in the callers)
            if len(jobs) > 1 and not isinstance(error, StoreError):
                for job in jobs:  # one of them cannot be written; the others can
                    await self._commit([job])
                return
            for job in jobs:
                job.end(None, error)
        else:
            for job, result in zip(jobs, results, strict=True):
                job.end(result)
