"""Exposures are put down without waiting, written in the background, and counted when they are lost."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from serving.live import exposure_writer
from serving.live.exposure_writer import EXPOSURES, Exposures
from serving.recorder.snapshots import Snapshots
from serving.stores import open_store
from serving.stores.migrations import migrate
from serving.stores.protocol import Exposure, StoreError
from serving.stores.store import Store
from tests.serving.stores.examples import exposure

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Wavering:
    """A store whose `trouble` is raised by each write, and whose writes wait for `open`."""

    def __init__(self) -> None:
        self.kept: list[str] = []
        self.trouble: Exception | None = None
        self.open = asyncio.Event()
        self.open.set()

    async def add_exposures(self, batch: Sequence[Exposure]) -> None:
        await self.open.wait()
        if self.trouble:
            raise self.trouble
        if any(shown.request_id == "odd" for shown in batch):
            raise ValueError("odd")
        self.kept += [shown.request_id for shown in batch]


async def until(reached: Any) -> None:
    async with asyncio.timeout(20):
        while not reached():
            await asyncio.sleep(0.01)


class Queue(Exposures):
    """Counts what is in its queue, and what was written and dropped since it was made."""

    def __init__(self, store: Wavering | Store) -> None:
        super().__init__(cast(Store, store), Snapshots())
        self._before = self._counts()

    def _counts(self) -> list[int]:
        return [int(EXPOSURES.labels(outcome)._value.get()) for outcome in ("written", "dropped")]

    @property
    def waiting(self) -> int:
        return len(self._queue)

    @property
    def written(self) -> int:
        return self._counts()[0] - self._before[0]

    @property
    def dropped(self) -> int:
        return self._counts()[1] - self._before[1]


async def test_what_is_put_is_in_the_store_soon_after(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/events.sqlite"
    migrate(url)
    store = await open_store(url)
    exposures = Queue(store)
    for number in range(1200):
        exposures.put(exposure(f"r{number}", "anna"))
    await until(lambda: exposures.written == 1200)
    assert (exposures.waiting, exposures.dropped) == (0, 0)
    await exposures.close()
    assert (await store.forget("anna"))["exposures"] == 1200
    await store.close()


async def test_a_store_that_hangs_blocks_nobody_and_costs_only_what_has_no_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(exposure_writer, "ROOM", 3)
    store = Wavering()
    store.open.clear()
    exposures = Queue(store)
    for number in range(5):
        exposures.put(exposure(str(number)))
    assert (exposures.waiting, exposures.dropped, store.kept) == (3, 2, [])
    store.open.set()
    await until(lambda: exposures.written == 3)
    assert store.kept == ["0", "1", "2"]
    await exposures.close()


async def test_after_an_outage_what_waited_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.live.exposure_writer.RETRY_SECONDS", 0.01)
    store = Wavering()
    store.trouble = StoreError("away")
    exposures = Queue(store)
    exposures.put(exposure("1"))
    await asyncio.sleep(0.2)
    assert (exposures.waiting, exposures.written) == (1, 0)
    store.trouble = None
    await until(lambda: exposures.written == 1)
    exposures.put(exposure("2"))
    await until(lambda: exposures.written == 2)
    await exposures.close()
    assert store.kept == ["1", "2"]


async def test_at_the_end_everything_is_written() -> None:
    store = Wavering()
    exposures = Queue(store)
    for number in range(1234):
        exposures.put(exposure(str(number)))
    await exposures.close()
    assert store.kept == [str(number) for number in range(1234)]
    assert (exposures.written, exposures.dropped, exposures.waiting) == (1234, 0, 0)


@pytest.mark.parametrize("hangs", [True, False])
async def test_at_the_end_what_cannot_be_written_is_counted(hangs: bool) -> None:
    store = Wavering()
    store.trouble = StoreError("away")
    if hangs:
        store.open.clear()
    exposures = Queue(store)
    exposures.put(exposure("1"))
    await exposures.close(timeout=0.05)
    assert (exposures.written, exposures.dropped, exposures.waiting) == (0, 1, 0)


async def test_one_that_cannot_be_stored_is_dropped_alone() -> None:
    store = Wavering()
    exposures = Queue(store)
    for name in ("1", "2", "odd", "3", "odd", "4"):
        exposures.put(exposure(name))
    await until(lambda: not exposures.waiting)
    assert store.kept == ["1", "2", "3", "4"]
    assert (exposures.written, exposures.dropped) == (4, 2)
    await exposures.close()
