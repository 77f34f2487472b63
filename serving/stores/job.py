"""A write that waits in the store's queue. It ends in one of three ways: stored, not stored, or unknown."""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Generic, TypeVar

from serving.stores.protocol import WRITE_S, Event, Rejected, StoreError, UnknownOutcomeError
from serving.stores.writes import Write

T = TypeVar("T")
Events = Sequence[Event | Rejected] | None

MAX_ROWS = 2000  # in one commit: it bounds how long a caller with one event waits


class Job(Generic[T]):
    """One write. write: generator function that yields its SQL, see `writes.py`; rows: number of rows that it writes.
    alone: whether no other process may write during this transaction. events: the events to store; then `write` is
    `Writes.add_events`, called once per transaction, with the events of all such jobs. None: `write` takes no argument.
    seconds: a job that has not begun within this time is cancelled; one that has begun gets it again to finish."""

    def __init__(
        self,
        write: Callable[..., Write[Any]],
        rows: int = 1,
        *,
        alone: bool = False,
        seconds: float = WRITE_S,
        events: Events = None,
    ) -> None:
        self.write, self.rows, self.seconds, self.alone, self.events = write, rows, seconds, alone, events
        self.loop = asyncio.get_running_loop()
        self.done: asyncio.Future[T] = self.loop.create_future()
        self._claim = threading.Lock()  # taken by the writer to begin the job, or by the caller to cancel it
        self._begun = False

    def begin(self) -> bool:
        """Mark the job as begun; return False if it was cancelled before."""
        self._begun = self._begun or self._claim.acquire(blocking=False)
        return self._begun

    async def result(self) -> T:
        """Wait for the write, and return its result.

        Raises:
            StoreError: the write failed, or did not begin within `seconds`; nothing of it was stored.
            UnknownOutcomeError: the write did not finish within another `seconds`; it may be stored.
        """
        timer = self.loop.call_later(self.seconds, self._cancel)
        try:
            return await self.done
        except asyncio.CancelledError:
            self._claim.acquire(blocking=False)
            raise
        finally:
            timer.cancel()

    def _cancel(self) -> None:
        """At the time limit: cancel a job that has not begun; one that has begun may take `seconds` more to end."""
        if self._claim.acquire(blocking=False):
            message = f"the store did not begin to write within {self.seconds:g} s; nothing was stored, try again"
            self.end(None, StoreError(message))
        else:
            self.loop.call_later(self.seconds, self._give_up)

    def _give_up(self) -> None:
        message = f"the store did not confirm the write within {2 * self.seconds:g} s; it may be stored"
        self.end(None, UnknownOutcomeError(message))

    def end(self, result: Any, error: Exception | None = None) -> None:
        if self.done.done():
            return
        if error is None:
            self.done.set_result(result)
        else:
            self.done.set_exception(error)


def all_of(jobs: Sequence[Job[Any]]) -> Write[list[Any]]:
    """Run the jobs' writes, all events in the same few statements; return the result of each job, in their order."""
    results: dict[Job[Any], Any] = {}
    with_events = [job for job in jobs if job.events is not None]
    if with_events:
        outcomes = yield from with_events[0].write([job.events for job in with_events])
        results.update(zip(with_events, outcomes, strict=True))
    for job in jobs:
        if job.events is None:
            results[job] = yield from job.write()
    return [results[job] for job in jobs]


async def abandon_after(seconds: float, work: Coroutine[Any, Any, T]) -> T:
    """Return the result of `work`; after `seconds` cancel it, and do not wait until it has stopped.

    Raises:
        TimeoutError: `work` took longer.
    """
    task = asyncio.create_task(work)
    try:
        await asyncio.wait({task}, timeout=seconds)
    except asyncio.CancelledError:
        task.cancel()
        raise
    if task.done():
        return task.result()
    task.cancel()
    task.add_done_callback(lambda late: late.cancelled() or late.exception())  # or asyncio warns that nobody read it
    raise TimeoutError
