"""What every store promises, asked of both."""

import asyncio
import json
import re

import pytest

from serving.stores.protocol import Event, Item, Store
from tests.serving.stores.conftest import Opened, Select
from tests.serving.stores.examples import ANNA, BEN, COOKIE, NOON, event, exposure, rejected

pytestmark = pytest.mark.anyio


async def ids(store: Store, user_id: str | None = None, anonymous_id: str | None = None) -> list[str]:
    _, found = await store.history(user_id, anonymous_id, 100)
    return [each.event_id for each in found]


async def test_events_come_back_as_they_were_oldest_first(store: Store) -> None:
    sent = [
        event("late", timestamp=NOON + 0.25, event="purchase", value=12.5, request_id="r1", anonymous_id=COOKIE),
        event("early", timestamp=NOON - 86_400, item_id="Kännchen 🫖 'x'; --"),
        event("other", BEN),
    ]
    assert await store.add_events(sent) == [True, True, True]
    assert (await store.history(ANNA, None, 100))[1] == [sent[1], sent[0]]
    assert (await store.history(ANNA, None, 1))[1] == [sent[0]]
    assert await store.history("nobody", None, 100) == (0, [])
    assert await store.history(None, None, 100) == (0, [])


async def test_an_event_id_counts_once(store: Store) -> None:
    assert await store.add_events([event("1"), event("2"), event("1", item_id="teapot")]) == [True, True, False]
    assert await store.add_events([event("2"), event("3")]) == [False, True]
    assert await ids(store, ANNA) == ["1", "2", "3"]
    assert await store.recent(NOON) == {"kettle": {"view": 3}}
    assert await store.add_events([]) == []


async def test_many_callers_at_once_each_get_their_own_answer(store: Store) -> None:
    async def send(number: int) -> list[bool]:
        return await store.add_events([event(f"{number % 40:03d}", f"user {number % 7}")])

    answers = await asyncio.gather(*(send(number) for number in range(80)))
    assert sum(answer == [True] for answer in answers) == 40
    assert (await store.recent(NOON))["kettle"] == {"view": 40}


async def test_the_version_changes_with_every_event_of_the_user_and_of_no_other(store: Store) -> None:
    seen = {(await store.history(ANNA, None, 10))[0]}
    for number, timestamp in enumerate([NOON, NOON + 5, NOON - 5]):
        await store.add_events([event(str(number), timestamp=timestamp)])
        seen.add((await store.history(ANNA, None, 10))[0])
    assert len(seen) == 4
    assert all(0 <= version < 2**63 for version in seen)
    newest = await store.history(ANNA, None, 1)
    await store.add_events([event("3", timestamp=NOON + 6)])
    assert (await store.history(ANNA, None, 1))[0] != newest[0]
    before = await store.history(ANNA, None, 10)
    await store.add_events([event("x", BEN), event("0")])
    assert await store.history(ANNA, None, 10) == before


async def test_a_second_opener_sees_what_the_first_acknowledged(store: Store, url: str, opened: Opened) -> None:
    second = await opened(url)
    before = await second.history(ANNA, None, 10)
    await store.add_events([event("1")])
    assert await second.history(ANNA, None, 10) == await store.history(ANNA, None, 10) != before
    assert await second.add_events([event("1"), event("2")]) == [False, True]
    assert await ids(store, ANNA) == ["1", "2"]


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


async def test_items_are_overlaid_field_by_field_and_read_by_version(store: Store) -> None:
    kettle = Item("kettle", "Blue kettle", "steel", ("kitchen", "tea"), 19.5, True, NOON)
    await store.upsert_items([kettle, Item("teapot")])
    version, found = await store.items_since(0)
    assert found == [kettle, Item("teapot")]
    assert await store.items_since(version) == (version, [])
    await store.upsert_items(
        [Item("kettle", available=False), Item("kettle", price=0.0), Item("teapot", categories=())]
    )
    newer, changed = await store.items_since(version)
    assert newer > version
    assert changed == [
        Item("kettle", "Blue kettle", "steel", ("kitchen", "tea"), 0.0, False, NOON),
        Item("teapot", categories=()),
    ]
    assert (await store.items_since(0))[1] == changed


async def test_recent_counts_from_the_full_hour(store: Store) -> None:
    times = {"1": NOON - 1, "2": NOON, "3": NOON + 3599, "4": NOON + 3600}
    await store.add_events([event(key, timestamp=moment) for key, moment in times.items()])
    await store.add_events([event("5", BEN, event="cart", item_id="teapot")])
    assert await store.recent(NOON + 1800) == {"kettle": {"view": 3}, "teapot": {"cart": 1}}
    assert await store.recent(NOON + 3600) == {"kettle": {"view": 1}}
    assert await store.recent(NOON + 7200) == {}


async def test_exposures_are_kept_once_with_all_they_say(store: Store, select: Select) -> None:
    shown = exposure("r1", anonymous_id=COOKIE)
    await store.add_exposures([shown, exposure("r2", None), shown])
    await store.add_exposures([shown])
    rows = select("""SELECT request_id, timestamp, unit, user_id, anonymous_id, experiment, variant, bundle_id, surface,
        segment, propensity, items, context FROM exposures ORDER BY request_id""")
    assert [row[0] for row in rows] == ["r1", "r2"]
    head = ("r1", NOON, ANNA, ANNA, COOKIE, "ranker", "b", shown.bundle_id, "home", "warm", 0.5)
    assert rows[0][:-2] == head
    assert [json.loads(text) for text in rows[0][-2:]] == [
        [
            {"item_id": "kettle", "position": 1, "score": 0.9, "source": "als", "propensity": 0.95},
            {"item_id": "teapot", "position": 2, "score": 0.4, "source": "popular", "propensity": None},
        ],
        {"device": "phone"},
    ]


async def test_what_was_refused_is_kept_with_reason_and_body_whatever_it_is(store: Store, select: Select) -> None:
    odd = {"user_id": "a\0b", "item_id": "\ud800", "more": [1, None]}
    await store.reject([rejected(odd, "item_id: '\ud800\0' is no text"), rejected("no object")])
    rows = select("SELECT place, reason, body, received FROM dead_letters ORDER BY length(body) DESC")
    assert [(row[0], json.loads(row[2]), row[3]) for row in rows] == [(3, odd, NOON), (3, "no object", NOON)]
    assert rows[0][1] == r"item_id: '\ud800\x00' is no text"


@pytest.mark.parametrize("text", ["a\0b", "\ud800"])
async def test_a_text_that_cannot_be_stored_spoils_nothing_beside_it(store: Store, text: str) -> None:
    wrong = [
        store.add_events([event("1"), event(text)]),
        store.add_events([event("1", item_id=text)]),
        store.add_exposures([exposure("1", surface=text)]),
        store.upsert_items([Item("a", title=text)]),
        store.merge(text, ANNA),
        store.forget(text),
    ]
    *refused, stored = await asyncio.gather(*wrong, store.add_events([event("2")]), return_exceptions=True)
    assert {type(error) for error in refused} <= {ValueError}
    assert stored == [True]
    assert await ids(store, ANNA) == ["2"]


async def test_an_event_of_nobody_is_refused(store: Store) -> None:
    with pytest.raises(ValueError, match=re.escape("event '1': neither user_id nor anonymous_id; send one of them")):
        await store.add_events([event("1", None)])


async def test_a_write_that_the_database_refuses_fails_alone(store: Store) -> None:
    broken = Event("1", ANNA, None, None, "view", None, NOON, None, NOON)  # type: ignore[arg-type]
    answers = await asyncio.gather(
        store.add_events([broken]), *(store.add_events([event(str(n))]) for n in range(2, 9)), return_exceptions=True
    )
    assert isinstance(answers[0], Exception)
    assert answers[1:] == [[True]] * 7


async def test_ping(store: Store) -> None:
    await store.ping()
