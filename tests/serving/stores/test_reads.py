"""What a store gives back of rows that another program, or an older version, has written."""

from typing import Any

import pytest
from prometheus_client import REGISTRY

from recsys.schemas.field_limits import packed_vector
from serving.stores import reads
from serving.stores.protocol import Event, Item, PersonEvent
from tests.serving.stores.examples import ANNA, COOKIE, NOON

GOOD = ("kettle", "Kettle", "steel", '["tea"]', 19.5, 1, NOON, '{"brand":"Acme"}', packed_vector([1.0, -2.0]))


def unusable(table: str) -> float:
    return REGISTRY.get_sample_value("recsys_store_rows_unusable_total", {"table": table}) or 0.0


def row(event_id: str, timestamp: Any) -> tuple[Any, ...]:
    return (event_id, ANNA, None, "kettle", "view", None, timestamp, None, NOON)


def test_events_without_a_usable_time_are_dropped_and_counted() -> None:
    before = unusable("events")
    wrong = [row("late", reads.LAST + 1), row("never", float("inf")), row("text", "soon"), row("none", None)]
    version, found = reads.history([row("last", reads.LAST), *wrong, row("first", NOON)])
    assert [event.event_id for event in found] == ["first", "last"]
    assert unusable("events") == before + 4
    assert version != reads.history([row("last", reads.LAST), row("first", NOON)])[0]
    assert unusable("events") == before + 4
    assert reads.history([]) == (0, [])


def test_an_item_is_usable_as_it_was_written() -> None:
    before = unusable("items")
    empty = ("pan", None, None, None, None, None, None, None, None)
    first = ("lamp", None, None, "[]", 0.0, 0, reads.FIRST, "{}", None)
    version, found = reads.items([(1, *GOOD), (2, *empty), (4, *first)], 0)
    assert version == 4
    assert found == [
        Item("kettle", "Kettle", "steel", ("tea",), 19.5, True, NOON, '{"brand":"Acme"}', GOOD[-1]),
        Item("pan"),
        Item("lamp", categories=(), price=0.0, available=False, first_seen=reads.FIRST, attributes="{}"),
    ]
    assert reads.items([], 7) == (7, [])
    assert unusable("items") == before


@pytest.mark.parametrize(
    ("cell", "value", "left"),
    [
        (1, b"x", {"title": None}),
        (2, 3, {"text": None}),
        (3, "garden", {"categories": None}),
        (4, "cheap", {"price": None}),
        (4, -1.0, {"price": None}),
        (6, "soon", {"first_seen": None}),
        (6, reads.FIRST - 1, {"first_seen": None}),
        (6, reads.LAST + 1, {"first_seen": reads.LAST}),
        (7, "[]", {"attributes": None}),
        (7, '{"a b":1}', {"attributes": None}),
        (8, b"abc", {"vector": None}),
        (8, "1, 2", {"vector": None}),
    ],
)
def test_an_unusable_cell_of_an_item_is_emptied_and_counted_once(cell: int, value: Any, left: dict[str, Any]) -> None:
    before = unusable("items")
    _, (found,) = reads.items([(1, *GOOD[:cell], value, *GOOD[cell + 1 :])], 0)
    fields = ("title", "text", "categories", "price", "available", "first_seen", "attributes", "vector")
    good = dict(zip(fields, ("Kettle", "steel", ("tea",), 19.5, True, NOON, *GOOD[-2:]), strict=True))
    assert found == Item("kettle", **{**good, **left})
    assert unusable("items") == before + 1


def test_the_newest_events_leave_out_what_has_no_time_or_no_text() -> None:
    before = unusable("events")
    good = PersonEvent("1", f"a:{COOKIE}", "kettle", "view", NOON, NOON + 1)
    wrong = [good._replace(timestamp="soon"), good._replace(received=None), good._replace(item_id=None)]  # type: ignore[arg-type]
    assert reads.newest([tuple(each) for each in (good, *wrong)]) == [good]
    assert unusable("events") == before + 3
    assert reads.newest([tuple(good)]) == [good]
    assert unusable("events") == before + 3


def test_one_dislike_of_an_item_is_enough() -> None:
    assert reads.seen([("a", 1), ("a", 0), ("b", 0), ("c", 0), ("c", 1)]) == {"a": True, "b": False, "c": True}


def test_the_forgotten_are_read_by_version() -> None:
    assert reads.forgotten([(3, "x"), (5, "y")], 2) == (5, frozenset({"x", "y"}))
    assert reads.forgotten([], 2) == (2, frozenset())


def test_events_come_back_whole() -> None:
    assert reads.history([row("1", NOON)])[1] == [Event("1", ANNA, None, "kettle", "view", None, NOON, None, NOON)]
