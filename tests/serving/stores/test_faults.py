"""A store that cannot write says so in one line, keeps what it acknowledged, and works again when the fault is gone."""

import asyncio
import re
import resource
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import apsw
import psycopg
import pytest

from benchmarks.stores import kill
from benchmarks.stores.servers import Postgres
from recsys.schemas.store_schema import SQLITE
from serving.stores import open_store, sqlite
from serving.stores.job import Job
from serving.stores.migrations import migrate
from serving.stores.postgres import READERS, PostgresDatabase
from serving.stores.protocol import StoreError
from serving.stores.store import Store
from serving.stores.writes import Write
from tests.serving.stores.conftest import Opened
from tests.serving.stores.examples import ANNA, NEW, event, rejected

pytestmark = pytest.mark.anyio


async def refused(store: Store, message: str) -> None:
    """What has no room is refused with one line, and so is what was to be committed with it."""
    writes = [
        store.add_events([event(f"lost {number}") for number in range(1990)]),
        store.add_events([event("lost")]),
        store.add_events([rejected("lost" * 100_000)]),
    ]
    for error in await asyncio.gather(*writes, return_exceptions=True):
        assert isinstance(error, StoreError), error
        assert re.search(message, str(error)), error
        assert "\n" not in str(error)


async def works(store: Store, event_id: str) -> None:
    """New events are taken, and all that were acknowledged are there."""
    assert await store.add_events([event(event_id)]) == [NEW]
    assert {each.event_id for each in (await store.history(ANNA, None, 100))[1]} == {"before", event_id}


@contextmanager
def small_files(size: int) -> Iterator[None]:
    """No file of this process can grow over `size` bytes: as when the disk is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_a_log_that_cannot_grow(sqlite_url: str, opened: Opened) -> None:
    migrate(sqlite_url)
    store = await opened(sqlite_url)
    assert await store.add_events([event("before")]) == [NEW]
    with small_files(200_000):
        await refused(store, "disk I/O error|full")
        assert (await store.history(ANNA, None, 100))[1] == [event("before")]
    await works(store, "after")


async def test_a_full_disk(sqlite_url: str, monkeypatch: pytest.MonkeyPatch, opened: Opened) -> None:
    def full(path: str) -> apsw.Connection:
        connection = connect(path)
        connection.execute("PRAGMA max_page_count=40").fetchall()
        return connection

    migrate(sqlite_url)
    connect = sqlite.connect
    store = await opened(sqlite_url)
    with monkeypatch.context() as patch:
        patch.setattr(sqlite, "connect", full)
        assert await store.add_events([event("before")]) == [NEW]
        await refused(store, "FullError: database or disk is full")
        assert (await store.history(ANNA, None, 100))[1] == [event("before")]
    await works(store, "after")


async def test_a_file_that_another_process_holds(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch, opened: Opened
) -> None:
    monkeypatch.setattr(sqlite.connect, "__kwdefaults__", {"create": False, "wait_s": 0.05})
    migrate(sqlite_url)
    store = await opened(sqlite_url)
    assert await store.add_events([event("before")]) == [NEW]
    with closing(apsw.Connection(sqlite_url.removeprefix(SQLITE))) as other:
        other.execute("BEGIN IMMEDIATE")
        await refused(store, "BusyError: database is locked")
        assert (await store.history(ANNA, None, 100))[1] == [event("before")], "readers wait for no writer"
        other.execute("ROLLBACK")
    await works(store, "after")


async def test_forgetting_says_when_a_reader_keeps_the_deleted_rows_in_a_file(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch, opened: Opened
) -> None:
    monkeypatch.setattr(sqlite.connect, "__kwdefaults__", {"create": False, "wait_s": 0.05})
    migrate(sqlite_url)
    store = await opened(sqlite_url)
    assert await store.add_events([event("1")]) == [NEW]
    with closing(apsw.Connection(sqlite_url.removeprefix(SQLITE))) as reader:
        reader.execute("BEGIN; SELECT event_id FROM events").fetchall()
        with pytest.raises(
            StoreError, match="the rows are deleted, but the WAL file contains them while another connection reads"
        ):
            await store.forget(ANNA)
    assert (await store.forget(ANNA))["events"] == 0


@pytest.mark.parametrize("journal", ["wal", "delete"])
def test_a_file_that_another_process_holds_for_a_moment(tmp_path: Path, journal: str) -> None:
    path = f"{tmp_path}/events.sqlite"
    with closing(apsw.Connection(path)) as other:
        other.execute(f"PRAGMA journal_mode={journal}; CREATE TABLE a (b); BEGIN IMMEDIATE").fetchall()
        threading.Timer(0.05, lambda: other.execute("ROLLBACK")).start()
        with closing(sqlite.connect(path, wait_s=0.3)) as waiting:
            waiting.execute("BEGIN IMMEDIATE; INSERT INTO a VALUES (1); COMMIT")
            assert waiting.execute("PRAGMA journal_mode").fetchall() == [("wal",)]
            assert other.execute("SELECT b FROM a").fetchall() == [(1,)]


async def test_a_file_that_is_no_database(sqlite_url: str) -> None:
    path = Path(sqlite_url.removeprefix(SQLITE))
    path.parent.mkdir()
    path.write_text("not a database " * 1000)
    for attempt in (open_store(sqlite_url), asyncio.to_thread(migrate, sqlite_url)):
        with pytest.raises(StoreError, match=r"events.sqlite: NotADBError: file is not a database"):
            await attempt


async def test_a_server_that_restarts(postgres: Postgres, opened: Opened) -> None:
    url = postgres.emptied()
    migrate(url)
    store = await opened(url)
    assert await store.add_events([event("before")]) == [NEW]
    postgres.stop()
    try:
        await refused(store, rf"^{url.replace('recsys@', '')}: ")
        for attempt in (store.history(ANNA, None, 1), store.ping(), open_store(url)):
            with pytest.raises(StoreError):
                await attempt
    finally:
        postgres.start()
    await works(store, "after")


async def test_connections_that_the_server_dropped_are_not_noticed(postgres: Postgres, opened: Opened) -> None:
    url = postgres.emptied()
    migrate(url)
    store = await opened(url)
    assert await store.add_events([event("before")]) == [NEW]
    postgres.stop()
    postgres.start()
    await works(store, "after")


async def test_all_connections_that_the_server_dropped_are_replaced(postgres: Postgres, opened: Opened) -> None:
    url = postgres.emptied()
    migrate(url)
    store = await opened(url)
    sleeps = [store.database.read("SELECT pg_backend_pid(), pg_sleep(0.2)") for _ in range(READERS)]
    assert len({pid for [(pid, _)] in await asyncio.gather(*sleeps)}) == READERS
    postgres.stop()
    postgres.start()
    for _ in range(8):
        assert await store.history(ANNA, None, 1) == (0, [])


async def test_a_store_that_cannot_be_opened_leaves_no_connection(postgres: Postgres) -> None:
    url = postgres.emptied()
    with pytest.raises(StoreError, match="migrate") as refused:
        await open_store(url)
    assert refused.tb is not None, "what is held here is not collected: a pool that is left open has its connection"
    with psycopg.connect(url) as server:
        others = server.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid != pg_backend_pid()"
        )
        assert others.fetchall() == [(0,)]


async def test_events_are_written_beside_others_and_what_moves_them_alone(postgres: Postgres, opened: Opened) -> None:
    url = postgres.emptied()
    migrate(url)
    store = await opened(url)

    def locks() -> Write[list[tuple[str, ...]]]:
        held = "SELECT mode FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"
        [rows] = yield held, [()]
        return rows

    assert await store.database.write(Job(locks)) == [("ShareLock",)]
    assert await store.database.write(Job(locks, alone=True)) == [("ExclusiveLock",)]


async def test_what_the_server_gave_up_for_a_deadlock_is_done_again(postgres: Postgres, opened: Opened) -> None:
    url = postgres.emptied()
    migrate(url)
    database = (await opened(url)).database
    assert isinstance(database, PostgresDatabase)
    times = iter([psycopg.errors.DeadlockDetected(), None])

    async def once_in_vain(_: psycopg.AsyncConnection[Any]) -> str:
        if (error := next(times)) is not None:
            raise error
        return "done"

    assert await database._with_connection(database._writers, once_in_vain) == "done"


async def test_events_are_stored_while_more_reads_hang_than_there_are_connections(
    postgres: Postgres, opened: Opened
) -> None:
    url = postgres.emptied()
    migrate(url)
    store = await opened(url)
    with psycopg.connect(url) as other:
        other.execute("LOCK TABLE items IN ACCESS EXCLUSIVE MODE")
        given_up, hanging = ([asyncio.create_task(store.items_since(0)) for _ in range(READERS)] for _ in range(2))
        await asyncio.sleep(0.1)
        for each in given_up:
            each.cancel()
        assert await store.add_events([event("before")]) == [NEW]
        assert not any(each.done() for each in hanging)
    assert await asyncio.gather(*hanging) == [(0, [])] * READERS
    await works(store, "after")


async def test_the_password_is_in_no_message() -> None:
    with pytest.raises(StoreError, match=r"^postgresql://127.0.0.1:1/shop: ") as refusal:
        await open_store("postgresql://me:secret-word@127.0.0.1:1/shop?connect_timeout=1")
    assert "secret-word" not in str(refusal.value)


@pytest.mark.parametrize("url", ["mysql://a", "", "store/events.sqlite"])
async def test_a_url_of_no_store(url: str) -> None:
    wanted = re.escape("expected sqlite:///path or postgresql://...; correct RECSYS_STORE_URL")
    for attempt in (open_store(url), asyncio.to_thread(migrate, url)):
        with pytest.raises(StoreError, match=wanted):
            await attempt


# ---- some writers killed with -9 on each store; `benchmarks/stores/kill.py` kills a hundred


def test_nothing_acknowledged_is_lost_and_nothing_is_twice_in_a_file(tmp_path: Path) -> None:
    judge(kill.kill(f"sqlite:///{tmp_path}/events.sqlite", 4, tmp_path))


def test_nothing_acknowledged_is_lost_and_nothing_is_twice_on_a_server(postgres: Postgres, tmp_path: Path) -> None:
    judge(kill.kill(postgres.emptied(), 3, tmp_path))


def judge(found: dict[str, int]) -> None:
    assert found["acknowledged"] > 10
    assert (found["lost"], found["refused_but_stored"], found["duplicated"], found["miscounted"]) == (0, 0, 0, 0)
