"""What the shop says of its items is served a moment later, in every worker."""

from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from recsys.bundle import bundle
from serving.api.schemas import RecommendRequest, SimilarRequest
from serving.engine.engine import Engine
from serving.engine.overlay import StoreOverlay
from serving.settings import Settings
from serving.stores.protocol import Item
from tests.support import bundles
from tests.support.apps import Start, new_store, until, until_ready


def put(client: TestClient, body: Any) -> int:
    response = client.put("/v1/items", json=body)
    assert response.status_code == 200, response.text
    count: int = response.json()["upserted"]
    return count


def shown(client: TestClient, **body: Any) -> dict[str, dict[str, Any]]:
    response = client.post("/v1/recommend", json=body)
    assert response.status_code == 200, response.text
    return {item["item_id"]: item for item in response.json()["items"]}


def test_an_item_sold_out_disappears_everywhere_and_comes_back(
    start: Start, bundle_folder: Path, tmp_path: Path
) -> None:
    settings = Settings(bundle=bundle_folder, store_url=new_store(tmp_path))
    with start(settings) as first, start(settings) as second:
        until_ready(first)
        until_ready(second)
        assert "kitchen-4" in shown(second, user_id="anna")
        assert put(first, {"item_id": "kitchen-4", "available": False}) == 1
        until(lambda: "kitchen-4" not in shown(first, user_id="anna"))
        until(lambda: "kitchen-4" not in shown(second, user_id="anna"))
        put(second, [{"item_id": "kitchen-4", "available": True}, {"item_id": "sold-out", "available": True}])
        until(lambda: {"kitchen-4"} <= shown(first, user_id="anna").keys())
        assert "sold-out" in shown(first, user_id="stranger", k=5)  # what everybody bought


def test_what_was_said_before_the_start_counts_in_the_first_answer(
    start: Start, bundle_folder: Path, tmp_path: Path
) -> None:
    settings = Settings(bundle=bundle_folder, store_url=new_store(tmp_path))
    with start(settings) as client:
        put(until_ready(client), {"item_id": "kitchen-4", "available": False})
    with start(settings) as client:
        until(lambda: client.post("/v1/recommend", json={}).status_code == 200)  # before it is ready
        assert "kitchen-4" not in shown(client, user_id="anna", k=20)


def test_title_price_and_categories_change_and_what_is_absent_stays(shop: TestClient) -> None:
    put(shop, {"item_id": "kitchen-4", "title": "A kettle", "price": 1234.5, "categories": ["rare"]})
    until(lambda: shown(shop, user_id="anna", filter="price > 1000"))
    put(shop, {"item_id": "kitchen-4", "title": "Our kettle"})
    until(lambda: shown(shop, user_id="anna")["kitchen-4"]["title"] == "Our kettle")
    found = shown(shop, user_id="anna", filter='category = "rare" and price = 1234.5', k=1)
    assert found["kitchen-4"]["categories"] == ["rare"]


def test_an_item_never_seen_before_is_recommended(shop: TestClient) -> None:
    put(shop, [{"item_id": "kettle", "title": "Red kettle", "categories": ["kitchen"], "price": 9.0}])
    until(lambda: shop.post("/v1/similar", json={"item_id": "kettle"}).status_code == 200)
    found = shown(shop, user_id="anna", variant="newcomers", k=10)
    assert (found["kettle"]["source"], found["kettle"]["title"]) == ("new", "Red kettle")
    put(shop, {"item_id": "kettle", "available": False})
    until(lambda: "kettle" not in shown(shop, user_id="anna", variant="newcomers", k=20))


def test_stock_alone_needs_no_other_engine(shop: TestClient) -> None:
    live = shop.app.state.service._background.live  # type: ignore[attr-defined]
    before = live.engine
    put(shop, {"item_id": "kitchen-4", "available": False})
    until(lambda: "kitchen-4" not in shown(shop, user_id="anna"))
    assert live.engine is before
    put(shop, {"item_id": "kitchen-4", "title": "Our kettle"})
    until(lambda: live.engine is not before)
    assert "kitchen-4" not in shown(shop, user_id="anna", k=20)


def test_the_bundle_itself_stays_as_it_was(bundle_folder: Path) -> None:
    loaded = bundle.load(bundle_folder)
    sold_out = {"kitchen-4": Item("kitchen-4", available=False)}
    for fresh in (StoreOverlay(), StoreOverlay(items=sold_out)):
        engine = Engine(loaded, "0", fresh)
        engine.mark([Item("kitchen-5", available=False)])
        for variant in bundles.VARIANTS:
            request = RecommendRequest(user_id="anna", k=20, variant=variant)
            ids = {item.item_id for item in engine.recommend(request, "id").items}
            assert not {*fresh.items, "kitchen-5"} & ids
        sold_out_items = RecommendRequest(filter="available = false")
        assert (
            engine.recommend(sold_out_items, "id").meta.shortfall
            == "only 0 of 24 items may be shown here, 10 were asked for"
        )
        assert "kitchen-5" not in {
            item.item_id for item in engine.similar(SimilarRequest(item_id="kitchen-6", k=20)).items
        }
        engine.mark([Item("kitchen-5", available=True)])
        only = RecommendRequest(filter='available = true and category = "kitchen"', k=20)
        assert "kitchen-5" in {item.item_id for item in engine.recommend(only, "id").items}
    assert loaded.catalogue.available.sum() == bundles.N_ITEMS - 1


@pytest.mark.parametrize(
    ("body", "field", "message"),
    [
        ({"title": "a"}, "item_id", "Field required"),
        ([{"item_id": "a"}, {"item_id": "b", "price": -1}], "1.price", "greater than or equal to 0, found -1"),
        ({"item_id": "a", "colour": "red"}, "colour", "no such field"),
        ({"item_id": "a", "title": "\0"}, "title", "a control character"),
        ([], None, "at least 1 item"),
        ([{"item_id": "a"}] * 1001, None, "at most 1000 items"),
        (7, None, "valid dictionary"),
    ],
)
def test_bad_items_are_refused_as_a_whole(client: TestClient, body: Any, field: str | None, message: str) -> None:
    response = client.put("/v1/items", json=body)
    error = response.json()["error"]
    assert (response.status_code, error["field"]) == (422, field)
    assert message in error["message"]


def test_what_nobody_expected_beside_the_requests_stops_nothing_else(
    start: Start, bundle_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(*_: Any) -> None:
        raise RuntimeError("nobody expected this")

    monkeypatch.setattr("serving.live.live_feed.LiveFeed.refresh", fail)
    monkeypatch.setattr("serving.live.background.RETRY_SECONDS", 0.05)
    with start(Settings(bundle=bundle_folder, store_url=new_store(tmp_path))) as client:
        put(until_ready(client), {"item_id": "kitchen-4", "available": False})
        until(lambda: "kitchen-4" not in shown(client, user_id="anna"))
        event = {"user_id": "u", "item_id": "kitchen-4", "event": "view"}
        assert client.post("/v1/events", json=event).json()["accepted"] == 1
        until(lambda: "RuntimeError: nobody expected this" in caplog.text)
