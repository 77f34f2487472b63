"""What is liked now: counted from the store, halved by half-life, never twice."""

from datetime import timedelta
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from recsys.bundle import bundle
from recsys.bundle.bundle import Bundle
from serving.engine.overlay import StoreOverlay
from serving.live import recent_likes, store_watcher
from serving.stores.protocol import Event
from serving.stores.sqlite import SqliteStore
from tests.support import bundles
from tests.support.apps import new_store, until

WEIGHTS = {"view": 1.0, "purchase": 5.0, "dislike": 0.0}
WEEK = 7 * 86_400.0  # the half-life of the hand-made data
NOW = bundles.NOW.timestamp() + 100 * WEEK


def liked(item_id: str, age: float, event: str = "view") -> Event:
    """By a person of its own."""
    moment = NOW - age
    return Event(f"{item_id}{age}{event}", f"u{age}", None, item_id, event, None, moment, None, moment)


@pytest.fixture(scope="module")
def loaded(bundle_folder: Path) -> Bundle:
    return bundle.load(bundle_folder)


async def count(folder: Path, loaded: Bundle, events: list[Event], now: float = NOW) -> dict[str, float]:
    store = SqliteStore(new_store(folder).removeprefix("sqlite:///"))
    try:
        await store.add_events(events)
        return await recent_likes.likes(store, loaded, WEIGHTS, now)
    finally:
        await store.close()


@pytest.mark.anyio
async def test_an_older_like_counts_less(tmp_path: Path, loaded: Bundle) -> None:
    ages = {"kitchen-1": 60, "kitchen-2": 0.7 * WEEK, "kitchen-3": 1.5 * WEEK, "kitchen-4": 3 * WEEK}
    found = await count(tmp_path, loaded, [liked(item_id, age) for item_id, age in ages.items()])
    assert list(found) == list(ages)
    for item_id, age in ages.items():
        assert found[item_id] == pytest.approx(0.5 ** (age / WEEK), rel=0.45)
    assert sorted(found.values(), reverse=True) == list(found.values())


@pytest.mark.anyio
async def test_likes_are_events_of_positive_weight_not_older_than_four_half_lives(
    tmp_path: Path, loaded: Bundle
) -> None:
    events = [liked("kitchen-1", 60), liked("kitchen-1", 61), liked("kitchen-1", 62, "dislike")]
    events += [liked("kitchen-2", 63, "dislike"), liked("kitchen-3", 5 * WEEK)]
    found = await count(tmp_path, loaded, events)
    assert found == {"kitchen-1": pytest.approx(2 * 0.5**0.125)}


@pytest.mark.anyio
async def test_what_the_bundle_was_made_of_does_not_count_twice(tmp_path: Path, loaded: Bundle) -> None:
    day_after = bundles.NOW + timedelta(days=1)
    inside = bundles.NOW.timestamp() - 7200
    event = Event("e", "u", None, "kitchen-1", "view", None, inside, None, inside)
    assert await count(tmp_path, loaded, [event], day_after.timestamp()) == {}


def test_likes_are_added_to_what_the_bundle_counts(loaded: Bundle) -> None:
    served = StoreOverlay(likes={"garden-15": 100.0, "no such item": 5.0}).over(loaded)
    row = bundles.ITEM_IDS.index("garden-15")
    assert served.catalogue.recent[row] == loaded.catalogue.recent[row] + 100
    assert (served.catalogue.recent != loaded.catalogue.recent).sum() == 1


def test_what_is_liked_now_is_popular_within_a_minute(shop: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_watcher, "RECENT_SECONDS", 0.05)

    def first() -> str:
        answer = shop.post("/v1/recommend", json={"user_id": "stranger", "k": 1}).json()
        item_id: str = answer["items"][0]["item_id"]
        return item_id

    assert first() != "new-21"
    shop.post("/v1/events", json=[{"user_id": f"u{n}", "item_id": "new-21", "event": "view"} for n in range(50)])
    until(lambda: first() == "new-21")


def test_made_up_guests_make_no_item_popular(shop: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """300 views in one request, of 300 guests or of one, and as many by one user."""
    monkeypatch.setattr(store_watcher, "RECENT_SECONDS", 0.05)

    def order() -> list[str]:
        answer = shop.post("/v1/recommend", json={"k": 24, "variant": "popular"}).json()
        return [item["item_id"] for item in answer["items"]]

    crowds = [
        [{"anonymous_id": f"bot-{n}"} for n in range(300)],
        [{"anonymous_id": "bot"}] * 300,
        [{"user_id": "bot"}] * 300,
    ]
    for crowd in crowds:
        views = [{**who, "item_id": "new-21", "event": "view"} for who in crowd]
        assert shop.post("/v1/events", json=views).json()["accepted"] == 300
    likes = shop.app.state.service._background.freshness  # type: ignore[attr-defined]
    until(lambda: likes.now.likes.get("new-21"))
    assert likes.now.likes["new-21"] <= 1, "one person"
    people = [{"user_id": f"u{n}", "item_id": "garden-12", "event": "view"} for n in range(5)]
    shop.post("/v1/events", json=people)
    until(lambda: order()[0] == "garden-12")
