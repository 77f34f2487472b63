"""From a request to a query: who is known, what was sent, and which moment counts."""

import time
from copy import copy
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from recsys.bundle import bundle
from recsys.bundle.bundle import Bundle
from recsys.business_rules.filters.masks import Filters
from recsys.contracts import History, Query
from recsys.schemas.field_limits import DEFAULT_WEIGHTS
from serving.api.schemas import RecommendRequest, SessionEvent
from serving.engine import query_builder
from serving.engine.engine import Engine
from serving.engine.overlay import NOBODY, UserState
from serving.engine.query_builder import QueryBuilder
from serving.stores.protocol import Event
from tests.support import bundles

NOW = datetime(2024, 6, 1, tzinfo=UTC)


def ask(shop: Bundle, asked: RecommendRequest, known: UserState = NOBODY) -> tuple[Query, list[str]]:
    return builder(shop).query(asked, known, float("inf"))


def builder(shop: Bundle) -> QueryBuilder:
    catalogue = shop.catalogue
    weights, filters = {**DEFAULT_WEIGHTS, **shop.manifest.event_weights}, Filters(catalogue)
    return QueryBuilder(shop, catalogue.ids.position, weights, filters, catalogue.available)


@pytest.fixture(scope="module")
def shop(bundle_folder: Path) -> Bundle:
    return bundle.load(bundle_folder)


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", NOW.timestamp)


def test_the_clock_stands_at_the_end_of_the_data_until_the_user_moves_it(shop: Bundle) -> None:
    end = bundles.NOW.timestamp()
    assert ask(shop, RecommendRequest(user_id="anna"))[0].now == end
    old = SessionEvent(item_id="kitchen-9", timestamp=datetime(2023, 1, 1, tzinfo=UTC))
    assert ask(shop, RecommendRequest(user_id="anna", session=[old]))[0].now == end
    fresh = SessionEvent(item_id="kitchen-9")
    assert ask(shop, RecommendRequest(user_id="anna", session=[fresh]))[0].now == NOW.timestamp()


def test_attributes_are_those_of_the_request_and_of_a_user_who_is_not_forgotten(shop: Bundle) -> None:
    described = copy(shop.histories)
    texts: list[str | None] = [None] * len(described.users)
    texts[described.users.position("anna") or 0] = '{"age":31,"plan":"free"}'
    described._attributes = pl.Series(texts)
    told, asked = replace(shop, histories=described), RecommendRequest(user_id="anna", attributes={"plan": "paid"})
    assert ask(told, asked)[0].attributes == {"age": "31", "plan": "paid"}
    assert ask(told, asked, UserState(forgotten=True))[0].attributes == {"plan": "paid"}
    assert ask(told, RecommendRequest(anonymous_id="anna"))[0].attributes == {}


def test_a_known_user_has_the_history_of_the_bundle(shop: Bundle) -> None:
    query, warnings = ask(shop, RecommendRequest(user_id="anna", k=7, exclude_ids=["kitchen-9", "nothing"]))
    assert query.history.rows.tolist() == bundles.HISTORIES["anna"]
    assert (query.user_id, query.k, query.now) == ("anna", 7, bundles.NOW.timestamp())
    assert query.exclude.tolist() == [9]
    assert query.shown_at == NOW.timestamp()  # not the clock that stands at the end of the data
    assert warnings == []


def test_a_stranger_has_none(shop: Bundle) -> None:
    query, warnings = ask(shop, RecommendRequest(user_id="nobody"))
    assert len(query.history) == 0
    assert warnings == ["user_id 'nobody': no event of this user is known"]
    assert ask(shop, RecommendRequest())[1] == []
    assert ask(shop, RecommendRequest(user_id="nobody", session=[SessionEvent(item_id="kitchen-1")]))[1] == []


def test_events_weigh_what_they_weigh_in_the_data(shop: Bundle) -> None:
    sent = [
        SessionEvent(item_id="kitchen-1"),
        SessionEvent(item_id="kitchen-2", event="purchase"),
        SessionEvent(item_id="kitchen-3", event="rating"),
        SessionEvent(item_id="kitchen-4", event="wave"),
    ]
    query, warnings = ask(shop, RecommendRequest(session=sent))
    assert query.history.weights.tolist() == [1.0, 5.0, 0.0, 1.0]
    choices = "view, click, cart, purchase, dislike, return, rating"
    assert warnings == [f"session.3.event 'wave': not one of {choices}; counted as weight 1"]


def test_unknown_items_are_ignored_with_a_warning(shop: Bundle) -> None:
    sent = [SessionEvent(item_id="nothing"), SessionEvent(item_id="garden-10")]
    query, warnings = ask(shop, RecommendRequest(session=sent))
    assert query.history.rows.tolist() == [10]
    assert warnings == ["session.0.item_id 'nothing': not in the catalogue, the event is ignored"]


def test_both_histories_are_one_in_the_order_of_time(shop: Bundle) -> None:
    long_ago, between = datetime(2023, 1, 1, tzinfo=UTC), datetime(2024, 1, 1, 0, 30, tzinfo=UTC)
    sent = [
        SessionEvent(item_id="garden-15"),
        SessionEvent(item_id="garden-16", timestamp=between),
        SessionEvent(item_id="garden-17", timestamp=long_ago),
        SessionEvent(item_id="garden-18", timestamp=datetime(2030, 1, 1, tzinfo=UTC)),
    ]
    history = ask(shop, RecommendRequest(user_id="anna", session=sent))[0].history
    assert history.rows.tolist() == [17, 0, 16, 1, 2, 3, bundles.SOLD_OUT, 15, 18]
    assert history.times[-2:].tolist() == [NOW.timestamp()] * 2  # no time and a time in the future are now
    assert history.times.tolist() == sorted(history.times)
    assert [each.dtype.name for each in (history.rows, history.weights, history.times)] == [
        "int32",
        "float32",
        "float64",
    ]


def stored(item_id: str, moment: datetime, event: str = "view") -> Event:
    return Event(
        f"{item_id} {moment}", "anna", None, item_id, event, None, moment.timestamp(), None, moment.timestamp()
    )


def test_what_the_store_heard_since_is_added_and_what_the_bundle_holds_is_not_doubled(shop: Bundle) -> None:
    first = bundles.START  # anna's first event in the bundle: kitchen-0
    events = [
        stored("kitchen-0", first),
        stored("kitchen-8", first + timedelta(minutes=30)),  # came too late for the bundle
        stored("kitchen-0", first + timedelta(minutes=31)),  # the same item once more
        stored("nothing", NOW),
        stored("kitchen-9", NOW, "cart"),
    ]
    query, warnings = ask(shop, RecommendRequest(user_id="anna"), UserState(events, version=3))
    assert query.history.rows.tolist() == [0, 8, 0, 1, 2, 3, bundles.SOLD_OUT, 9]
    assert query.history.weights.tolist() == [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 3.0]
    assert query.now == NOW.timestamp()
    assert warnings == []


def test_what_the_bundle_holds_of_a_forgotten_user_is_not_used(shop: Bundle) -> None:
    query, _ = ask(shop, RecommendRequest(user_id="anna"), UserState([stored("kitchen-9", NOW)], 1, forgotten=True))
    assert query.history.rows.tolist() == [9]


def test_a_history_is_used_again_until_the_store_has_new_events_or_the_user_is_forgotten(
    shop: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(query_builder, "CACHED", 2)
    queries, anna = builder(shop), RecommendRequest(user_id="anna")
    events = [stored("kitchen-8", NOW)]

    def history(request: RecommendRequest, *state: Any) -> History:
        return queries.query(request, UserState(*state), float("inf"))[0].history

    first = history(anna, events, 1)
    assert history(anna, events, 1) is first
    session = RecommendRequest.model_validate({"user_id": "anna", "session": [{"item_id": "kitchen-9"}]})
    assert history(session, events, 1).rows.tolist() == [*first.rows.tolist(), 9], "and does not become part of it"
    assert history(anna, events, 1) is first
    assert history(anna, [*events, stored("kitchen-7", NOW)], 2).rows.tolist() == [*first.rows.tolist(), 7]
    assert len(history(anna, (), 0, {}, True)) == 0
    assert len(history(RecommendRequest(anonymous_id="anna"), events, 1)) == 1, "a visitor is not the user of that name"
    for name in "xyz":
        history(RecommendRequest(user_id=name))
    assert [person[0] for person in queries.kept] == ["y", "z"]


@pytest.mark.parametrize(("warm_events", "both"), [(5, "few"), (3, "warm")])
def test_segments_are_those_of_the_report_that_the_bundle_was_released_with(
    shop: Bundle, warm_events: int, both: str
) -> None:
    shop = replace(shop, manifest=shop.manifest.model_copy(update={"warm_events": warm_events}))
    engine = Engine(shop, "0")
    found = {name: engine.segment(RecommendRequest(user_id=name), NOBODY) for name in ("nobody", "both", "anna")}
    assert found == {"nobody": "cold_user", "both": both, "anna": "warm"}
