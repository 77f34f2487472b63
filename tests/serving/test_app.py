"""What clients get: lists, where they come from, and one body for every error."""

import json
import logging
from typing import Any
from urllib.parse import quote

import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st

from serving.engine import Engine
from serving.schemas import Answer
from tests import bundles


def recommend(client: TestClient, **body: Any) -> dict[str, Any]:
    response = client.post("/v1/recommend", json=body)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def ids(answer: dict[str, Any]) -> list[str]:
    return [item["item_id"] for item in answer["items"]]


def test_a_known_user_gets_the_planted_taste(client: TestClient) -> None:
    answer = recommend(client, user_id="anna", k=4)
    assert all(item_id.startswith("kitchen-") for item_id in ids(answer))
    assert [item["rank"] for item in answer["items"]] == [1, 2, 3, 4]
    first = answer["items"][0]
    assert first["title"] == f"Title of {first['item_id']}"
    assert first["categories"] == ["kitchen"]
    assert (first["source"], first["fallback"]) == ("als", False)
    assert answer["warnings"] == []


def test_every_answer_says_how_it_came_about(client: TestClient) -> None:
    response = client.post("/v1/recommend", json={"user_id": "anna"})
    answer, meta = response.json(), response.json()["meta"]
    about = client.get("/v1/about").json()
    assert meta["variant"] == "als"
    assert (meta["fallback"], meta["fallback_reason"], meta["degraded"], meta["failed"]) == (False, None, False, [])
    assert meta["shortfall"] is None
    assert (meta["bundle_id"], meta["dataset"]) == (about["bundle_id"], "hand-made")
    assert meta["trained_until"] == "2024-02-01T00:00:00Z"
    assert meta["models"] == ["als"]
    assert set(meta["timings_ms"]) == {"encode", "source als", "rules", "mix", "total"}
    assert sum(meta["timings_ms"].values()) <= 2 * meta["timings_ms"]["total"] + 0.01
    assert response.headers["x-request-id"] == answer["request_id"]


def test_an_unknown_user_gets_a_list_with_the_reason(client: TestClient) -> None:
    answer = recommend(client, user_id="somebody new", k=5)
    assert len(ids(answer)) == 5
    assert {(item["source"], item["fallback"]) for item in answer["items"]} == {("popular", True)}
    assert (answer["meta"]["fallback"], answer["meta"]["fallback_reason"]) == (True, "no_history")
    assert answer["warnings"] == ["user_id 'somebody new': nothing is known of this user"]


def test_an_anonymous_visitor_is_known_by_the_history_sent(client: TestClient) -> None:
    history = [{"item_id": "garden-10"}, {"item_id": "garden-11", "event": "purchase"}]
    answer = recommend(client, history=history, k=4)
    assert all(item["categories"][0] == "garden" for item in answer["items"])
    assert not set(ids(answer)) & {"garden-10", "garden-11"}
    assert recommend(client)["meta"]["fallback_reason"] == "no_history"


def test_a_history_sent_is_added_to_the_known_one(client: TestClient) -> None:
    answer = recommend(client, user_id="anna", history=[{"item_id": "kitchen-9"}], k=5)
    assert set(ids(answer)) == set(ids(recommend(client, user_id="anna", k=6))) - {"kitchen-9"}


def test_excluded_items_stay_out(client: TestClient) -> None:
    before = ids(recommend(client, user_id="anna", k=3))
    after = recommend(client, user_id="anna", k=3, exclude_ids=[before[0], "no such item"])
    assert before[0] not in ids(after)
    assert after["warnings"] == []


def test_the_simple_case_is_the_same_answer(client: TestClient) -> None:
    response = client.get("/v1/recommend/anna", params={"k": 3, "variant": "als_recent"})
    assert response.json()["items"] == recommend(client, user_id="anna", k=3, variant="als_recent")["items"]


@pytest.mark.parametrize("user_id", ["żółw/🐢", "a b", "/a/", "a%2Fb", "?k=1"])
def test_any_id_fits_into_the_path(client: TestClient, user_id: str) -> None:
    response = client.get(f"/v1/recommend/{quote(user_id, safe='')}")
    assert response.json()["items"] == recommend(client, user_id=user_id)["items"]


def test_another_variant(client: TestClient) -> None:
    answer = recommend(client, user_id="anna", variant="mixed", k=10)
    assert answer["meta"]["variant"] == "mixed"
    assert {item["source"] for item in answer["items"]} == {"als", "popular", "random"}
    popular = recommend(client, user_id="anna", variant="popular")
    assert popular["meta"]["models"] == []
    assert popular["meta"]["fallback"] is False


def test_a_shortfall_is_stated(client: TestClient) -> None:
    answer = recommend(client, user_id="anna", k=100)
    assert len(ids(answer)) == 19
    assert answer["meta"]["shortfall"] == "only 19 of 24 items may be shown here, 100 were asked for"
    assert recommend(client, user_id="everything")["items"] == []


def test_similar_items(client: TestClient) -> None:
    answer = client.post("/v1/similar", json={"item_id": "kitchen-3", "k": 4, "exclude_ids": ["kitchen-4"]}).json()
    assert len(ids(answer)) == 4
    assert set(ids(answer)) <= {f"kitchen-{row}" for row in bundles.KITCHEN} - {"kitchen-3", "kitchen-4"}
    assert answer["meta"]["models"] == ["als"]


def test_similar_to_an_item_that_no_model_knows(client: TestClient) -> None:
    answer = client.post("/v1/similar", json={"item_id": "new-20", "k": 4}).json()
    assert answer["meta"]["fallback_reason"] == "item_unknown_to_models"
    assert {item["source"] for item in answer["items"]} == {"popular"}
    assert "new-20" not in ids(answer)


def test_similar_to_an_id_that_nobody_knows(client: TestClient) -> None:
    response = client.post("/v1/similar", json={"item_id": "no such item"})
    assert response.status_code == 404
    assert response.json()["error"]["code"] == "not_found"
    assert response.json()["error"]["message"] == "item_id: 'no such item' is not in the catalogue"
    assert response.json()["error"]["field"] == "item_id"


def test_about(client: TestClient) -> None:
    about = client.get("/v1/about").json()
    assert about["counts"] == {"items": 24, "users": 8, "interactions": 42}
    assert about["default_variant"] == "als"
    assert about["variants"]["mixed"]["sources"] == {"als": 0.5, "popular": 0.3, "random": 0.2}
    assert about["variants"]["als_recent"]["ranker"] == "recency"
    assert about["models"]["als"]["dim"] == 3
    assert about["metrics"]["gate"] == "made by hand, nothing was measured"


# ---- bad input


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
        ({"variant": "best"}, "variant", "'best' is not in the bundle; it has: als, als_recent, mixed,"),
        ({"histroy": []}, "histroy", "histroy: no such field"),
        ({"history": [{}]}, "history.0.item_id", "Field required"),
        ({"history": [{"item_id": ""}]}, "history.0.item_id", "at least 1 character"),
        ({"history": [{"item_id": "a"}] * 1001}, "history", "at most 1000 items"),
        ({"history": [{"item_id": "a", "timestamp": 5}]}, "history.0.timestamp", "wanted text such as 2026-03-01T12"),
        ({"history": [{"item_id": "a", "timestamp": "5"}]}, "history.0.timestamp", "wanted text such as 2026-03-01T12"),
        ({"history": [{"item_id": "a", "timestamp": "2026-03-01T12:00:00"}]}, "history.0.timestamp", "timezone"),
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
    [("k=0", "k"), ("k=101", "k"), ("k=many", "k"), ("variant=best", "variant"), ("variant=", "variant")],
)
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
    "history": st.lists(EVENTS, max_size=5) | ANYTHING,
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
    answer = Answer.model_validate(response.json())
    shown = [item.item_id for item in answer.items]
    assert len(shown) == len(set(shown)) <= body.get("k", 10)
    assert not set(shown) & set(body.get("exclude_ids", []))
    assert not set(shown) & {event["item_id"] for event in body.get("history", [])}
