"""What clients get: lists, and where they come from."""

import gc
import os
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from fastapi.testclient import TestClient
from openfeature import api

from serving.app import create_app
from serving.settings import Settings
from tests.support import bundles
from tests.support.apps import Start, until_ready


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
    assert (meta["shortfall"], meta["personalised_share"]) == (None, 1.0)
    assert (meta["bundle_id"], meta["dataset"]) == (about["bundle_id"], "hand-made")
    assert (meta["data_hash"], meta["indexes"]) == (None, {"als": "exact"})  # made by hand, of no split
    assert meta["trained_until"] == "2024-02-01T00:00:00Z"
    assert meta["model"] == "als"
    assert set(meta["timings_ms"]) == {"store", "encode", "source als", "rules", "mix", "total"}
    assert sum(meta["timings_ms"].values()) <= 2 * meta["timings_ms"]["total"] + 0.01
    assert response.headers["x-request-id"] == answer["request_id"]


def test_an_unknown_user_gets_a_list_with_the_reason(client: TestClient) -> None:
    answer = recommend(client, user_id="somebody new", k=5)
    assert len(ids(answer)) == 5
    assert {(item["source"], item["fallback"]) for item in answer["items"]} == {("popular", True)}
    assert (answer["meta"]["fallback"], answer["meta"]["fallback_reason"]) == (True, "no_history")
    assert answer["warnings"] == ["user_id 'somebody new': no event of this user is known"]
    filled_by_its_own_sources = recommend(client, user_id="somebody new", k=5, variant="mixed")
    assert not any(item["fallback"] for item in filled_by_its_own_sources["items"])
    meta = filled_by_its_own_sources["meta"]
    assert (meta["fallback"], meta["fallback_reason"], meta["personalised_share"]) == (True, "no_history", 0.0)
    assert client.post("/v1/similar", json={"item_id": "kitchen-1"}).json()["meta"]["personalised_share"] is None


def test_an_anonymous_visitor_is_known_by_the_session_sent(client: TestClient) -> None:
    session = [{"item_id": "garden-10"}, {"item_id": "garden-11", "event": "purchase"}]
    answer = recommend(client, session=session, k=4)
    assert all(item["categories"][0] == "garden" for item in answer["items"])
    assert not set(ids(answer)) & {"garden-10", "garden-11"}
    assert recommend(client)["meta"]["fallback_reason"] == "no_history"


def test_a_session_sent_is_added_to_the_known_one(client: TestClient) -> None:
    answer = recommend(client, user_id="anna", session=[{"item_id": "kitchen-9"}], k=5)
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


def test_an_id_with_a_line_break_is_refused_in_the_path_too(client: TestClient) -> None:
    response = client.get("/v1/recommend/a%0Ab")
    assert response.status_code == 422
    assert "user_id" in response.text


def test_another_variant(client: TestClient) -> None:
    answer = recommend(client, user_id="anna", variant="mixed", k=10)
    assert answer["meta"]["variant"] == "mixed"
    assert {item["source"] for item in answer["items"]} == {"als", "popular", "random"}
    popular = recommend(client, user_id="anna", variant="popular")
    assert popular["meta"]["model"] is None
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
    assert answer["meta"]["model"] == "als"


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


def test_only_starting_the_app_changes_the_process(
    start: Start, bundle_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    monkeypatch.setattr(sys, "setswitchinterval", lambda _: calls.append("switch interval"))
    monkeypatch.setattr(gc, "freeze", lambda: calls.append("freeze"))
    monkeypatch.setattr(api, "set_provider", lambda *_, **__: calls.append("provider"))
    environment = dict(os.environ)
    settings = Settings(bundle=bundle_folder)
    create_app(settings)
    assert calls == []
    with start(settings) as client:
        assert calls[:2] == ["switch interval", "provider"]
        until_ready(client)
    assert calls[2:] == ["freeze"]
    assert dict(os.environ) == environment


@pytest.mark.parametrize("path", ["/v1/about/", "/v1/recommend/", "/healthz/", "/v1/users/anna/", "/v1/rank/"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_no_path_redirects_to_the_host_that_was_sent(client: TestClient, path: str, method: str) -> None:
    answer = client.request(method, path, headers={"host": "evil.example"}, follow_redirects=False)
    assert not answer.is_redirect
    assert "location" not in answer.headers
    assert "evil" not in answer.text
