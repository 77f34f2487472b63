"""What people like now reaches the answers: from the store, in every worker, by persons."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from serving.settings import Settings
from serving.stores.protocol import StoreError
from tests.support.apps import Start, new_store, until, until_ready

OFTEN = 0.05  # seconds


@pytest.fixture
def store(tmp_path: Path) -> str:
    return new_store(tmp_path)


@pytest.fixture
def live(bundle_folder: Path, start: Start, store: str) -> Iterator[TestClient]:
    with start(Settings(bundle=bundle_folder, store_url=store, live_seconds=OFTEN)) as client:
        yield until_ready(client)


def answer(client: TestClient, k: int = 24) -> dict[str, Any]:
    found: dict[str, Any] = client.post("/v1/recommend", json={"k": k, "variant": "popular"}).json()
    return found


def order(client: TestClient) -> list[str]:
    return [item["item_id"] for item in answer(client)["items"]]


def view(client: TestClient, item_id: str, *people: dict[str, str]) -> None:
    sent = client.post("/v1/events", json=[{**who, "item_id": item_id, "event": "view"} for who in people]).json()
    assert sent["accepted"] == len(people)


def users(n: int) -> list[dict[str, str]]:
    return [{"user_id": f"u{number}"} for number in range(n)]


def counted(client: TestClient) -> Callable[[], bool]:
    """Whether all that was sent until now is counted."""
    now = time.time()
    feed = client.app.state.service._background.feed  # type: ignore[attr-defined]
    return lambda: feed._read_at is not None and feed._read_at > now and (answer(client)["meta"]["live_age_s"] or 9) < 1


def test_what_is_liked_now_is_popular_in_all_workers(
    live: TestClient, bundle_folder: Path, start: Start, store: str
) -> None:
    with start(Settings(bundle=bundle_folder, store_url=store, live_seconds=OFTEN)) as other:
        before = order(until_ready(other))
        assert before[0] != "garden-15"
        view(live, "garden-15", *users(5))
        until(lambda: order(live)[0] == "garden-15" == order(other)[0])
        assert answer(other)["meta"]["live_age_s"] < 60


def test_the_fallback_is_live_too(live: TestClient) -> None:
    view(live, "garden-15", *users(5))
    stranger = {"user_id": "stranger", "k": 3, "variant": "als"}
    until(lambda: live.post("/v1/recommend", json=stranger).json()["items"][0]["item_id"] == "garden-15")


def test_an_item_born_since_is_reached_by_events_of_enough_people(live: TestClient) -> None:
    view(live, "nobody described it", *users(2))
    until(counted(live))
    assert "nobody described it" not in order(live)
    view(live, "nobody described it", *[{"user_id": f"more{n}"} for n in range(4)])
    until(lambda: order(live)[0] == "nobody described it")
    assert answer(live)["items"][0]["title"] == "nobody described it"


@pytest.mark.parametrize(
    "crowd", [[{"anonymous_id": f"bot-{n}"} for n in range(300)], [{"anonymous_id": "bot"}] * 300, users(1) * 300]
)
def test_neither_one_person_nor_made_up_guests_put_an_item_first(live: TestClient, crowd: list[dict[str, str]]) -> None:
    """In a quiet shop: nobody else did anything since the training."""
    before = order(live)
    for item_id in ("new-21", "garden-15"):  # guests count from the second item on
        view(live, item_id, *crowd)
    until(counted(live))
    assert order(live)[0] == before[0]


def test_who_is_forgotten_counts_no_more(live: TestClient) -> None:
    before = order(live)
    view(live, "garden-15", *users(5))
    until(lambda: order(live)[0] == "garden-15")
    for who in users(5):
        assert live.delete(f"/v1/users/{who['user_id']}").status_code == 200
    until(lambda: order(live) == before)


def test_while_the_store_is_away_the_counts_at_hand_stay_and_say_their_age(
    live: TestClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def away(*_: Any) -> None:
        raise StoreError("it is away")

    view(live, "garden-15", *users(5))
    until(lambda: order(live)[0] == "garden-15")
    monkeypatch.setattr("serving.stores.store.Store.newest", away)
    until(lambda: answer(live)["meta"]["live_age_s"] > 0.5)
    assert order(live)[0] == "garden-15"
    assert caplog.text.count("the live counts get no new ones: it is away") == 1
    page = live.get("/metrics").text
    (read_at,) = [float(line.split()[1]) for line in page.splitlines() if line.startswith("recsys_live_read_time")]
    assert 0.5 < time.time() - read_at < 60


def test_live_counts_can_be_switched_off(bundle_folder: Path, start: Start, store: str) -> None:
    with start(Settings(bundle=bundle_folder, store_url=store, live_events=0, live_seconds=OFTEN)) as client:
        before = order(until_ready(client))
        view(client, "garden-15", *users(5))
        time.sleep(0.5)
        assert order(client) == before
        assert answer(client)["meta"]["live_age_s"] is None
