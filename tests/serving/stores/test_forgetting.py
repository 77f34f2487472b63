"""Forgetting a user: nothing of the id is left, not even in the bytes of the files."""

import json
import re
from pathlib import Path

import psycopg
import pytest

from recsys.schemas.store_schema import SQLITE
from serving.stores.migrations import migrate
from serving.stores.store import Store
from tests.serving.stores.conftest import Opened, Select
from tests.serving.stores.examples import ANNA, BEN, COOKIE, DUPLICATE, NEW, event, exposure, rejected

pytestmark = pytest.mark.anyio

FUTURE = 4e9


async def fill(store: Store) -> None:
    """Anna among many, with a merged cookie, in every table that can hold an id."""
    for part in range(20):
        people = [ANNA if number % 7 == 0 else f"user-{number % 50:03d}" for number in range(100)]
        await store.add_events(
            [event(f"{part}-{at}-{hash((part, at)):x}", who, item_id=f"p{at}") for at, who in enumerate(people)]
        )
        await store.add_exposures([exposure(f"r{part}-{at}", who) for at, who in enumerate(people[:20])])
        await store.add_events([event(f"g{part}", None, anonymous_id=COOKIE)])
        await store.add_events(
            [rejected({"user_id": ANNA, "nested": {"anonymous_id": COOKIE}}), rejected({"user_id": BEN})]
        )
    await store.add_events([rejected([{"deep": ANNA}], f"'{ANNA}' is no event"), rejected({"anonymous_id": COOKIE})])
    await store.merge(COOKIE, ANNA)


async def test_forgetting_deletes_what_is_theirs_and_counts_it(store: Store, select: Select) -> None:
    await fill(store)
    await store.add_events([event("ben", BEN)])
    deleted = await store.forget(ANNA)
    assert deleted == {"events": 20 * 15 + 20, "exposures": 20 * 3, "identities": 1, "dead_letters": 20 + 2}
    assert await store.history(ANNA, None, 100) == await store.history(None, COOKIE, 100) == (0, [])
    assert await store.seen(ANNA, None) == await store.seen(None, COOKIE) == {}
    assert [each.event_id for each in (await store.history(BEN, None, 100))[1]] == ["ben"]
    assert select("SELECT count(*) FROM dead_letters") == [(20,)]
    assert select("SELECT count(*) FROM exposures") == [(20 * 17,)]
    assert await store.forget(ANNA) == dict.fromkeys(deleted, 0)


async def test_no_byte_of_the_id_is_left_in_the_files(sqlite_url: str, opened: Opened) -> None:
    migrate(sqlite_url)
    folder = Path(sqlite_url.removeprefix(SQLITE)).parent
    reader, store = await opened(sqlite_url), await opened(sqlite_url)
    await fill(store)
    await reader.history(ANNA, None, 5)

    def found(text: str) -> list[str]:
        return [path.name for path in folder.iterdir() if text.encode() in path.read_bytes()]

    assert found(ANNA)
    assert found(COOKIE)
    await store.forget(ANNA)
    assert found(ANNA) == found(COOKIE) == []
    assert found("user-001")


async def test_no_table_of_the_server_holds_the_id(postgresql_url: str, opened: Opened) -> None:
    migrate(postgresql_url)
    store = await opened(postgresql_url)
    await fill(store)

    def found(text: str) -> list[str]:
        with psycopg.connect(postgresql_url) as server:
            names = server.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
            return [
                name for (name,) in names
                if server.execute(f"SELECT 1 FROM {name} t WHERE strpos(t::text, %s) > 0 LIMIT 1", [text]).fetchall()
            ]  # fmt: skip

    assert set(found(ANNA)) == {"events", "exposures", "dead_letters", "identities", "person_items", "merges"}
    await store.forget(ANNA)
    assert found(ANNA) == found(COOKIE) == []
    assert set(found("user-001")) == {"events", "exposures", "person_items"}


async def test_only_salted_hashes_are_remembered(store: Store, url: str, select: Select, opened: Opened) -> None:
    await store.merge(COOKIE, ANNA)
    assert await store.forgotten() == (0, frozenset())
    await store.forget(ANNA)
    version, hashes = await store.forgotten()
    assert hashes == {store.fingerprint(ANNA), store.fingerprint(COOKIE)}
    assert all(re.fullmatch("[0-9a-f]{64}", one) for one in hashes)
    await store.forget(BEN)
    assert (await store.forgotten(version))[1] == {store.fingerprint(BEN)}
    await store.forget(ANNA)
    newest = (await store.forgotten(version))[0]
    assert await store.forgotten(newest) == (newest, frozenset())
    second = await opened(url)
    assert second.fingerprint(ANNA) == store.fingerprint(ANNA)
    assert select("SELECT count(*) FROM salt") == [(1,)]


async def test_the_salt_is_of_this_store_alone(store: Store, tmp_path: Path, opened: Opened) -> None:
    elsewhere = f"{SQLITE}{tmp_path}/other.sqlite"
    migrate(elsewhere)
    other = await opened(elsewhere)
    assert other.fingerprint(ANNA) != store.fingerprint(ANNA)


async def test_what_was_under_way_when_the_user_was_forgotten_is_dropped(store: Store, select: Select) -> None:
    await store.merge(COOKIE, ANNA)
    await store.forget(ANNA)
    late = [event("1"), event("2", None, anonymous_id=COOKIE), event("3", BEN), event("4", timestamp=FUTURE)]
    assert await store.add_events(late) == [DUPLICATE, DUPLICATE, NEW, NEW]
    shown = [exposure("1"), exposure("2", None, anonymous_id=COOKIE), exposure("3", BEN)]
    await store.add_exposures([*shown, exposure("4", timestamp=FUTURE)])
    await store.add_events([rejected({"user_id": ANNA}), rejected({"user_id": BEN})])
    assert [each.event_id for each in (await store.history(ANNA, None, 9))[1]] == ["4"], "a new life"
    assert select("SELECT request_id FROM exposures ORDER BY request_id") == [("3",), ("4",)]
    assert [json.loads(body) for (body,) in select("SELECT body FROM dead_letters")] == [{"user_id": BEN}]
    assert {each.event_id for each in await store.newest(0, (float("inf"), ""), 9)} == {"3", "4"}


async def test_a_number_that_was_refused_as_an_id_is_found_too(store: Store, select: Select) -> None:
    await store.add_events([rejected({"user_id": 4711}), rejected({"user_id": 47110}), rejected({"value": 4711})])
    assert (await store.forget("4711"))["dead_letters"] == 1
    assert select("SELECT count(*) FROM dead_letters") == [(2,)]


GUEST = {"user_id": None, "anonymous_id": COOKIE}


async def test_a_guest_is_forgotten(store: Store, select: Select) -> None:
    await store.add_events([event("g", **GUEST), event("b", BEN), rejected({"anonymous_id": COOKIE})])
    await store.add_exposures([exposure("r", **GUEST), exposure("s", BEN)])
    deleted = await store.forget(COOKIE)
    assert deleted == {"events": 1, "exposures": 1, "identities": 0, "dead_letters": 1}
    assert await store.history(None, COOKIE, 9) == (0, [])
    assert await store.seen(None, COOKIE) == {}
    assert await store.add_events([event("late", **GUEST), event("new", **GUEST, timestamp=FUTURE)]) == [DUPLICATE, NEW]
    assert select("SELECT event_id FROM events ORDER BY event_id") == [("b",), ("new",)]


async def test_a_guest_who_became_a_user_is_forgotten_and_the_user_is_not(store: Store) -> None:
    await store.add_events([event("g", **GUEST, item_id="alone"), event("u", ANNA, item_id="own")])
    await store.add_events([event("both", ANNA, anonymous_id=COOKIE, item_id="logged in")])
    await store.merge(COOKIE, ANNA)
    assert (await store.forget(COOKIE))["events"] == 1
    assert {each.event_id for each in (await store.history(ANNA, None, 9))[1]} == {"u", "both"}
    assert await store.seen(ANNA, None) == {"own": False, "logged in": False}
    assert await store.history(None, COOKIE, 9) == (0, [])


async def test_forgetting_a_person_leaves_others_of_the_same_device_alone(store: Store, select: Select) -> None:
    shared = {"anonymous_id": COOKIE}
    await store.add_events([event("a", ANNA, **shared), event("b", BEN, **shared)])
    await store.add_events([rejected({"user_id": BEN, **shared}), rejected({"user_id": ANNA, **shared})])
    await store.add_exposures([exposure("r", ANNA, **shared), exposure("s", BEN, **shared)])
    await store.merge(COOKIE, ANNA)
    deleted = await store.forget(ANNA)
    assert (deleted["events"], deleted["exposures"], deleted["dead_letters"]) == (1, 1, 1)
    late = [event("c", BEN, **shared), event("d", **GUEST), event("e", ANNA)]
    assert await store.add_events(late) == [NEW, DUPLICATE, DUPLICATE]
    await store.add_exposures([exposure("t", BEN, **shared), exposure("u", None, **shared)])
    await store.add_events([rejected({"user_id": BEN, **shared}), rejected(shared)])
    assert select("SELECT event_id FROM events ORDER BY event_id") == [("b",), ("c",)]
    assert select("SELECT request_id FROM exposures ORDER BY request_id") == [("s",), ("t",)]
    assert select("SELECT user_id FROM dead_letters") == [(BEN,), (BEN,)]


async def test_an_audit_keeps_nobody_who_was_forgotten(store: Store, select: Select) -> None:
    await store.merge(COOKIE, ANNA)
    await store.merge(COOKIE, BEN, "web")
    await store.forget(ANNA)
    assert select("SELECT anonymous_id, user_id, before, sent_by FROM merges") == [(COOKIE, BEN, None, "web")]
    await store.forget(BEN)
    assert select("SELECT count(*) FROM merges") == [(0,)]
