"""The caller's own candidates in order, filters, and many requests in one."""

from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.support import bundles

MINE = ["garden-10", "kitchen-7", "kitchen-5", "garden-11"]


def post(client: TestClient, path: str, body: dict[str, Any]) -> dict[str, Any]:
    response = client.post(f"/v1/{path}", json=body)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def ids(answer: dict[str, Any]) -> list[str]:
    return [item["item_id"] for item in answer["items"]]


@pytest.mark.parametrize("variant", ["als", "als_recent", "mixed"])
def test_candidates_come_back_in_order(client: TestClient, variant: str) -> None:
    answer = post(client, "rank", {"user_id": "anna", "candidates": MINE, "variant": variant})
    assert sorted(ids(answer)) == sorted(MINE)
    assert answer["meta"]["shortfall"] is None
    assert answer["next_cursor"] is None
    if variant == "als":
        assert [item_id.partition("-")[0] for item_id in ids(answer)] == ["kitchen", "kitchen", "garden", "garden"]


def test_all_candidates_are_ordered_even_if_they_are_many(client: TestClient) -> None:
    everything = bundles.ITEM_IDS * 40
    answer = post(client, "rank", {"candidates": everything})
    assert sorted(ids(answer)) == sorted(set(everything) - {"sold-out"})
    assert answer["meta"]["shortfall"] == "only 23 of 24 items may be shown here, 24 were asked for"


def test_what_may_not_be_shown_or_is_unknown_is_left_out(client: TestClient) -> None:
    answer = post(client, "rank", {"user_id": "anna", "candidates": [*MINE, "kitchen-0", "sold-out", "nothing"]})
    assert sorted(ids(answer)) == sorted(MINE)
    assert answer["warnings"] == ["candidates: 1 of 7 are not in the catalogue, such as 'nothing'"]


def test_candidates_and_filter_both_count(client: TestClient) -> None:
    body = {"user_id": "anna", "candidates": MINE, "filter": 'category = "garden"', "k": 2}
    assert sorted(ids(post(client, "recommend", body))) == ["garden-10", "garden-11"]


def test_a_filter_holds_also_when_the_taste_is_elsewhere(client: TestClient) -> None:
    answer = post(client, "recommend", {"user_id": "anna", "filter": 'not category = "kitchen"', "k": 8})
    assert len(ids(answer)) == 8
    assert not any(item_id.startswith("kitchen") for item_id in ids(answer))


def test_a_filter_that_cannot_be_read(client: TestClient) -> None:
    response = client.post("/v1/recommend", json={"filter": "prize < 5"})
    error = response.json()["error"]
    assert (response.status_code, error["field"]) == (422, "filter")
    assert "'prize' at position 1" in error["message"]


def test_a_batch_is_its_requests_in_order(client: TestClient) -> None:
    requests: list[dict[str, Any]] = [{"user_id": "anna", "k": 2}, {"user_id": "ben", "k": 3}, {"k": 1}]
    answers = post(client, "recommend:batch", {"requests": requests})["answers"]
    assert [ids(answer) for answer in answers] == [ids(post(client, "recommend", body)) for body in requests]
    assert len({answer["request_id"] for answer in answers}) == 3


@pytest.mark.parametrize(
    ("requests", "field"),
    [
        ([], "requests"),
        ([{}] * 101, "requests"),
        ([{}, {"k": 0}], "requests.1.k"),
        ([{}, {"variant": "best"}], "requests.1.variant"),
        ([{}, {"cursor": "x"}], "requests.1.cursor"),
    ],
)
def test_a_wrong_request_refuses_the_batch(client: TestClient, requests: list[Any], field: str) -> None:
    response = client.post("/v1/recommend:batch", json={"requests": requests})
    assert (response.status_code, response.json()["error"]["field"]) == (422, field)
