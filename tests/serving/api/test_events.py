"""What users do is kept before it is acknowledged, counted once, and changes their next answer."""

from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import apsw
import pytest
from fastapi.testclient import TestClient

from serving.settings import Settings
from serving.stores.protocol import StoreError
from serving.stores.store import Store
from tests.support.apps import Start, new_store, until_ready


def post(client: TestClient, body: Any) -> dict[str, Any]:
    response = client.post("/v1/events", json=body)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def bought(item_id: str, user_id: str = "stranger", **more: Any) -> dict[str, Any]:
    return {"user_id": user_id, "item_id": item_id, "event": "purchase", **more}


def ids(client: TestClient, **body: Any) -> list[str]:
    answer = client.post("/v1/recommend", json=body).json()
    return [item["item_id"] for item in answer["items"]]


def rows(folder: Path, query: str) -> list[tuple[Any, ...]]:
    # not `sqlite3`: a second SQLite library in one process undoes the file locks of the first
    with closing(apsw.Connection(str(folder / "events.sqlite"))) as database:
        return database.execute(query).fetchall()


def test_an_event_changes_the_next_answer(shop: TestClient) -> None:
    before = ids(shop, user_id="stranger", k=4)
    assert post(shop, bought("garden-10")) == {"accepted": 1, "duplicates": 0, "rejected": []}
    after = ids(shop, user_id="stranger", k=4)
    assert before != after
    assert all(item_id.startswith("garden-") for item_id in after)
    assert "garden-10" not in after


def test_an_event_in_one_worker_counts_in_the_other(start: Start, bundle_folder: Path, tmp_path: Path) -> None:
    settings = Settings(bundle=bundle_folder, store_url=new_store(tmp_path))
    with start(settings) as first, start(settings) as second:
        until_ready(first)
        until_ready(second)
        post(first, {"anonymous_id": "cookie", "item_id": "kitchen-1", "event": "cart"})
        answer = second.post("/v1/recommend", json={"anonymous_id": "cookie", "k": 4}).json()
    assert all(item["item_id"].startswith("kitchen-") for item in answer["items"])
    assert answer["meta"]["segment"] == "few"


def test_a_dislike_is_seen_and_not_liked(shop: TestClient) -> None:
    first = ids(shop, user_id="stranger", k=1)[0]
    post(shop, {"user_id": "stranger", "item_id": first, "event": "dislike"})
    answer = shop.post("/v1/recommend", json={"user_id": "stranger", "k": 10}).json()
    assert first not in [item["item_id"] for item in answer["items"]]
    assert answer["meta"]["fallback_reason"] == "history_unknown_to_models"


def test_an_event_id_counts_once(shop: TestClient, tmp_path: Path) -> None:
    event = bought("garden-10", event_id="e1")
    assert post(shop, event)["accepted"] == 1
    assert post(shop, [event, event, bought("garden-11", event_id="e2")]) == {
        "accepted": 1,
        "duplicates": 2,
        "rejected": [],
    }
    assert rows(tmp_path, "SELECT count(*) FROM events") == [(2,)]


def test_everything_that_is_told_is_kept(shop: TestClient, tmp_path: Path) -> None:
    told = {
        "event_id": "e1", "user_id": "anna", "anonymous_id": "cookie", "item_id": "kitchen-1", "event": "purchase",
        "value": 9.5, "timestamp": "2024-03-01T13:00:00+01:00", "request_id": "r1",
    }  # fmt: skip
    post(shop, told)
    noon = datetime(2024, 3, 1, 12, tzinfo=UTC).timestamp()
    kept = "event_id, user_id, anonymous_id, item_id, event, value, timestamp, request_id"
    assert rows(tmp_path, f"SELECT {kept} FROM events") == [
        ("e1", "anna", "cookie", "kitchen-1", "purchase", 9.5, noon, "r1")
    ]


def test_the_future_is_now(shop: TestClient, tmp_path: Path) -> None:
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    post(shop, [bought("garden-10", timestamp=tomorrow.isoformat()), bought("garden-10")])
    assert rows(tmp_path, "SELECT count(*) FROM events WHERE timestamp = received") == [(2,)]


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        ({"item_id": "a", "event": "view"}, "the body: user_id or anonymous_id is required"),
        ({"user_id": "u", "event": "view"}, "item_id: Field required"),
        (
            {"user_id": "u", "item_id": "a", "event": "wave"},
            "event: 'wave' is not one of: view, click, cart, purchase, d",
        ),
        (
            {"user_id": "u", "item_id": "", "event": "view"},
            "item_id: String should have at least 1 character, found ''",
        ),
        ({"user_id": "u\0", "item_id": "a", "event": "view"}, "user_id: a control character, which no text needs"),
        (bought("a", timestamp="2024-03-01T12:00:00"), "timestamp: Input should have timezone info, found '2024"),
        (bought("a", value="9"), "value: Input should be a valid number, found '9'"),
        (bought("a", price=9), "price: no such field"),
        (7, "the body: Input should be a valid dictionary or instance of PostedEvent, found 7"),
        (None, "the body: Input should be a valid dictionary"),
    ],
)
def test_one_bad_event_does_not_stop_the_others(client: TestClient, event: Any, reason: str) -> None:
    answer = post(client, [bought("a", "nobody"), event, bought("b", "nobody")])
    assert answer["accepted"] == 2
    assert [row["index"] for row in answer["rejected"]] == [1]
    assert answer["rejected"][0]["reason"].startswith(reason)


def test_what_is_rejected_is_kept_with_the_reason(shop: TestClient, tmp_path: Path) -> None:
    answer = post(shop, {"user_id": "u", "item_id": "a", "event": "wave"})
    assert (answer["accepted"], answer["rejected"][0]["index"]) == (0, 0)
    post(shop, [{"user_id": "u"}])
    letters = rows(tmp_path, "SELECT place, reason, body FROM dead_letters ORDER BY received")
    assert letters[0] == (0, answer["rejected"][0]["reason"], '{"user_id": "u", "item_id": "a", "event": "wave"}')
    assert letters[1] == (0, "item_id: Field required", '{"user_id": "u"}')


def test_limits_of_a_batch(client: TestClient) -> None:
    assert post(client, [bought("a", "nobody")] * 1000)["accepted"] == 1000
    error = client.post("/v1/events", json=[bought("a")] * 1001).json()["error"]
    assert (error["code"], error["field"]) == ("invalid_request", None)
    assert "at most 1000 items" in error["message"]
    assert client.post("/v1/events", json=7).status_code == 422


def test_when_the_bad_ones_cannot_be_kept_the_good_ones_are_not_accepted(shop: TestClient, tmp_path: Path) -> None:
    rows(tmp_path, "ALTER TABLE dead_letters RENAME TO elsewhere")
    assert shop.post("/v1/events", json=[bought("garden-10"), {}]).status_code == 503
    assert rows(tmp_path, "SELECT count(*) FROM events") == [(0,)]


def test_without_the_store_nothing_is_acknowledged_and_answers_go_on(
    shop: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: Any) -> None:
        raise StoreError("disk full at /srv/secret")

    for name in ("add_events", "history", "items_since", "upsert_items", "forget", "merge"):
        monkeypatch.setattr(Store, name, fail)
    for response in (
        shop.post("/v1/events", json=bought("garden-10")),
        shop.put("/v1/items", json={"item_id": "garden-10", "available": False}),
        shop.delete("/v1/users/anna"),
        shop.post("/v1/identity/merge", json={"anonymous_id": "a", "user_id": "b"}),
    ):
        assert (response.status_code, response.headers["retry-after"]) == (503, "1")
        assert "secret" not in response.text
    response = shop.post("/v1/recommend", json={"user_id": "anna", "k": 4})
    answer = response.json()
    assert (response.status_code, len(answer["items"])) == (200, 4)
    assert (answer["meta"]["degraded"], answer["meta"]["failed"]) == (True, ["store"])
    assert all(item["source"] == "als" for item in answer["items"])
    assert shop.get("/readyz").status_code == 200
