"""Caches recent answers in this process (`memory`) or, for all workers, in Redis.

A key contains everything that an answer depends on, so no entry is ever invalidated: a new event of the user, another
bundle or other rules make another key. A change that only the clock causes, such as a pinned item from nine o'clock on,
is late by at most the lifetime of an entry. If the cache cannot be reached, answers are computed.
"""

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import astuple, dataclass
from hashlib import blake2b
from typing import Generic, Protocol, TypeVar

from prometheus_client import Counter
from pydantic import TypeAdapter, ValidationError
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

log = logging.getLogger(__name__)

PREFIX = "recsys:answer"
MEMORY_ENTRIES = 10_000
TIMEOUT_SECONDS = 0.05
RETRY_SECONDS = 2.0
ANSWERS = Counter("recsys_cache_answers", "Look-ups in the response cache by outcome", ["outcome"])

M = TypeVar("M")


@dataclass(frozen=True)
class CacheKey:
    """Everything that an answer depends on. owner: user or visitor; rules, history, items: versions; request: JSON."""

    owner: str
    bundle_id: str
    rules: str
    experiment: str
    variant: str
    history: str
    items: str
    request: str

    @property
    def key(self) -> str:
        """The key as text. It begins with a hash of the owner, so that all answers of a user can be deleted."""
        return f"{PREFIX}:{_digest(self.owner)}:{_digest(repr(astuple(self)))}"


class Backend(Protocol):
    """Stores bytes for a limited time. If it fails, reads return None and writes do nothing."""

    async def get(self, key: str) -> bytes | None: ...

    async def put(self, key: str, value: bytes) -> None: ...

    async def delete(self, prefix: str) -> int: ...

    async def close(self) -> None: ...


class Cache(Generic[M]):
    """Caches answers of one type. worth_keeping: returns whether an answer may be cached."""

    def __init__(self, backend: Backend, answer: type[M], worth_keeping: Callable[[M], bool]) -> None:
        self._backend = backend
        self._json = TypeAdapter(answer)
        self._worth_keeping = worth_keeping
        self._running: dict[str, asyncio.Task[M]] = {}
        self._writing: set[asyncio.Task[None]] = set()

    async def answer(self, asked: CacheKey, compute: Callable[[], Awaitable[M]]) -> M:
        """Return the cached answer, or compute it; concurrent calls with the same key compute it once."""
        key = asked.key
        task = self._running.get(key)
        if task is None:
            task = asyncio.create_task(self._find(key, compute))
            self._running[key] = task
            task.add_done_callback(lambda _: self._running.pop(key))
        else:
            ANSWERS.labels("shared").inc()
        return await asyncio.shield(task)  # a client that disconnects must not cancel the answer of others

    async def forget(self, owner: str) -> int:
        """Delete the answers of one user or visitor, and return their number. If Redis is down, they expire soon."""
        return await self._backend.delete(f"{PREFIX}:{_digest(owner)}:")

    async def close(self) -> None:
        """Wait for pending writes, then close the backend."""
        await asyncio.gather(*self._writing)
        await self._backend.close()

    async def _find(self, key: str, compute: Callable[[], Awaitable[M]]) -> M:
        kept = await self._backend.get(key)
        if kept is not None:
            with suppress(ValidationError):  # another version of this software may have written it
                answer = self._json.validate_json(kept)
                ANSWERS.labels("hit").inc()
                return answer
        ANSWERS.labels("miss").inc()
        answer = await compute()
        if self._worth_keeping(answer):
            writing = asyncio.create_task(self._backend.put(key, self._json.dump_json(answer)))
            self._writing.add(writing)
            writing.add_done_callback(self._writing.discard)
        return answer


class Memory:
    """A backend in the memory of this process. seconds: lifetime of an entry; entries: their maximum number."""

    def __init__(self, seconds: float, entries: int = MEMORY_ENTRIES, clock: Callable[[], float] = time.monotonic):
        self._seconds = seconds
        self._entries = entries
        self._clock = clock
        self._kept: OrderedDict[str, tuple[float, bytes]] = OrderedDict()

    async def get(self, key: str) -> bytes | None:
        until, value = self._kept.get(key, (0.0, b""))
        if until <= self._clock():
            return None
        self._kept.move_to_end(key)
        return value

    async def put(self, key: str, value: bytes) -> None:
        self._kept[key] = (self._clock() + self._seconds, value)
        self._kept.move_to_end(key)
        if len(self._kept) > self._entries:
            self._kept.popitem(last=False)

    async def delete(self, prefix: str) -> int:
        found = [key for key in self._kept if key.startswith(prefix)]
        for key in found:
            del self._kept[key]
        return len(found)

    async def close(self) -> None:
        self._kept.clear()


class Shared:
    """A backend in Redis, for all workers. After a failure it is not called for two seconds, because a call that fails
    may delay an answer by its timeout of 50 ms."""

    def __init__(self, url: str, seconds: float) -> None:
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=32,
            timeout=TIMEOUT_SECONDS,
            socket_timeout=TIMEOUT_SECONDS,
            socket_connect_timeout=TIMEOUT_SECONDS,
            retry=Retry(NoBackoff(), 0),
        )
        self._redis = Redis.from_pool(pool)
        self._milliseconds = max(1, round(seconds * 1e3))
        self._away_until = 0.0

    async def get(self, key: str) -> bytes | None:
        if time.monotonic() < self._away_until:
            return None
        try:
            value = await self._redis.get(key)
        except (RedisError, OSError) as error:
            self._failed(error)
            return None
        return value if isinstance(value, bytes) else None

    async def put(self, key: str, value: bytes) -> None:
        if time.monotonic() < self._away_until:
            return
        try:
            await self._redis.set(key, value, px=self._milliseconds)
        except (RedisError, OSError) as error:
            self._failed(error)

    async def delete(self, prefix: str) -> int:
        try:
            found = [key async for key in self._redis.scan_iter(match=f"{prefix}*", count=1000)]
            return int(await self._redis.unlink(*found)) if found else 0
        except (RedisError, OSError) as error:
            self._failed(error)
            return 0

    async def close(self) -> None:
        await self._redis.aclose()

    def _failed(self, error: Exception) -> None:
        ANSWERS.labels("failed").inc()
        self._away_until = time.monotonic() + RETRY_SECONDS
        log.warning("the cache failed, it is not used for %.0f s: %s", RETRY_SECONDS, type(error).__name__)


def open_cache(url: str, seconds: float, answer: type[M], worth_keeping: Callable[[M], bool]) -> Cache[M]:
    """Return a cache for `memory` or a URL such as redis://host:6379/0. seconds: lifetime of an entry; answer: their
    type."""
    return Cache(Memory(seconds) if url == "memory" else Shared(url, seconds), answer, worth_keeping)


def _digest(text: str) -> str:
    return blake2b(text.encode(), digest_size=16).hexdigest()
