"""Writes in the queue: who decides about one, what shares a commit, and what is left behind."""

import asyncio
import gc
import threading
import weakref
from pathlib import Path
from typing import Any

import pytest

from recsys.schemas.store_schema import SQLITE
from serving.stores import writer
from serving.stores.job import Job, abandon_after, all_of
from serving.stores.migrations import migrate
from serving.stores.protocol import FORGET_S, WRITE_S, Event, Item, StoreError
from serving.stores.store import Store
from serving.stores.writes import Write
from tests.serving.stores.conftest import Opened, Select
from tests.serving.stores.examples import ANNA, BEN, COOKIE, NEW, event, exposure
from tests.serving.stores.test_outcomes import locked, slow_commits

pytestmark = pytest.mark.anyio


@pytest.fixture
def url(sqlite_url: str) -> str:
    migrate(sqlite_url)
    return sqlite_url


def nothing() -> Write[None]:
    yield "SELECT 1", [()]


# ---- a job


async def test_who_leaves_after_the_write_began_is_let_go_at_once() -> None:
    job = Job[None](nothing)
    waiting = asyncio.create_task(job.result())
    await asyncio.sleep(0)
    assert job.begin()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert job.begin(), "it goes on"


async def test_who_leaves_before_takes_the_write_along() -> None:
    job = Job[None](nothing)
    waiting = asyncio.create_task(job.result())
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert not job.begin()


async def test_a_write_that_ended_is_not_kept_until_its_time_is_over() -> None:
    job = Job[int](nothing, seconds=60.0)
    kept = weakref.ref(job)
    job.begin()
    job.end(7)
    assert await job.result() == 7
    del job
    gc.collect()
    assert kept() is None


async def test_the_first_end_of_a_write_counts() -> None:
    job = Job[int](nothing)
    job.end(1)
    job.end(None, StoreError("too late"))
    assert await job.result() == 1


async def test_writes_beside_events_come_back_in_the_order_of_their_callers() -> None:
    def events(batches: list[list[str]]) -> Write[list[str]]:
        yield "events", [(len(batches),)]
        return ["+".join(batch) for batch in batches]

    def other() -> Write[str]:
        yield "other", [()]
        return "other"

    jobs = [Job[Any](events, events=["a", "b"]), Job[Any](other), Job[Any](events, events=["c"])]  # type: ignore[list-item]
    write = all_of(jobs)
    assert next(write) == ("events", [(2,)])
    assert write.send([]) == ("other", [()])
    with pytest.raises(StopIteration) as end:
        write.send([])
    assert end.value.value == ["a+b", "other", "c"]


class Recorder:
    """A database that writes nothing, and keeps what it was given."""

    remote, salt = False, "salt"

    def __init__(self) -> None:
        self.jobs: list[Job[Any]] = []

    async def write(self, job: Job[Any]) -> Any:
        self.jobs.append(job)

    async def read(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        return []

    async def erase(self) -> None: ...

    async def close(self) -> None: ...


async def test_what_changes_rows_that_others_read_first_is_written_alone() -> None:
    """A server takes other writes at the same time, see `serving/stores/postgres.py`."""
    recorder = Recorder()
    store = Store(recorder)
    await store.add_events([event("1"), event("2")])
    await store.add_exposures([exposure("r")] * 3)
    await store.execute("SELECT 1")
    await store.upsert_items([Item("a"), Item("b")])
    await store.merge(COOKIE, ANNA)
    await store.unmerge(COOKIE)
    await store.forget(ANNA)
    assert [job.alone for job in recorder.jobs] == [False] * 3 + [True] * 4
    assert [job.rows for job in recorder.jobs] == [2, 3, 1, 2, 1, 1, 1]
    assert [job.seconds for job in recorder.jobs] == [WRITE_S] * 6 + [FORGET_S]


# ---- work that is given up


async def test_work_that_is_late_is_cancelled_and_nobody_hears_of_its_error() -> None:
    ended, complaints = [], []

    async def work(error: type[BaseException]) -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            ended.append(error)
            raise error from None

    asyncio.get_running_loop().set_exception_handler(lambda _, about: complaints.append(about))
    for error in (asyncio.CancelledError, ValueError):
        with pytest.raises(TimeoutError):
            await abandon_after(0.01, work(error))
    await asyncio.sleep(0.01)
    gc.collect()
    assert ended == [asyncio.CancelledError, ValueError]
    assert complaints == []


async def test_who_leaves_takes_the_work_along() -> None:
    ended = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    leaving = asyncio.create_task(abandon_after(60, work()))
    await asyncio.sleep(0.01)
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    async with asyncio.timeout(1):
        await ended.wait()


# ---- the writer of a file


async def test_closing_waits_for_what_was_begun_and_leaves_one_file(
    sqlite_url: str, select: Select, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = await slow_commits(sqlite_url, opened, monkeypatch, 0.1)
    await store.history(ANNA, None, 1)
    writing = asyncio.create_task(store.add_events([event("1")]))
    await asyncio.sleep(0.01)
    await store.close()
    path = Path(sqlite_url.removeprefix(SQLITE))
    assert [file.name for file in path.parent.iterdir()] == [path.name], "nothing is open any more"
    assert select("SELECT event_id FROM events") == [("1",)]
    assert await writing == [NEW]


async def test_a_process_that_ends_waits_for_no_writer(url: str, opened: Opened) -> None:
    before = set(threading.enumerate())
    store = await opened(url)
    (thread,) = set(threading.enumerate()) - before
    assert thread.daemon
    await store.close()
    assert not thread.is_alive()


async def test_of_two_writes_in_one_commit_the_good_one_is_stored(url: str, opened: Opened) -> None:
    store = await opened(url)
    broken = Event("1", ANNA, None, None, "view", None, 1.0, None, 1.0)  # type: ignore[arg-type]
    with locked(url):
        sent = [asyncio.create_task(store.add_events([event("0")]))]
        await asyncio.sleep(0.05)  # it waits for the lock, and the others wait for it
        sent += [asyncio.create_task(store.add_events([one])) for one in (broken, event("2"))]
        await asyncio.sleep(0.05)
    first, refused, stored = await asyncio.gather(*sent, return_exceptions=True)
    assert first == stored == [NEW]
    assert isinstance(refused, Exception)


async def test_one_commit_of_a_file_has_a_limit(url: str, opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "MAX_ROWS", 2)
    sizes: list[int] = []

    def counted(jobs: list[Job[Any]]) -> Write[list[Any]]:
        sizes.append(len(jobs))
        return all_of(jobs)

    monkeypatch.setattr(writer, "all_of", counted)
    store = await opened(url)
    with locked(url):
        sent = [asyncio.create_task(store.merge(f"guest {n}", BEN)) for n in range(6)]
        await asyncio.sleep(0.05)
    assert await asyncio.gather(*sent) == [0] * 6
    assert sizes in ([1, 2, 2, 1], [2, 2, 2])
