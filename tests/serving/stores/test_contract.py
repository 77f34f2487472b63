"""What every store promises, asked of both."""

import asyncio
import json
from typing import Any

import apsw
import psycopg
import pytest

from serving.stores.protocol import Event, Exposed, Item, Outcome, Rejected
from serving.stores.store import Store
from tests.serving.stores.conftest import Opened, Select
from tests.serving.stores.examples import ANNA, BEN, COOKIE, DUPLICATE, NEW, NOON, OTHER, event, exposure, rejected

pytestmark = pytest.mark.anyio


async def ids(store: Store, user_id: str | None = None, anonymous_id: str | None = None) -> list[str]:
    _, found = await store.history(user_id, anonymous_id, 100)
    return [each.event_id for each in found]


EVERYTHING = (float("inf"), "")


async def test_events_come_back_as_they_were_oldest_first(store: Store) -> None:
    sent = [
        event("late", timestamp=NOON + 0.25, event="purchase", value=12.5, request_id="r1", anonymous_id=COOKIE),
        event("early", timestamp=NOON - 86_400, item_id="Kännchen 🫖 'x'; --"),
        event("other", BEN),
    ]
    assert await store.add_events(sent) == [NEW, NEW, NEW]
    assert (await store.history(ANNA, None, 100))[1] == [sent[1], sent[0]]
    assert (await store.history(ANNA, None, 1))[1] == [sent[0]]
    assert await store.history("nobody", None, 100) == (0, [])
    assert await store.history(None, None, 100) == (0, [])


async def test_an_event_id_counts_once(store: Store) -> None:
    assert await store.add_events([event("1"), event("2"), event("1")]) == [NEW, NEW, DUPLICATE]
    assert await store.add_events([event("2"), event("3", BEN)]) == [DUPLICATE, NEW]
    assert await ids(store, ANNA) == ["1", "2"]
    assert await store.add_events([]) == []


@pytest.mark.parametrize(
    "other",
    [
        {"item_id": "teapot"},
        {"user_id": BEN},
        {"event": "purchase"},
        {"value": 4.5},
        {"request_id": "r2"},
        {"anonymous_id": COOKIE},
        {"timestamp": NOON - 5},
    ],
)
async def test_an_event_id_of_other_content_is_refused_and_kept_apart(
    store: Store, select: Select, other: dict[str, Any]
) -> None:
    again = event("1", **{"received": NOON + 9, **other})
    assert await store.add_events([event("1"), event("2"), again]) == [NEW, NEW, OTHER]
    assert await store.add_events([again, event("1")]) == [OTHER, DUPLICATE]
    assert (await store.history(ANNA, None, 9))[1] == [event("1"), event("2")]
    letters = select("SELECT place, reason, body FROM dead_letters ORDER BY place")
    assert [(row[0], json.loads(row[2])["event_id"]) for row in letters] == [(0, "1"), (2, "1")]
    assert letters[0][1].startswith("event_id: ")


async def test_a_time_of_arrival_is_no_other_content(store: Store) -> None:
    arrived = [event("1", timestamp=moment, received=moment) for moment in (NOON, NOON + 5)]
    assert await store.add_events([arrived[0]]) == [NEW]
    assert await store.add_events([arrived[1], event("1", timestamp=NOON - 5)]) == [DUPLICATE, DUPLICATE]


async def test_two_keys_may_use_one_event_id(store: Store, select: Select) -> None:
    sent = [event("1", key=key, item_id=f"item of {key}") for key in ("web", "app", None)]
    assert await store.add_events(sent) == [NEW, NEW, NEW]
    assert await store.add_events([*sent, event("1", key="web")]) == [DUPLICATE, DUPLICATE, DUPLICATE, OTHER]
    assert [row[0] for row in select("SELECT event_id FROM events ORDER BY event_id")] == ["1", "app/1", "web/1"]


async def test_events_and_refusals_are_kept_together_or_not_at_all(store: Store, select: Select) -> None:
    broken = Event("1", ANNA, None, None, "view", None, NOON, None, NOON)  # type: ignore[arg-type]
    with pytest.raises(Exception, match=r"(?i)null"):
        await store.add_events([event("2"), rejected("no event"), broken])
    assert select("SELECT count(*) FROM dead_letters") == select("SELECT count(*) FROM events") == [(0,)]
    sent: list[Event | Rejected] = [rejected("no event"), event("2"), event("2", item_id="teapot")]
    assert await store.add_events(sent) == [Outcome.REJECTED, NEW, OTHER]
    assert select("SELECT place FROM dead_letters ORDER BY place") == [(2,), (3,)]


async def test_all_that_was_met_is_found_however_much_happened_since(store: Store) -> None:
    await store.add_events([event(f"b{at}", item_id=f"bought {at}", event="purchase") for at in range(5)])
    await store.add_events([event("d", item_id="bad"), event("e", item_id="bad", event="dislike")])
    await store.add_events([event(f"v{at}", timestamp=NOON + at) for at in range(210)])
    await store.add_events([event("other", BEN, item_id="not hers")])
    bought = dict.fromkeys((f"bought {at}" for at in range(5)), False)
    assert await store.seen(ANNA, None) == {**bought, "bad": True, "kettle": False}
    assert await store.seen("nobody", None) == await store.seen(None, None) == {}


async def test_many_callers_at_once_each_get_their_own_answer(store: Store) -> None:
    async def send(number: int) -> list[Outcome]:
        return await store.add_events([event(f"{number % 40:03d}", f"user {number % 40}")])

    answers = await asyncio.gather(*(send(number) for number in range(80)))
    assert sum(answer == [NEW] for answer in answers) == 40
    assert len(await store.newest(0, EVERYTHING, 100)) == 40


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
    assert await second.add_events([event("1"), event("2")]) == [DUPLICATE, NEW]
    assert await ids(store, ANNA) == ["1", "2"]


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


async def test_the_newest_events_are_read_page_by_page(store: Store) -> None:
    received = {"1": NOON + 1, "2": NOON + 3, "3": NOON + 2, "4": NOON + 2}
    await store.add_events([event(key, received=moment, timestamp=NOON - 5) for key, moment in received.items()])
    await store.add_events([event("guest", None, anonymous_id=COOKIE, event="cart", received=NOON)])
    first = await store.newest(NOON, EVERYTHING, 2)
    assert first == [(key, f"u:{ANNA}", "kettle", "view", NOON - 5, received[key]) for key in ("2", "4")]
    rest = await store.newest(NOON - 1, (first[-1].received, first[-1].event_id), 10)
    assert [each.event_id for each in rest] == ["3", "1", "guest"]
    assert rest[-1].person == f"a:{COOKIE}"
    assert await store.newest(NOON + 3, EVERYTHING, 10) == []
    await store.merge(COOKIE, BEN)
    await store.forget(ANNA)
    assert [each.person for each in await store.newest(0, EVERYTHING, 10)] == [f"u:{BEN}"]


async def test_exposures_are_kept_once_with_all_they_say(store: Store, select: Select) -> None:
    places = (Exposed("kettle", 1, 0.9, "als", 0.95, 0.2, 1.5), Exposed("teapot", 2, 0.4, "popular"))
    shown = exposure("r1", anonymous_id=COOKIE, items=places, replay={"at": NOON})
    await store.add_exposures([shown, exposure("r2", None), shown])
    await store.add_exposures([shown])
    rows = select("""SELECT request_id, timestamp, unit, user_id, anonymous_id, experiment, variant, bundle_id, surface,
        segment, propensity, items, context, replay FROM exposures ORDER BY request_id""")
    assert [row[0] for row in rows] == ["r1", "r2"]
    head = ("r1", NOON, ANNA, ANNA, COOKIE, "ranker", "b", shown.bundle_id, "home", "warm", 0.5)
    assert rows[0][:-3] == head
    said: list[tuple[object, ...]] = [
        ("kettle", 1, 0.9, "als", 0.95, 0.2, 1.5),
        ("teapot", 2, 0.4, "popular", None, None, 1.0),
    ]
    names = ("item_id", "position", "score", "source", "propensity", "confidence", "boost")
    assert [json.loads(text) for text in rows[0][-3:]] == [
        [dict(zip(names, place, strict=True)) for place in said],
        {"device": "phone"},
        {"at": NOON},
    ]
    assert rows[1][-1] is None


async def test_what_was_refused_is_kept_with_reason_and_body_whatever_it_is(store: Store, select: Select) -> None:
    odd = {"user_id": "a\0b", "item_id": "\ud800", "more": [1, None]}
    await store.add_events([rejected(odd, "item_id: '\ud800\0' is no text"), rejected("no object")])
    rows = select("SELECT place, reason, body, received FROM dead_letters ORDER BY length(body) DESC")
    assert [(row[0], json.loads(row[2]), row[3]) for row in rows] == [(3, odd, NOON), (3, "no object", NOON)]
    assert rows[0][1] == r"item_id: '\ud800\x00' is no text"


async def test_a_text_that_cannot_be_stored_spoils_nothing_beside_it(store: Store) -> None:
    text = "\ud800"
    wrong = [
        store.add_events([event("1"), event(text)]),
        store.add_events([event("1", item_id=text)]),
        store.add_exposures([exposure("1", surface=text)]),
        store.upsert_items([Item("a", title=text)]),
        store.merge(text, ANNA),
        store.forget(text),
    ]
    *refused, stored = await asyncio.gather(*wrong, store.add_events([event("2")]), return_exceptions=True)
    assert {type(error) for error in refused} == {UnicodeEncodeError}
    assert stored == [NEW]
    assert await ids(store, ANNA) == ["2"]


async def test_an_event_of_nobody_is_refused(store: Store) -> None:
    with pytest.raises((apsw.ConstraintError, psycopg.IntegrityError), match="person"):
        await store.add_events([event("1", None)])


async def test_a_write_that_the_database_refuses_fails_alone(store: Store) -> None:
    broken = Event("1", ANNA, None, None, "view", None, NOON, None, NOON)  # type: ignore[arg-type]
    answers = await asyncio.gather(
        store.add_events([broken]), *(store.add_events([event(str(n))]) for n in range(2, 9)), return_exceptions=True
    )
    assert isinstance(answers[0], Exception)
    assert answers[1:] == [[NEW]] * 7


async def test_ping(store: Store) -> None:
    await store.ping()
