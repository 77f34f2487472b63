"""A write ends in one of three ways, and each is true: stored, not stored, nobody can say. Nothing hangs for long."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any

import apsw
import psycopg
import pytest

from benchmarks.stores.servers import Postgres
from recsys.recommend.circuit_breaker import CircuitBreakers
from recsys.schemas.store_schema import SQLITE
from serving.stores import postgres as postgres_store
from serving.stores import sqlite
from serving.stores.job import Job
from serving.stores.migrations import migrate
from serving.stores.protocol import StoreError, UnknownOutcomeError
from serving.stores.store import LIMITS, Store
from tests.serving.stores.conftest import Opened, Select
from tests.serving.stores.examples import ANNA, NEW, event

pytestmark = pytest.mark.anyio

LIMIT_S = 0.3
HANGS_S = 4.0  # no test waits so long: before, a frozen server was waited for 10 s


@pytest.fixture(autouse=True)
def _short_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    defaults = Job.__init__.__kwdefaults__ or {}
    monkeypatch.setattr(Job.__init__, "__kwdefaults__", {**defaults, "seconds": LIMIT_S})
    settings = postgres_store.SETTINGS.replace("'4500'", "'200'")
    assert settings != postgres_store.SETTINGS
    monkeypatch.setattr(postgres_store, "SETTINGS", settings)


@contextmanager
def locked(url: str) -> Iterator[None]:
    """Another program holds the lock that every write needs."""
    if url.startswith(SQLITE):
        with closing(apsw.Connection(url.removeprefix(SQLITE))) as other:
            other.execute("BEGIN IMMEDIATE")
            yield
            other.execute("ROLLBACK")
    else:
        with psycopg.connect(url) as other_server:
            other_server.execute("LOCK TABLE events")
            yield
            other_server.rollback()


async def outcome_of(write: Any) -> str:
    try:
        async with asyncio.timeout(HANGS_S):
            await write
    except UnknownOutcomeError:
        return "unknown"
    except StoreError:
        return "not stored"
    return "stored"


async def test_what_is_said_not_to_be_stored_never_is(url: str, opened: Opened, select: Select) -> None:
    store = await opened(url)
    with locked(url):
        outcomes = await asyncio.gather(*(outcome_of(store.add_events([event(f"lost {n}")])) for n in range(3)))
    assert outcomes == ["not stored"] * 3
    assert await store.add_events([event("after")]) == [NEW]
    await asyncio.sleep(2 * LIMIT_S)
    assert select("SELECT event_id FROM events") == [("after",)]


async def test_a_job_whose_caller_left_is_not_run(sqlite_url: str, opened: Opened) -> None:
    migrate(sqlite_url)
    store = await opened(sqlite_url)
    with locked(sqlite_url):
        leaving = asyncio.create_task(store.add_events([event("lost")]))
        await asyncio.sleep(0.05)
        leaving.cancel()
        with suppress(asyncio.CancelledError):
            await leaving
    assert await store.add_events([event("after")]) == [NEW]
    assert [each.event_id for each in (await store.history(ANNA, None, 9))[1]] == ["after"]


async def slow_commits(url: str, opened: Opened, monkeypatch: pytest.MonkeyPatch, seconds: float) -> Any:
    """A store on a disk that takes so long for a commit."""
    connect = sqlite.connect

    def sleep() -> bool:
        time.sleep(seconds)
        return False  # goes on with the commit

    def slow(path: str, **settings: Any) -> apsw.Connection:
        connection = connect(path, **settings)
        connection.set_commit_hook(sleep)
        return connection

    migrate(url)
    monkeypatch.setattr(sqlite, "connect", slow)
    return await opened(url)


async def test_what_was_begun_has_as_long_again_to_end(
    sqlite_url: str, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = await slow_commits(sqlite_url, opened, monkeypatch, 1.5 * LIMIT_S)
    assert await outcome_of(store.add_events([event("1")])) == "stored"


async def test_nobody_can_say_what_became_of_a_commit_that_hangs(
    sqlite_url: str, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = await slow_commits(sqlite_url, opened, monkeypatch, 4 * LIMIT_S)
    begun = asyncio.create_task(outcome_of(store.add_events([event("begun")])))
    await asyncio.sleep(LIMIT_S / 3)
    waiting = asyncio.create_task(outcome_of(store.add_events([event("waiting")])))
    assert (await begun, await waiting) == ("unknown", "not stored")
    await asyncio.sleep(5 * LIMIT_S)
    assert [each.event_id for each in (await store.history(ANNA, None, 9))[1]] == ["begun"]


async def test_a_frozen_server_is_not_waited_for(postgres: Postgres, opened: Opened) -> None:
    """SIGSTOP: connections stay open, and nothing answers, not even to a cancellation."""
    url = postgres.emptied()
    migrate(url)
    guarded = Store((await opened(url)).database, 0.05, CircuitBreakers(LIMITS))
    assert await guarded.add_events([event("before")]) == [NEW]
    with postgres.frozen():
        for read in (guarded.history(ANNA, None, 9), guarded.seen(ANNA, None), guarded.history(ANNA, None, 9)):
            assert await outcome_of(read) == "not stored"
        said = await asyncio.gather(*(outcome_of(guarded.add_events([event(f"frozen {n}")])) for n in range(3)))
        said.append(await outcome_of(guarded.add_events([event("frozen 3")])))
        assert set(said) <= {"unknown", "not stored"}
    for _ in range(200):  # sound again a moment later
        with suppress(StoreError):
            await guarded.add_events([event("after")])
            break
        await asyncio.sleep(0.05)
    with psycopg.connect(url) as server:
        stored = {row[0] for row in server.execute("SELECT event_id FROM events").fetchall()}
    assert {"before", "after"} <= stored
    assert not stored & {f"frozen {n}" for n, outcome in enumerate(said) if outcome == "not stored"}


async def test_commits_are_on_disk_before_they_are_acknowledged(url: str, opened: Opened) -> None:
    store = await opened(url)
    if url.startswith(SQLITE):
        with closing(sqlite.connect(url.removeprefix(SQLITE))) as connection:
            found = {name: connection.execute(f"PRAGMA {name}").fetchall()[0][0] for name in DURABLE}
        assert found == DURABLE
    else:
        with psycopg.connect(url, autocommit=True) as server:
            server.execute("ALTER DATABASE postgres SET synchronous_commit = off")
        try:
            store = await opened(url)
            assert await setting_of_a_write(store) == "on"
        finally:
            with psycopg.connect(url, autocommit=True) as server:
                server.execute("ALTER DATABASE postgres RESET synchronous_commit")


DURABLE = {"synchronous": 2, "journal_mode": "wal", "secure_delete": 1}


async def setting_of_a_write(store: Any) -> str:
    """The server's setting inside a transaction that writes."""

    def write() -> Any:
        rows = yield "SELECT current_setting('synchronous_commit')", [()]
        return rows[0][0][0]

    found: str = await store.database.write(Job[str](write))
    return found
