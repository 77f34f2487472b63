"""Wraps a store so that it cannot hold up the service: every read has a timeout, reads and writes a circuit breaker.

A read that exceeds its timeout is abandoned. A write has its own limits, see `serving/stores/job.py`.

While the store is down, answers are made without it at once, and events are refused at once with 503: nothing queues up
behind it. Background tasks poll the store for changes, so mostly they notice first that it is back.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

from recsys.recommend.circuit_breaker import CircuitBreaker, CircuitBreakers, Limits
from serving.stores.job import abandon_after
from serving.stores.protocol import Event, Exposure, Item, Outcome, PersonEvent, Rejected, Store, StoreError
from serving.stores.writes import Write, Writes

T = TypeVar("T")

LIMITS = Limits(window=20, failures=5, cooldown_s=1.0)
LONG_SECONDS = 5.0  # for what no answer waits for


class GuardedStore:
    """A `Store` around another one; answer_s: seconds that an answer waits for a user's history."""

    def __init__(self, store: Store, answer_s: float, breakers: CircuitBreakers | None = None) -> None:
        self._store = store
        self._answer_s = answer_s
        breakers = breakers or CircuitBreakers(LIMITS)
        self.reading, self.writing = breakers.of("reading the store"), breakers.of("writing to the store")
        self.fingerprint = store.fingerprint
        self.remote, self.salt = store.remote, store.salt

    async def history(self, user_id: str | None, anonymous_id: str | None, limit: int) -> tuple[int, list[Event]]:
        return await self._read(lambda: self._store.history(user_id, anonymous_id, limit), self._answer_s)

    async def seen(self, user_id: str | None, anonymous_id: str | None) -> dict[str, bool]:
        return await self._read(lambda: self._store.seen(user_id, anonymous_id), self._answer_s)

    async def items_since(self, version: int) -> tuple[int, list[Item]]:
        return await self._read(lambda: self._store.items_since(version))

    async def newest(self, since: float, before: tuple[float, str], limit: int) -> list[PersonEvent]:
        return await self._read(lambda: self._store.newest(since, before, limit))

    async def forgotten(self, since: int = 0) -> tuple[int, frozenset[str]]:
        return await self._read(lambda: self._store.forgotten(since))

    async def ping(self) -> None:
        await self._read(self._store.ping)

    async def add_events(self, rows: Sequence[Event | Rejected]) -> list[Outcome]:
        return await self._write(lambda: self._store.add_events(rows))

    async def add_exposures(self, batch: Sequence[Exposure]) -> None:
        await self._write(lambda: self._store.add_exposures(batch))

    async def upsert_items(self, items: Sequence[Item], by: str | None = None) -> None:
        await self._write(lambda: self._store.upsert_items(items, by))

    async def merge(self, anonymous_id: str, user_id: str, sent_by: str | None = None) -> int:
        return await self._write(lambda: self._store.merge(anonymous_id, user_id, sent_by))

    async def unmerge(self, anonymous_id: str, by: str | None = None) -> int | None:
        return await self._write(lambda: self._store.unmerge(anonymous_id, by))

    async def forget(self, user_id: str, by: str | None = None) -> dict[str, int]:
        """Forget a user; also tried while the breaker of writing is open, because a person waits for it."""
        return await self._store.forget(user_id, by)

    async def manage(self, action: Callable[[Writes], Write[T]]) -> T:
        return await self._write(lambda: self._store.manage(action))

    async def close(self) -> None:
        await self._store.close()

    async def _read(self, ask: Callable[[], Coroutine[Any, Any, T]], seconds: float = LONG_SECONDS) -> T:
        """Read with a timeout. Raises: StoreError: it failed, took too long, or its breaker is open."""

        async def bounded() -> T:
            try:
                if self._store.remote:
                    return await abandon_after(seconds, ask())
                async with asyncio.timeout(seconds):  # a cancelled look into a file ends at once, and costs less
                    return await ask()
            except TimeoutError:
                raise StoreError(f"reading the store took longer than {seconds * 1e3:g} ms; try again") from None

        return await _unless_left_alone(self.reading, bounded)

    async def _write(self, ask: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Write. Raises: StoreError: as `_read`; nothing was stored. UnknownOutcomeError: it may have been stored."""
        return await _unless_left_alone(self.writing, ask)


async def _unless_left_alone(breaker: CircuitBreaker, ask: Callable[[], Coroutine[Any, Any, T]]) -> T:
    if not (breaker.all_good or breaker.allows()):
        cooldown = f"{LIMITS.cooldown_s:g} s"
        raise StoreError(f"{breaker.part} kept failing and is left alone for {cooldown}; try again then")
    try:
        found = await ask()
    except StoreError:
        breaker.failed()
        raise
    if not breaker.all_good:
        breaker.succeeded(0.0)
    return found
