"""Where kept answers lie: what is asked of Redis, and what is left after closing, without a Redis."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client import REGISTRY
from pydantic import BaseModel
from redis.asyncio import Redis

from serving.service import cache
from serving.service.cache import Cache, CacheKey, Memory, Shared

pytestmark = pytest.mark.anyio
ASKED = CacheKey("anna", "b1", "r1", "exp", "als", history="7", items="3", request="{}")


def count(outcome: str) -> float:
    return REGISTRY.get_sample_value("recsys_cache_answers_total", {"outcome": outcome}) or 0.0


class Listed(BaseModel):
    items: list[str]


async def listed() -> Listed:
    return Listed(items=["kettle"])


class Slow:
    """A backend that keeps nothing, and notes in which order things ended."""

    def __init__(self) -> None:
        self.ended: list[str] = []

    async def get(self, key: str) -> None: ...

    async def put(self, key: str, value: bytes) -> None:
        await asyncio.sleep(0.01)
        self.ended.append("put")

    async def delete(self, prefix: str) -> int:
        return 0

    async def close(self) -> None:
        self.ended.append("close")


async def test_closing_waits_for_what_is_being_kept() -> None:
    backend = Slow()
    opened = Cache(backend, Listed, lambda _: True)
    assert await opened.answer(ASKED, listed) == Listed(items=["kettle"])
    await opened.close()
    assert backend.ended == ["put", "close"]


async def test_memory_is_empty_after_closing() -> None:
    memory = Memory(30, clock=lambda: 0.5)
    assert await memory.get("a") is None
    await memory.put("a", b"a")
    assert await memory.get("a") == b"a"
    await memory.close()
    assert await memory.get("a") is None


async def test_a_second_caller_of_the_same_answer_is_counted() -> None:
    before = count("shared")
    opened = Cache(Memory(30), Listed, lambda _: True)
    await asyncio.gather(*(opened.answer(ASKED, listed) for _ in range(3)))
    assert count("shared") == before + 2


@pytest.mark.parametrize(("seconds", "milliseconds"), [(30.0, 30_000), (0.0001, 1)])
async def test_redis_is_told_how_long_and_let_go(
    monkeypatch: pytest.MonkeyPatch, seconds: float, milliseconds: int
) -> None:
    asked: list[Any] = []

    async def put(_: Any, key: str, value: bytes, px: int) -> None:
        asked.append((key, value, px))

    async def close(_: Any) -> None:
        asked.append("closed")

    monkeypatch.setattr(Redis, "set", put)
    monkeypatch.setattr(Redis, "aclose", close)
    shared = Shared("redis://127.0.0.1:1/0", seconds)
    await shared.put("key", b"value")
    await shared.close()
    assert asked == [("key", b"value", milliseconds), "closed"]


async def test_a_redis_that_nobody_can_reach_is_left_alone_for_a_while(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    now, before = 1000.0, count("failed")
    monkeypatch.setattr(cache, "time", SimpleNamespace(monotonic=lambda: now))
    shared = Shared(f"unix://{tmp_path}/nobody", 30)

    def failed() -> float:
        return count("failed") - before

    assert await shared.get("key") is None
    assert failed() == 1
    await shared.put("key", b"value")
    assert await shared.get("key") is None
    assert failed() == 1
    now += cache.RETRY_SECONDS + 1
    await shared.put("key", b"value")
    assert failed() == 2
    assert await shared.delete("recsys") == 0
    assert failed() == 3
    await shared.close()
