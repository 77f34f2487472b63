"""Whatever is sent, the answer is a list or one clear error."""

import json
import logging
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from serving.api.schemas import Answer
from serving.engine.engine import Engine
from tests.support import bundles


@pytest.mark.parametrize(
    ("body", "field", "message"),
    [
        ({"k": 0}, "k", "greater than or equal to 1, found 0"),
        ({"k": 101}, "k", "less than or equal to 100, found 101"),
        ({"k": "5"}, "k", "valid integer, found '5'"),
        ({"k": True}, "k", "valid integer, found True"),
        ({"user_id": ""}, "user_id", "at least 1 character, found ''"),
        ({"user_id": "x" * 257}, "user_id", "at most 256 characters"),
        ({"user_id": 7}, "user_id", "valid string, found 7"),
        ({"variant": "best"}, "variant", "'best' is not in the bundle; it has: als, als_recent, covisit,"),
        ({"histroy": []}, "histroy", "histroy: no such field"),
        ({"session": [{}]}, "session.0.item_id", "Field required"),
        ({"session": [{"item_id": ""}]}, "session.0.item_id", "at least 1 character"),
        ({"session": [{"item_id": "a"}] * 1001}, "session", "at most 1000 items"),
        (
            {"session": [{"item_id": "a", "timestamp": 5}]},
            "session.0.timestamp",
            "expected a date and time with time zone as text",
        ),
        (
            {"session": [{"item_id": "a", "timestamp": "5"}]},
            "session.0.timestamp",
            "expected a date and time with time zone as text",
        ),
        ({"session": [{"item_id": "a", "timestamp": "2026-03-01T12:00:00"}]}, "session.0.timestamp", "timezone"),
        ({"exclude_ids": ["a"] * 1001}, "exclude_ids", "at most 1000 items"),
        ({"exclude_ids": ["a", "x" * 257]}, "exclude_ids.1", "at most 256 characters"),
        ([], None, "the body: "),
    ],
)
def test_bad_input_names_the_field_and_the_reason(
    client: TestClient, body: Any, field: str | None, message: str
) -> None:
    response = client.post("/v1/recommend", json=body)
    error = response.json()["error"]
    assert (response.status_code, error["code"], error["field"]) == (422, "invalid_request", field)
    assert message in error["message"]
    assert len(error["message"]) < 250
    assert error["request_id"] == response.headers["x-request-id"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "not valid JSON: Expecting property name enclosed in double quotes at character 1"),
        (b"\xff{}", "not valid JSON in UTF-8"),
        (b"", "the body: Field required"),
        (b'{"user_id": "\\ud800"}', "user_id: "),
        (b"[" * 100_000, "not valid JSON"),
        (b'{"user_id": "a", "k": 1, "user_id": "b"}', "the body: the key 'user_id' is twice in one object"),
        (b'{"session": [{"item_id": "a", "item_id": "a"}]}', "the body: the key 'item_id' is twice in one object"),
    ],
)
def test_a_body_that_is_no_json(client: TestClient, content: bytes, message: str) -> None:
    response = client.post("/v1/recommend", content=content, headers={"content-type": "application/json"})
    assert response.status_code == 422
    assert message in response.json()["error"]["message"]


def test_a_body_without_content_type(client: TestClient) -> None:
    response = client.post("/v1/recommend", content=b"{}")
    assert response.status_code == 422
    assert "content-type: application/json" in response.json()["error"]["message"]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("k=0", "k"), ("k=101", "k"), ("k=many", "k"), ("k=1_0", "k"), ("variant=best", "variant"),
        ("variant=", "variant"), ("kk=1", "kk"), ("k=1&k=2", "k"), ("filter=category%20%3D%20%22garden%22", "filter"),
        ("K=3", "K"), ("=1", ""),
    ],
)  # fmt: skip
def test_bad_queries(client: TestClient, query: str, field: str) -> None:
    response = client.get(f"/v1/recommend/anna?{query}")
    assert (response.status_code, response.json()["error"]["field"]) == (422, field)


def test_an_empty_user_in_the_path(client: TestClient) -> None:
    assert client.get("/v1/recommend/").json()["error"]["field"] == "user_id"
    assert client.get(f"/v1/recommend/{'x' * 257}").json()["error"]["field"] == "user_id"


def test_no_such_route_and_no_such_method(client: TestClient) -> None:
    missing, method = client.get("/v2/recommend"), client.delete("/v1/recommend")
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "not_found")
    assert (method.status_code, method.json()["error"]["code"]) == (405, "method_not_allowed")
    assert method.headers["allow"] == "POST"


def test_internals_never_leak(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("the password is hunter2")

    monkeypatch.setattr(Engine, "recommend", fail)
    with caplog.at_level(logging.ERROR):
        response = client.post("/v1/recommend", json={"user_id": "anna"})
    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (500, "internal")
    assert "hunter2" not in response.text
    assert "Traceback" not in response.text
    assert error["request_id"] == response.headers["x-request-id"]
    assert f"request {error['request_id']} failed: POST /v1/recommend" in caplog.messages
    assert "hunter2" in caplog.text


IDS = st.sampled_from([*bundles.ITEM_IDS, *bundles.HISTORIES, "unknown", "", "x" * 257]) | st.text(max_size=5)
TIMES = st.sampled_from(["2026-03-01T12:00:00Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "now"])
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
EVENTS = st.fixed_dictionaries({"item_id": IDS}, optional={"event": IDS, "timestamp": TIMES | ANYTHING})
FIELDS = {
    "user_id": IDS | ANYTHING,
    "session": st.lists(EVENTS, max_size=5) | ANYTHING,
    "k": st.integers(-1, 102) | ANYTHING,
    "exclude_ids": st.lists(IDS, max_size=5) | ANYTHING,
    "variant": st.sampled_from([*bundles.VARIANTS, "best"]) | ANYTHING,
}


@given(body=st.fixed_dictionaries({}, optional=FIELDS) | ANYTHING)
def test_whatever_is_sent_the_answer_is_a_list_or_a_422(client: TestClient, body: Any) -> None:
    content = json.dumps(body).encode()
    response = client.post("/v1/recommend", content=content, headers={"content-type": "application/json"})
    assert response.status_code in (200, 422)
    if response.status_code == 422:
        assert set(response.json()["error"]) == {"code", "message", "field", "request_id"}
        return
    answer = TypeAdapter(Answer).validate_python(response.json())
    shown = [item.item_id for item in answer.items]
    assert len(shown) == len(set(shown)) <= body.get("k", 10)
    assert not set(shown) & set(body.get("exclude_ids", []))
    assert not set(shown) & {event["item_id"] for event in body.get("session", [])}


@pytest.mark.parametrize("path", ["/v1/events", "/v1/items"])
def test_a_key_twice_in_a_body_that_writes(client: TestClient, path: str) -> None:
    content = b'[{"item_id": "a", "event": "view", "user_id": "a", "user_id": "b"}]'
    response = client.request(
        "PUT" if path.endswith("items") else "POST", path, content=content, headers={"content-type": "application/json"}
    )
    assert response.status_code == 422
    assert "'user_id' is twice" in response.json()["error"]["message"]


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_an_id_in_a_path_of_another_encoding(client: TestClient, method: str) -> None:
    """Read as U+FFFD, it would be the id of somebody else, and nobody would be forgotten."""
    response = client.request(method, "/v1/recommend/caf%E9" if method == "GET" else "/v1/users/caf%E9")
    assert response.status_code == 422
    assert "UTF-8" in response.json()["error"]["message"]
    assert client.get("/v1/recommend/caf%EF%BF%BD").status_code == 200


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("x", "the body: Input should be a valid dictionary"),
        ({"events": None}, "events: Input should be a valid list"),
        ({"events": [], "more": 1}, "events: List should have at least 1 item"),
    ],
)
def test_a_body_of_events_that_is_something_else(client: TestClient, body: Any, message: str) -> None:
    response = client.post("/v1/events", json=body, headers={"content-type": "application/json"})
    assert response.status_code == 422
    assert response.json()["error"]["message"].startswith(message)


def test_a_time_that_is_a_number_with_an_exponent_is_no_time(client: TestClient) -> None:
    session = [{"item_id": "a", "timestamp": "1.7e9"}]
    error = client.post("/v1/recommend", json={"session": session}).json()["error"]
    assert "expected a date and time with time zone as text" in error["message"]
