"""A guest turns out to be a user: what was done counts for the right person, and a wrong merge is undone."""

import asyncio

import pytest

from serving.stores.store import Store
from tests.serving.stores.conftest import Opened, Select
from tests.serving.stores.examples import ANNA, BEN, COOKIE, NOON, event, exposure
from tests.serving.stores.test_contract import ids

pytestmark = pytest.mark.anyio


async def test_a_guest_who_logs_in_brings_the_history(store: Store) -> None:
    await store.add_events([event("g", None, anonymous_id=COOKIE), event("u", timestamp=NOON + 1)])
    await store.add_exposures([exposure("r", None, anonymous_id=COOKIE)])
    assert (await ids(store, ANNA), await ids(store, None, COOKIE)) == (["u"], ["g"])
    before = await store.history(ANNA, None, 10)
    assert await store.merge(COOKIE, ANNA) == 1
    assert (await store.history(ANNA, None, 10))[0] != before[0]
    await store.add_events([event("later", None, anonymous_id=COOKIE, timestamp=NOON + 2)])
    assert await ids(store, ANNA) == await ids(store, None, COOKIE) == ["g", "u", "later"]
    assert await store.merge(COOKIE, ANNA) == 0
    assert (await store.forget(ANNA))["exposures"] == 1


async def test_a_merge_misses_no_event_that_is_written_beside_it(store: Store, url: str, opened: Opened) -> None:
    second = await opened(url)
    for number in range(30):
        guest = [event(f"{number}-{part}", None, anonymous_id=f"guest {number}") for part in range(3)]
        await asyncio.gather(*(store.add_events([one]) for one in guest), second.merge(f"guest {number}", ANNA))
    assert len(await ids(store, ANNA)) == 90


async def test_a_cookie_of_two_people_gives_each_only_what_is_theirs(store: Store) -> None:
    await store.add_events([event("a", None, anonymous_id=COOKIE)])
    await store.merge(COOKIE, ANNA)
    await store.merge(COOKIE, BEN)
    await store.add_events([event("b", None, anonymous_id=COOKIE), event("c", ANNA, anonymous_id=COOKIE)])
    assert (await ids(store, ANNA), await ids(store, BEN)) == (["a", "c"], ["b"])
    assert await ids(store, BEN, COOKIE) == ["b"], "with a user_id the cookie plays no part"


async def test_a_merge_is_kept_with_whose_the_guest_was(store: Store, select: Select) -> None:
    for user_id, key in ((ANNA, "web"), (ANNA, "app"), (BEN, "app")):
        await store.merge(COOKIE, user_id, key)
    audited = select("SELECT anonymous_id, user_id, before, sent_by FROM merges ORDER BY merged")
    assert audited == [(COOKIE, ANNA, None, "web"), (COOKIE, BEN, ANNA, "app")]


async def test_a_merge_can_be_undone(store: Store) -> None:
    guest = {"user_id": None, "anonymous_id": COOKIE}
    await store.add_events([event("1", **guest, item_id="alone"), event("2", ANNA, item_id="own")])
    await store.merge(COOKIE, ANNA)
    await store.add_events([event("3", ANNA, anonymous_id=COOKIE, item_id="logged in")])
    await store.merge(COOKIE, BEN)
    await store.add_events([event("4", **guest, item_id="after")])
    assert (await ids(store, ANNA), await ids(store, BEN)) == (["1", "2", "3"], ["4"])
    assert await store.unmerge(COOKIE) == 1
    assert (await ids(store, ANNA), await ids(store, BEN)) == (["1", "2", "3", "4"], [])
    assert await store.unmerge(COOKIE) == 2
    assert (await ids(store, ANNA), await ids(store, None, COOKIE)) == (["2", "3"], ["1", "4"])
    assert set(await store.seen(ANNA, None)) == {"own", "logged in"}
    assert set(await store.seen(None, COOKIE)) == {"alone", "after"}
    assert await store.seen(BEN, None) == {}
    assert await store.unmerge(COOKIE) is None


async def test_what_a_guest_was_shown_goes_along_and_back(store: Store, select: Select) -> None:
    await store.add_exposures([exposure("r1", None, anonymous_id=COOKIE), exposure("r2", ANNA, anonymous_id=COOKIE)])

    def whose() -> dict[str, str]:
        return dict(select("SELECT request_id, person FROM exposures"))

    guest, anna, ben = f"a:{COOKIE}", f"u:{ANNA}", f"u:{BEN}"
    assert whose() == {"r1": guest, "r2": anna}
    await store.merge(COOKIE, BEN)
    assert whose() == {"r1": ben, "r2": anna}
    await store.unmerge(COOKIE)
    assert whose() == {"r1": guest, "r2": anna}
    await store.merge(COOKIE, ANNA)
    assert whose() == {"r1": anna, "r2": anna}
    await store.unmerge(COOKIE)
    assert whose() == {"r1": guest, "r2": anna}


async def test_what_a_guest_met_is_the_users_after_the_login(store: Store) -> None:
    guest = {"user_id": None, "anonymous_id": COOKIE}
    await store.add_events([event("1", **guest), event("2", **guest, item_id="bad", event="dislike")])
    await store.add_events([event("3", item_id="bad"), event("4", item_id="own")])
    assert await store.seen(None, COOKIE) == {"kettle": False, "bad": True}
    await store.merge(COOKIE, ANNA)
    await store.add_events([event("5", **guest, item_id="later")])
    both = {"kettle": False, "bad": True, "own": False, "later": False}
    assert await store.seen(ANNA, None) == await store.seen(None, COOKIE) == both
