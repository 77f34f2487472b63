"""Kept answers: in this process and in a real Redis, and what happens when it goes away."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from serving.service import cache
from serving.service.cache import ANSWERS, Cache, CacheKey, Memory, Shared, open_cache
from tests.support import programs


class Listed(BaseModel):
    items: list[str]
    degraded: bool = False


ASKED = CacheKey("anna", "b1", "r1", "exp", "als", history="7", items="3", request='{"k": 5}')


class Computing:
    """Counts how often it is asked; answers with the count."""

    def __init__(self, **values: Any) -> None:
        self.times = 0
        self.values = values

    async def __call__(self) -> Listed:
        self.times += 1
        mine = self.times
        await asyncio.sleep(0.01)
        return Listed(items=[f"ünï-{mine}"], **self.values)


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine is no fault."""
    monkeypatch.setattr(cache, "TIMEOUT_SECONDS", 10)


@pytest.fixture(params=["memory", "redis"])
def url(request: pytest.FixtureRequest) -> str:
    found: str = "memory" if request.param == "memory" else request.getfixturevalue("redis_url")
    return found


def using(url: str, work: Callable[[Cache[Listed]], Awaitable[None]], seconds: float = 60) -> None:
    async def run() -> None:
        opened = open_cache(url, seconds, Listed, lambda answer: not answer.degraded)
        await opened.forget("anna")
        await work(opened)
        await opened.close()

    asyncio.run(run())


def count(outcome: str) -> float:
    return ANSWERS.labels(outcome)._value.get()


async def settled(opened: Cache[Listed]) -> None:
    await asyncio.gather(*opened._writing)


def test_the_second_answer_is_the_first_one(url: str) -> None:
    async def work(opened: Cache[Listed]) -> None:
        compute, hits, misses = Computing(), count("hit"), count("miss")
        first = await opened.answer(ASKED, compute)
        await settled(opened)
        assert await opened.answer(ASKED, compute) == first == Listed(items=["ünï-1"])
        assert (compute.times, count("hit") - hits, count("miss") - misses) == (1, 1, 1)

    using(url, work)


@pytest.mark.parametrize("field", [field.name for field in fields(CacheKey)])
def test_whatever_an_answer_depends_on_makes_another_key(url: str, field: str) -> None:
    changed = replace(ASKED, **{field: "other"})

    async def work(opened: Cache[Listed]) -> None:
        compute = Computing()
        await opened.answer(ASKED, compute)
        await settled(opened)
        await opened.answer(changed, compute)
        assert compute.times == 2

    using(url, work)
    assert changed.key != ASKED.key


def test_neighbouring_fields_do_not_run_into_each_other() -> None:
    assert replace(ASKED, rules="a", experiment="b").key != replace(ASKED, rules="ab", experiment="").key


def test_no_id_of_a_user_is_in_a_key() -> None:
    assert "anna" not in ASKED.key


def test_only_one_computes_what_many_ask_for(url: str) -> None:
    async def work(opened: Cache[Listed]) -> None:
        compute = Computing()
        answers = await asyncio.gather(*(opened.answer(ASKED, compute) for _ in range(50)))
        assert compute.times == 1
        assert answers == [answers[0]] * 50
        assert opened._running == {}

    using(url, work)


def test_who_hangs_up_takes_nobody_elses_answer_along(url: str) -> None:
    async def work(opened: Cache[Listed]) -> None:
        compute = Computing()
        leader = asyncio.create_task(opened.answer(ASKED, compute))
        follower = asyncio.create_task(opened.answer(ASKED, compute))
        await asyncio.sleep(0.005)
        leader.cancel()
        assert (await follower).items == ["ünï-1"]
        assert leader.cancelled()

    using(url, work)


def test_an_error_is_nobodys_answer(url: str) -> None:
    async def broken() -> Listed:
        raise ValueError("broken")

    async def work(opened: Cache[Listed]) -> None:
        with pytest.raises(ValueError, match="broken"):
            await opened.answer(ASKED, broken)
        assert (await opened.answer(ASKED, Computing())).items == ["ünï-1"]

    using(url, work)


def test_a_degraded_answer_is_not_kept(url: str) -> None:
    async def work(opened: Cache[Listed]) -> None:
        compute = Computing(degraded=True)
        for _ in range(2):
            await opened.answer(ASKED, compute)
            await settled(opened)
        assert compute.times == 2

    using(url, work)


def test_forgetting_a_user_leaves_the_others(url: str) -> None:
    async def work(opened: Cache[Listed]) -> None:
        compute = Computing()
        for asked in (ASKED, replace(ASKED, history="8"), replace(ASKED, owner="ben")):
            await opened.answer(asked, compute)
        await settled(opened)
        assert await opened.forget("anna") == 2
        assert await opened.forget("anna") == 0
        assert await opened.forget("ben") == 1

    using(url, work)


def test_memory_keeps_the_last_ones_and_not_for_long() -> None:
    now = 0.0

    async def work() -> None:
        nonlocal now
        memory = Memory(seconds=30, entries=2, clock=lambda: now)
        for key in ("a", "b"):
            await memory.put(key, key.encode())
        await memory.get("a")
        await memory.put("c", b"c")
        assert [await memory.get(key) for key in "abc"] == [b"a", None, b"c"]
        now = 30.0
        assert await memory.get("a") is None

    asyncio.run(work())


def test_redis_keeps_nothing_for_ever(redis_url: str) -> None:
    async def work() -> None:
        shared = Shared(redis_url, seconds=0.02)
        await shared.put("soon gone", b"x")
        for _ in range(500):
            if await shared.get("soon gone") is None:
                break
            await asyncio.sleep(0.01)
        else:
            pytest.fail("still there after 5 s")
        await shared.close()

    asyncio.run(work())


def test_what_another_version_kept_is_computed_anew(redis_url: str) -> None:
    async def work(opened: Cache[Listed]) -> None:
        await opened._backend.put(ASKED.key, b'{"other": 1}')
        assert (await opened.answer(ASKED, Computing())).items == ["ünï-1"]

    using(redis_url, work)


@pytest.mark.parametrize("fault", [signal.SIGKILL, signal.SIGSTOP])
def test_answers_go_on_without_redis_and_it_is_used_again(
    tmp_path: Path, fault: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed: connections are refused. Stopped: it takes connections and is silent."""
    monkeypatch.setattr(cache, "RETRY_SECONDS", 0.2)
    monkeypatch.setattr(cache, "TIMEOUT_SECONDS", 0.5)

    async def work(opened: Cache[Listed]) -> None:
        compute, failed = Computing(), count("failed")
        await opened.answer(ASKED, compute)
        await settled(opened)
        process.send_signal(fault)
        for _ in range(10):
            await opened.answer(ASKED, compute)
            await settled(opened)
        assert compute.times == 11
        assert 1 <= count("failed") - failed <= 5  # after a failure it is left alone
        if fault == signal.SIGSTOP:
            process.send_signal(signal.SIGCONT)
            await asyncio.sleep(0.5)
            assert (await opened.answer(ASKED, compute)).items == ["ünï-1"]

    with programs.running_redis(tmp_path) as (url, process):
        using(url, work)


def test_an_address_nobody_listens_at(tmp_path: Path) -> None:
    async def work(opened: Cache[Listed]) -> None:
        assert (await opened.answer(ASKED, Computing())).items == ["ünï-1"]

    using(f"unix://{tmp_path}/nobody", work)
    assert os.listdir(tmp_path) == []
