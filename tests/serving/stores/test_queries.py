"""Both stores say what was then: items as of any version, snapshots, exposures with what they were made from."""

import time
from functools import partial

import apsw
import pytest

from recsys.schemas import channel
from serving.recorder import queries
from serving.stores.admin import delete_old
from serving.stores.job import Job
from serving.stores.migrations import migrate
from serving.stores.protocol import Item, StoreError
from serving.stores.sqlite import SqliteDatabase
from serving.stores.store import Store
from serving.stores.writes import Write
from tests.serving.stores.conftest import Opened, Select
from tests.serving.stores.examples import ANNA, BEN, COOKIE, NOON, event, exposure

pytestmark = pytest.mark.anyio


async def test_items_are_as_they_were_at_any_version(store: Store, url: str) -> None:
    states: dict[int, dict[str, Item]] = {}
    for changed in (
        [Item("kettle", title="Kettle", price=20.0), Item("pan", available=True)],
        [Item("kettle", price=25.0), Item("kettle", price=26.0)],
        [Item("pan", available=False), Item("lamp", categories=("light",))],
        [Item("kettle", title="Old kettle")],
    ):
        await store.upsert_items(changed)
        version, everything = await store.items_since(0)
        states[version] = {item.item_id: item for item in everything}
    assert len(states) == 4
    for version, then in states.items():
        assert await items(store, version) == then
    assert await items(store, 0) == {}
    assert delete_old(url, {"item_versions": 1}) == {"item_versions": 0}, "what was replaced a day ago is wanted"
    assert delete_old(url, {"item_versions": 0})["item_versions"] == 3
    assert await items(store, max(states)) == states[max(states)]


async def items(store: Store, version: int) -> dict[str, Item]:
    return await queries.items(store, version)


async def test_a_snapshot_is_kept_while_it_is_used(store: Store, url: str) -> None:
    put = partial(store.execute, queries.PUT_SNAPSHOT, "rules", "v1")
    await put(NOON, "block: {}")
    assert await queries.snapshot(store, "rules", "v1") == "block: {}"
    assert await queries.snapshot(store, "live", "v1") is None
    await put(time.time(), "block: {}")
    assert delete_old(url, {"snapshots": 1}) == {"snapshots": 0}
    await put(NOON, "block: {}")
    assert delete_old(url, {"snapshots": 1}) == {"snapshots": 1}


async def test_an_exposure_and_the_events_of_then(store: Store) -> None:
    await store.add_events([event("1"), event("2", received=NOON + 5), event("3", None, anonymous_id=COOKIE)])
    await store.add_exposures([exposure("r1", replay={"at": NOON}), exposure("r2", None, anonymous_id=COOKIE)])
    shown = await queries.exposure(store, "r1")
    assert shown is not None
    assert (shown["person"], shown["replay"], shown["items"][0]["item_id"]) == (f"u:{ANNA}", {"at": NOON}, "kettle")
    then = await queries.events(store, f"u:{ANNA}", NOON + 1)
    assert [each.event_id for each in then] == ["1"]
    await store.merge(COOKIE, BEN)
    assert await queries.merged_since(store, BEN, NOON) == {COOKIE}
    old = await queries.exposure(store, "r2")
    assert old is not None
    assert (old["person"], old["replay"]) == (f"u:{BEN}", None)
    await store.forget(ANNA)
    assert await queries.exposure(store, "r1") is None


async def test_a_change_of_the_channel_is_read_whole_or_refused(store: Store, url: str, select: Select) -> None:
    ((now, *nothing),) = await store.channel()
    assert abs(now - time.time()) < 60
    assert nothing == [None, None, None]
    with pytest.raises(StoreError, match="the rules in the store, version 1: their text is missing"):
        await store.change("rules", 1)
    put = channel.put(url, "rules", "block: {}")
    assert [row[1:] for row in await store.channel()] == [("rules", 1, put.since)]
    assert await store.change("rules", 1) == "block: {}"
    select("UPDATE channel SET body = 'block: 1' RETURNING number")
    with pytest.raises(StoreError, match="the rules in the store, version 1: their text is missing"):
        await store.change("rules", 1)


async def test_what_a_burst_of_readers_leaves_in_memory(sqlite_url: str, opened: Opened) -> None:
    migrate(sqlite_url)
    database = (await opened(sqlite_url)).database
    assert isinstance(database, SqliteDatabase)
    wide = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)"
    wide = f"INSERT INTO forgotten {wide} SELECT hex(randomblob(50)), i, 0 FROM n"
    await database.write(Job(lambda: _written(wide)))
    before = apsw.memory_used()
    database._readers.extend(database._reader() for _ in range(10))
    for reader in database._readers:
        assert reader.execute("SELECT sum(length(fingerprint)) FROM forgotten NOT INDEXED").fetchall() == [(2_000_000,)]
    assert apsw.memory_used() - before < 3_000_000, "with SQLite's default each keeps 2 MB"


def _written(statement: str) -> Write[None]:
    yield statement, [()]
