"""Filters, rules and diversity as a client meets them; the rules change while the API runs."""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from serving.settings import Settings
from tests.support.apps import Start, until_ready

FIRST = """
block: {items: ["kitchen-9"]}
boost: [{filter: 'category = "garden"', factor: 1.5}]
pin: [{item: "new-20", position: 2, surfaces: [home]}]
"""


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("rules") / "rules.yaml"
    made.write_text(FIRST)
    return made


@pytest.fixture(scope="module")
def ruled(bundle_folder: Path, start: Start, path: Path) -> Iterator[TestClient]:
    with start(Settings(bundle=bundle_folder, rules=path)) as client:
        yield until_ready(client)


def ask(client: TestClient, **body: Any) -> dict[str, Any]:
    response = client.post("/v1/recommend", json={"user_id": "żółw/🐢", "k": 5, **body})
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def ids(answer: dict[str, Any]) -> list[str]:
    return [item["item_id"] for item in answer["items"]]


def test_pins_and_boosts_can_be_seen_and_what_is_blocked_cannot(ruled: TestClient) -> None:
    answer = ask(ruled, surface="home", k=19, options={"explain": True})
    by_id = {item["item_id"]: item for item in answer["items"]}
    assert "kitchen-9" not in by_id
    assert (by_id["new-20"]["rank"], by_id["new-20"]["source"], by_id["new-20"]["boost"]) == (2, "pin", 1)
    assert (by_id["garden-19"]["boost"], by_id["kitchen-8"]["boost"]) == (1.5, 1)
    assert by_id["garden-19"]["rank"] < by_id["kitchen-8"]["rank"]
    assert by_id["garden-19"]["score"] < by_id["kitchen-8"]["score"]
    assert len(answer["meta"]["rules_version"]) == 12
    assert ids(ask(ruled, surface="basket"))[1] != "new-20"


def test_a_filter_narrows_and_one_that_cannot_be_read_is_refused(ruled: TestClient) -> None:
    text = 'category = "kitchen" and not price > 1'
    answer = ask(ruled, filter=text)
    assert ids(answer) == ["kitchen-0"]  # the only one without a price
    assert answer["meta"]["shortfall"] == "only 1 of 24 items may be shown here, 5 were asked for"
    refused = ruled.post("/v1/recommend", json={"user_id": "anna", "filter": "prize < 3"})
    assert refused.status_code == 422
    assert (
        "filter: 'prize' at position 1, expected one of: category, price, available, attributes.NAME, not, ("
        in refused.text
    )


def test_diversity_is_asked_for(ruled: TestClient) -> None:
    plain, mixed = ask(ruled, user_id="anna"), ask(ruled, user_id="anna", options={"diversity": 0.9})
    groups = [{tuple(item["categories"]) for item in answer["items"]} for answer in (plain, mixed)]
    assert len(groups[1]) > len(groups[0])


def test_rules_change_while_the_api_runs_and_a_bad_file_does_not(ruled: TestClient, path: Path) -> None:
    before = ask(ruled)

    def replaced(text: str) -> None:
        aside = path.with_suffix(".new")
        aside.write_text(text)
        os.replace(aside, path)

    first = ids(before)[0]
    replaced(f'block: {{items: ["{first}"], categories: [sea]}}')
    deadline = time.monotonic() + 2
    while time.monotonic() < deadline:  # no event to wait for: nothing may happen
        assert ids(ask(ruled)) == ids(before)
        time.sleep(0.2)
    replaced(f'block: {{items: ["{first}"]}}')
    deadline = time.monotonic() + 30
    while (after := ask(ruled))["meta"]["rules_version"] == before["meta"]["rules_version"]:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert first not in ids(after)
