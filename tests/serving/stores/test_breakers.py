"""A store that fails or hangs costs little, and is back as soon as it answers."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from recsys.recommend.circuit_breaker import CircuitBreakers, Limits
from serving.stores import open_store
from serving.stores.migrations import migrate
from serving.stores.protocol import Event, Outcome, StoreError
from serving.stores.store import Database, Store

EVENT = Event("e1", "anna", None, "kitchen-1", "view", None, 1.0, None, 1.0)


class Flaky:
    """Passes everything on to a real database, but waits or fails first when told to."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.calls = 0
        self.trouble: Callable[[], Any] | None = None
        self.remote = True  # it may hang

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._database, name)
        if name not in ("read", "write"):
            return found

        async def asked(*args: Any) -> Any:
            self.calls += 1
            if self.trouble is not None:
                await self.trouble()
            return await found(*args)

        return asked


async def fails() -> None:
    raise StoreError("no space left on the disk")


async def hangs() -> None:
    await asyncio.sleep(1.0)  # then it would answer


@pytest.fixture
def url(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path / 'events.sqlite'}"
    migrate(url)
    return url


def with_store(url: str, story: Callable[[Flaky, Store, list[float]], Any]) -> None:
    async def tell() -> None:
        flaky, now = Flaky((await open_store(url)).database), [0.0]
        breakers = CircuitBreakers(Limits(window=4, failures=2, cooldown_s=1.0), lambda: now[0])
        guarded = Store(flaky, 0.05, breakers)
        try:
            await story(flaky, guarded, now)
        finally:
            await guarded.close()

    asyncio.run(tell())


@pytest.mark.parametrize(("trouble", "says"), [(fails, "no space left"), (hangs, "took longer than 50 ms")])
def test_reading_is_left_alone_while_it_fails_and_asked_again_after(
    url: str, trouble: Callable[[], Any], says: str
) -> None:
    async def story(flaky: Flaky, guarded: Store, now: list[float]) -> None:
        await guarded.add_events([EVENT])
        assert (await guarded.history("anna", None, 10))[1] == [EVENT]
        flaky.trouble, before = trouble, flaky.calls
        for _ in range(2):
            with pytest.raises(StoreError, match=says):
                await guarded.history("anna", None, 10)
        for _ in range(5):
            with pytest.raises(StoreError, match="reading the store kept failing and is not called for 1 s"):
                await guarded.history("anna", None, 10)
        assert flaky.calls == before + 2
        flaky.trouble, now[0] = None, 1.0
        assert (await guarded.history("anna", None, 10))[1] == [EVENT]
        assert guarded.reading.closed

    with_store(url, story)


def test_a_timeout_that_a_busy_process_notices_late_is_not_held_against_the_store(url: str) -> None:
    """As after a burst of requests, whose models the event loop computes one after another."""

    async def story(flaky: Flaky, guarded: Store, now: list[float]) -> None:
        await guarded.add_events([EVENT])
        flaky.remote, flaky.trouble = True, hangs
        for _ in range(5):
            reading = asyncio.create_task(guarded.history("anna", None, 10))
            await asyncio.sleep(0.01)
            time.sleep(0.1)  # this is the busy process
            with pytest.raises(StoreError, match="took longer than 50 ms"):
                await reading
        assert guarded.reading.closed
        flaky.trouble = None
        assert (await guarded.history("anna", None, 10))[1] == [EVENT]

    with_store(url, story)


def test_writing_that_fails_does_not_stop_reading(url: str) -> None:
    """As with a full disk. Nothing is acknowledged, and nothing waits."""

    async def story(flaky: Flaky, guarded: Store, now: list[float]) -> None:
        flaky.trouble = fails
        for says in ("no space left", "no space left", "writing to the store kept failing"):
            with pytest.raises(StoreError, match=says):
                await guarded.add_events([EVENT])
        flaky.trouble = None
        assert await guarded.history("anna", None, 10) == (0, [])
        with pytest.raises(StoreError, match="writing to the store kept failing"):
            await guarded.add_exposures([])
        now[0] = 1.0
        assert await guarded.add_events([EVENT]) == [Outcome.NEW]

    with_store(url, story)


def test_what_the_caller_did_wrong_is_not_held_against_the_store(url: str) -> None:
    async def story(flaky: Flaky, guarded: Store, now: list[float]) -> None:
        async def refuses() -> None:
            raise ValueError("a text that no store can hold")

        flaky.trouble = refuses
        for _ in range(5):
            with pytest.raises(ValueError, match="no store can hold"):
                await guarded.add_events([EVENT])
        flaky.trouble = None
        assert await guarded.add_events([EVENT]) == [Outcome.NEW]

    with_store(url, story)


def test_of_a_file_a_history_is_read_without_a_clock_and_the_rest_with_one(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serving.stores.store.LONG_SECONDS", 0.05)

    async def story(flaky: Flaky, guarded: Store, now: list[float]) -> None:
        async def takes_its_time() -> None:
            await asyncio.sleep(0.2)

        await guarded.add_events([EVENT])
        flaky.remote, flaky.trouble = False, takes_its_time
        assert (await guarded.history("anna", None, 10))[1] == [EVENT]
        for read in (guarded.seen("anna", None), guarded.items_since(0)):
            with pytest.raises(StoreError, match="took longer than 50 ms"):
                await read
        flaky.trouble, now[0] = None, 1.0
        assert await guarded.seen("anna", None) == {"kitchen-1": False}

    with_store(url, story)
