"""One caller's write on its way to the store, with an end that is true: stored, not stored, or nobody can say."""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Generic, TypeVar

from serving.stores.protocol import WRITE_S, Event, Rejected, StoreError, UnknownOutcomeError
from serving.stores.writes import Write

T = TypeVar("T")
Events = Sequence[Event | Rejected] | None


class Job(Generic[T]):
    """write: makes the statements; rows: how many it writes; alone: no other process may write beside it.

    events: what `write` is given, together with those of all other jobs of the transaction; None: it takes nothing.
    seconds: what is not begun by then is taken back, and what is has as long again to end.
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
        """Whether the writer may run it; False when its caller has left."""
        self._begun = self._begun or self._claim.acquire(blocking=False)
        return self._begun

    async def result(self) -> T:
        """Wait for the end.

        Raises:
            StoreError: it failed, or it was not begun in time; nothing of it was stored.
            UnknownOutcomeError: it was begun, and has not ended after as long again.
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
        """The time to begin is over."""
        if self._claim.acquire(blocking=False):
            said = f"the store did not begin to write within {self.seconds:g} s; nothing was stored"
            self.end(None, StoreError(said))
        else:
            self.loop.call_later(self.seconds, self._give_up)

    def _give_up(self) -> None:
        said = f"the store did not say within {2 * self.seconds:g} s whether it wrote"
        self.end(None, UnknownOutcomeError(said))

    def end(self, result: Any, error: Exception | None = None) -> None:
        """Give the caller, if it is still there, what came of it."""
        if self.done.done():
            return
        if error is None:
            self.done.set_result(result)
        else:
            self.done.set_exception(error)


def all_of(jobs: Sequence[Job[Any]]) -> Write[list[Any]]:
    """The writes of these jobs as one; events of all of them go into the same few statements."""
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
    """The result, if it comes in time; what is late is cancelled, and its end is not waited for.

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
