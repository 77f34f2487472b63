"""The cache behind the API: what is given again, and what ends it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest
import redis
from fastapi.testclient import TestClient

from serving.service import cache
from serving.settings import Settings
from tests.support.apps import Start, new_store, until, until_ready

BODY = {"user_id": "anna", "k": 4}


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine is no fault."""
    monkeypatch.setattr(cache, "TIMEOUT_SECONDS", 10)


@pytest.fixture(params=["memory", "redis"])
def settings(request: pytest.FixtureRequest, bundle_folder: Path, tmp_path: Path) -> Settings:
    url = "memory"
    if request.param == "redis":
        url = request.getfixturevalue("redis_url")
        with redis.Redis.from_url(url) as server:
            server.flushall()
    rules = tmp_path / "rules.yaml"
    rules.write_text("block: {}\n")
    return Settings(
        bundle=bundle_folder, store_url=new_store(tmp_path), cache_url=url, cache_seconds=3600, rules=rules,
        deadline_ms=60_000, store_ms=60_000,
    )  # fmt: skip


@pytest.fixture
def shop(start: Start, settings: Settings) -> Iterator[TestClient]:
    with start(settings) as client:
        yield until_ready(client)


def ask(client: TestClient, **body: Any) -> tuple[list[str], bool, dict[str, Any]]:
    """The items, whether they were kept, and all of the answer."""
    response = client.post("/v1/recommend", json=BODY | body)
    assert response.status_code == 200, response.text
    answer = response.json()
    return [item["item_id"] for item in answer["items"]], "cache" in answer["meta"]["timings_ms"], answer


def kept(client: TestClient, **body: Any) -> list[str]:
    """Ask until the answer is a kept one: it is put away after it was given."""
    until(lambda: ask(client, **body)[1])
    return ask(client, **body)[0]


def test_the_same_question_gets_the_same_answer_under_another_id(shop: TestClient) -> None:
    _, was_kept, first = ask(shop)
    assert not was_kept
    kept(shop)
    _, was_kept, second = ask(shop)
    assert was_kept
    assert first["request_id"] != second["request_id"] != "0" * 32
    for answer in (first, second):
        del answer["request_id"], answer["meta"]["timings_ms"], answer["next_cursor"]
    assert first == second


@pytest.mark.parametrize(
    "body",
    [{"k": 3}, {"variant": "popular"}, {"user_id": "ben"}, {"exclude_ids": ["kitchen-4"]}, {"options": {"seed": 5}}],
    ids=str,
)
def test_another_question_is_another_answer(shop: TestClient, body: dict[str, Any]) -> None:
    kept(shop)
    assert not ask(shop, **body)[1]


def test_an_event_of_the_user_ends_it_in_every_worker(start: Start, settings: Settings) -> None:
    with start(settings) as first, start(settings) as second:
        before = kept(until_ready(first)), kept(until_ready(second))
        assert before[0] == before[1]
        bought = {"event_id": "e1", "user_id": "anna", "item_id": before[0][0], "event": "purchase"}
        assert second.post("/v1/events", json=bought).json()["accepted"] == 1
        for client in (first, second):
            assert before[0][0] not in ask(client)[0]


def test_an_item_sold_out_is_gone_from_what_is_kept(shop: TestClient) -> None:
    item_id = kept(shop)[0]
    assert shop.put("/v1/items", json={"item_id": item_id, "available": False}).status_code == 200
    until(lambda: item_id not in ask(shop)[0])


def test_a_change_of_the_rules_ends_it(shop: TestClient, settings: Settings) -> None:
    item_id = kept(shop)[0]
    settings.rules.write_text(f'block:\n  items: ["{item_id}"]\n')
    until(lambda: item_id not in ask(shop)[0])


def test_workers_share_what_is_in_redis(start: Start, settings: Settings) -> None:
    with start(settings) as first, start(settings) as second:
        kept(until_ready(first))
        assert ask(until_ready(second))[1] == (settings.cache_url != "memory")


def test_nothing_is_kept_of_a_forgotten_user(shop: TestClient, settings: Settings) -> None:
    before = kept(shop)
    kept(shop, user_id="ben")
    assert shop.delete("/v1/users/anna").status_code == 200
    if settings.cache_url != "memory":
        with redis.Redis.from_url(settings.cache_url) as server:
            assert server.dbsize() == 1  # ben's
    found, was_kept, answer = ask(shop)
    assert (was_kept, answer["meta"]["segment"]) == (False, "cold_user")
    assert found != before


def test_a_kept_answer_is_an_exposure_of_its_own(shop: TestClient, tmp_path: Path) -> None:
    kept(shop)
    _, was_kept, answer = ask(shop)
    assert was_kept
    file = apsw.Connection(str(tmp_path / "events.sqlite"))

    def exposed() -> list[Any]:
        return list(file.execute("SELECT variant, items FROM exposures WHERE request_id = ?", (answer["request_id"],)))

    until(exposed)
    variant, items = exposed()[0]
    assert variant == "als"
    assert all(item["item_id"] in items for item in answer["items"])
    file.close()


def test_the_hit_rate_is_in_the_metrics(shop: TestClient) -> None:
    kept(shop)
    page = shop.get("/metrics").text
    for outcome in ("hit", "miss"):
        assert f'recsys_cache_answers_total{{outcome="{outcome}"}}' in page
