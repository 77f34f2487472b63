"""One caller's write in the queue of the store, with a definite outcome: stored, not stored, or unknown."""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Generic, TypeVar

from serving.stores.protocol import WRITE_S, Event, Rejected, StoreError, UnknownOutcomeError
from serving.stores.writes import Write

T = TypeVar("T")
Events = Sequence[Event | Rejected] | None


class Job(Generic[T]):
    """One write. write: makes the statements; rows: how many it writes; alone: no other process may write meanwhile.

    events: arguments of `write`, together with those of the transaction's other jobs; None: it has none. seconds: a job
    that has not begun by then is cancelled; one that has begun gets the same time again to end.
    """

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
        self._claim = threading.Lock()  # whoever takes it first decides: the writer that begins, the caller that leaves
        self._begun = False

    def begin(self) -> bool:
        """Mark the job as begun; return False if its caller has given up."""
        self._begun = self._begun or self._claim.acquire(blocking=False)
        return self._begun

    async def result(self) -> T:
        """Wait for the outcome.

        Raises:
            StoreError: it failed, or it was not begun in time; nothing of it was stored.
            UnknownOutcomeError: it was begun, but did not end within the same time again.
        """
        timer = self.loop.call_later(self.seconds, self._take_back)
        try:
            return await self.done
        except asyncio.CancelledError:
            self._claim.acquire(blocking=False)
            raise
        finally:
            timer.cancel()

    def _take_back(self) -> None:
        """Cancel the job if it has not begun in time."""
        if self._claim.acquire(blocking=False):
            said = f"the store did not begin to write within {self.seconds:g} s; nothing was stored"
            self.end(None, StoreError(said))
        else:
            self.loop.call_later(self.seconds, self._give_up)

    def _give_up(self) -> None:
        said = f"the store did not say within {2 * self.seconds:g} s whether it wrote"
        self.end(None, UnknownOutcomeError(said))

    def end(self, result: Any, error: Exception | None = None) -> None:
        if self.done.done():
            return
        if error is None:
            self.done.set_result(result)
        else:
            self.done.set_exception(error)


def all_of(jobs: Sequence[Job[Any]]) -> Write[list[Any]]:
    """Combine the writes of these jobs; their events share the same few statements."""
    results: dict[Job[Any], Any] = {}
    with_events = [job for job in jobs if job.events is not None]
    if with_events:
        outcomes = yield from with_events[0].write([job.events for job in with_events])
        results.update(zip(with_events, outcomes, strict=True))
    for job in jobs:
        if job.events is None:
            results[job] = yield from job.write()
    return [results[job] for job in jobs]


async def abandon_after(seconds: float, asked: Coroutine[Any, Any, T]) -> T:
    """Return the result if it comes in time; else cancel the work without waiting for its end.

    Raises:
        TimeoutError: it did not come in time.
    """
    task = asyncio.create_task(asked)
    try:
        await asyncio.wait({task}, timeout=seconds)
    except asyncio.CancelledError:
        task.cancel()
        raise
    if task.done():
        return task.result()
    task.cancel()
    task.add_done_callback(lambda late: late.cancelled() or late.exception())  # nobody else looks at it
    raise TimeoutError
