"""What training would refuse is refused at the door, with the field and the same reason; wrong shapes take nothing."""

import json
from typing import Any

import pytest
from fastapi.testclient import TestClient

from recsys.schemas import field_limits as limits

EVENT = {"user_id": "u", "item_id": "garden-10", "event": "view"}


def item(**fields: Any) -> dict[str, Any]:
    return {"item_id": "lamp", **fields}


@pytest.mark.parametrize(
    ("body", "field", "fault"),
    [
        (item(first_seen="9999-12-31T23:59:59.9999999Z"), "first_seen", "after_2100"),
        (item(first_seen="0001-01-01T00:00:00+14:00"), "first_seen", "before_1990"),
        (item(first_seen="9999-12-31T23:59:59-14:00"), "first_seen", "after_2100"),
        (item(first_seen="2100-01-01T00:59:59+00:30"), "first_seen", "after_2100"),
        (item(first_seen="1985-01-01T00:00:00Z"), "first_seen", "before_1990"),
        (item(title="t\x1b[31m"), "title", "control_character"),
        (item(title="two\nlines"), "title", "control_character"),
        (item(text="bell\x07"), "text", "control_character"),
        (item(categories=["a\x85b"]), "categories.0", "control_character"),
        ({"item_id": "lamp "}, "item_id", "padded"),
        ({"item_id": "la\u200bmp"}, "item_id", "invisible"),
        ({"item_id": "cafe\u0301"}, "item_id", "not_normal"),
    ],
)
def test_an_item_that_training_would_drop_is_refused(client: TestClient, body: Any, field: str, fault: str) -> None:
    for sent, where in ((body, field), ([{"item_id": "ok"}, body], f"1.{field}")):
        error = client.put("/v1/items", json=sent).json()["error"]
        assert (error["code"], error["field"]) == ("invalid_request", where)
        assert limits.MESSAGES[fault] in error["message"]


@pytest.mark.parametrize(
    ("body", "field"), [(item(title="t" * 1001), "title"), (item(price=1.1e12), "price"), (item(price=-0.01), "price")]
)
def test_lengths_and_numbers_have_limits(client: TestClient, body: Any, field: str) -> None:
    error = client.put("/v1/items", json=body).json()["error"]
    assert (error["code"], error["field"]) == ("invalid_request", field)


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        ({"timestamp": "1970-01-01T00:00:00Z"}, "timestamp: before 1990-01-01"),
        ({"timestamp": "1989-12-31T23:59:59+00:00"}, "timestamp: before 1990-01-01"),
        ({"timestamp": "9999-12-31T23:59:59.999999Z"}, "timestamp: not before 2100-01-01"),
        ({"value": 1e13}, "value: Input should be less than or equal to 1000000000000"),
        ({"value": -1e13}, "value: Input should be greater than or equal to -1000000000000"),
        ({"event": "purchase", "value": -5.0}, "value: the value of a purchase is below zero; send a refund as"),
        ({"event": "return", "value": -5.0}, "value: the value of a return is below zero; send a refund as 'return'"),
        ({"user_id": "u\u00a0"}, "user_id: a character that nobody can see"),
        ({"user_id": "anonymous:x"}, "user_id: anonymous: in front names a guest in training"),
        ({"event_id": " e"}, "event_id: white space"),
        ({"request_id": "r\n"}, "request_id: a control character"),
        ({"anonymous_id": "c\ufeff"}, "anonymous_id: a character that nobody can see"),
        ({"event": "view\0"}, "event: a control character"),
    ],
)
def test_an_event_that_training_would_quarantine_is_rejected(
    client: TestClient, event: dict[str, Any], reason: str
) -> None:
    answer = client.post("/v1/events", json=[{**EVENT, **event}]).json()
    assert answer["accepted"] == 0
    assert answer["rejected"][0]["reason"].startswith(reason)


def test_a_return_is_an_event(client: TestClient) -> None:
    returns = [{**EVENT, "event": "return", "value": value} for value in (0, 9.5, None)]
    assert client.post("/v1/events", json=returns).json()["accepted"] == 3
    assert client.get("/v1/about").json()["event_weights"]["return"] == 0


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"surface": "ho\x07me"}, "surface"),
        ({"attributes": {"country": "N\x1fZ"}}, "attributes.country"),
        ({"attributes": {"coun\x00try": "NZ"}}, None),
        ({"user_id": "u\u202e"}, "user_id"),
        ({"session_id": "s "}, "session_id"),
        ({"categories": ["a\tb"]}, "categories.0"),
        ({"filter": "price < 5\x00"}, "filter"),
        ({"session": [{"item_id": "a", "timestamp": "1970-01-01T00:00:00Z"}]}, "session.0.timestamp"),
        ({"session": [{"item_id": "a", "event": "vi\x00ew"}]}, "session.0.event"),
    ],
)
def test_a_question_has_the_same_limits(client: TestClient, body: dict[str, Any], field: str | None) -> None:
    response = client.post("/v1/recommend", json=body)
    assert response.status_code == 422
    assert field is None or response.json()["error"]["field"] == field


def test_names_and_texts_of_every_language_are_fine(shop: TestClient) -> None:
    lamp = item(title="شب‌تاب 🏮", text="line one\nline two\ttab", categories=["می‌خواهم", "👩‍👩‍👧"], price=1e12)
    assert shop.put("/v1/items", json=lamp).status_code == 200
    longest = {"item_id": "日" * 256, "title": "é" * 1000, "first_seen": "2099-12-31T23:59:59.999999Z"}
    assert shop.put("/v1/items", json=longest).status_code == 200


@pytest.mark.parametrize("wrap", [lambda many: {"events": many}, lambda many: many])
def test_an_envelope_is_understood(shop: TestClient, wrap: Any) -> None:
    body = wrap([EVENT, {**EVENT, "event": "wave"}])
    answer = shop.post("/v1/events", json=body).json()
    assert (answer["accepted"], [row["index"] for row in answer["rejected"]]) == (1, [1])


@pytest.mark.parametrize(
    "body",
    [
        [],
        {},
        [[EVENT]],
        [{}],
        [None],
        {"events": []},
        {"events": EVENT},
        {"events": [EVENT], "sent": 1},
        {"events": [[EVENT]]},
        {"data": [EVENT]},
        {"event": [EVENT]},
        {"event": EVENT},
        {"user_id": "u", "items": ["a", "b"]},
        {"items": [EVENT]},
        [{"events": [EVENT]}],
        "view",
    ],
)
def test_a_wrong_shape_is_refused_and_takes_nothing(shop: TestClient, body: Any) -> None:
    assert shop.post("/v1/events", json=body).status_code == 422
    assert not shop.post("/v1/recommend", json={"user_id": "u"}).json()["meta"]["degraded"]
    assert shop.post("/v1/recommend", json={"user_id": "u"}).json()["meta"]["segment"] == "cold_user"


@pytest.mark.parametrize(
    "body", [{"items": [item()]}, {"data": item()}, [], [[item()]], {}, {"item_id": ["lamp"]}, [item(), [item()]]]
)
def test_a_wrong_shape_of_items_is_refused(client: TestClient, body: Any) -> None:
    assert client.put("/v1/items", json=body).status_code == 422


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        ("\n".join([json.dumps(EVENT)] * 2), "application/x-ndjson"),
        ("\n".join([json.dumps(EVENT)] * 2), "application/json"),
        ("user_id=u&item_id=a&event=view", "application/x-www-form-urlencoded"),
        (json.dumps(EVENT), "text/plain"),
    ],
)
def test_what_is_no_json_takes_nothing(client: TestClient, content: str, kind: str) -> None:
    assert client.post("/v1/events", content=content, headers={"content-type": kind}).status_code == 422
    assert client.put("/v1/items", content=content, headers={"content-type": kind}).status_code == 422


def test_an_event_on_an_item_that_nobody_described_is_kept_named_and_counted(shop: TestClient) -> None:
    before = unknown(shop)
    events = [{**EVENT, "item_id": name} for name in ("ghost-2", "ghost-1", "garden-10", "ghost-1")]
    answer = shop.post("/v1/events", json=events).json()
    assert answer == {"accepted": 4, "duplicates": 0, "rejected": [], "unknown_items": ["ghost-1", "ghost-2"]}
    assert unknown(shop) - before == 2
    assert "unknown_items" not in shop.post("/v1/events", json=EVENT).json()


def unknown(client: TestClient) -> float:
    page = client.get("/metrics").text
    return next(
        float(line.split()[1]) for line in page.splitlines() if line.startswith("recsys_events_unknown_items_t")
    )
