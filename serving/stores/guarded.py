"""Keeps a slow or failing store from delaying the service: reads have a timeout, reads and writes a circuit breaker.

A read that exceeds its timeout is abandoned. A write has its own limits, see `serving/stores/job.py`.

While a breaker is open, every call fails at once: answers are computed without the store, events are refused with 503,
and nothing waits in a queue. Background tasks poll the store, so they mostly notice first that it works again.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from recsys.recommend.circuit_breaker import CircuitBreaker, CircuitBreakers, Limits
from serving.stores.job import Job, abandon_after
from serving.stores.protocol import StoreError
from serving.stores.reads import Rows
from serving.stores.statements import HISTORY, SEEN
from serving.stores.store import Store

T = TypeVar("T")

LIMITS = Limits(window=20, failures=5, cooldown_s=1.0)
LONG_SECONDS = 5.0  # timeout of reads that no answer waits for


class GuardedStore(Store):
    """A store with timeouts and circuit breakers. answer_s: seconds that an answer waits for a user's history."""

    def __init__(self, store: Store, answer_s: float, breakers: CircuitBreakers | None = None) -> None:
        super().__init__(store.database)
        self._answer_s = answer_s
        breakers = breakers or CircuitBreakers(LIMITS)
        self.reading, self.writing = breakers.of("reading the store"), breakers.of("writing to the store")

    async def _read(self, statement: str, *values: Any) -> Rows:
        """Read with a timeout. Raises: StoreError: the read failed, took too long, or its breaker is open."""
        with _counted(self.reading):
            if statement == HISTORY and not self.database.remote:  # it runs in the event loop: no timeout can end it
                return await self.database.read(statement, *values)
            seconds = self._answer_s if statement in (HISTORY, SEEN) else LONG_SECONDS
            try:
                if self.database.remote:
                    return await abandon_after(seconds, self.database.read(statement, *values))
                async with asyncio.timeout(seconds):  # cheaper than a task; a cancelled read of a file ends at once
                    return await self.database.read(statement, *values)
            except TimeoutError:
                raise StoreError(f"reading the store took longer than {seconds * 1e3:g} ms; try again") from None

    async def _write(self, job: Job[T]) -> T:
        """Write. Raises: StoreError: nothing was stored. UnknownOutcomeError: the rows may be stored."""
        with _counted(self.writing):
            return await self.database.write(job)


@contextmanager
def _counted(breaker: CircuitBreaker) -> Iterator[None]:
    """Report to the breaker whether the call inside failed. Raises: StoreError: the breaker is open."""
    if not (breaker.all_good or breaker.allows()):
        cooldown = f"{LIMITS.cooldown_s:g} s"
        raise StoreError(f"{breaker.part} kept failing and is not called for {cooldown}; try again then")
    try:
        yield
    except StoreError:
        breaker.failed()
        raise
    if not breaker.all_good:
        breaker.succeeded(0.0)
