"""A stored row that cannot be used costs that row or cell, is counted, and stops no worker."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from serving.settings import Settings
from tests.serving.api.test_events import rows
from tests.serving.test_metrics import read
from tests.support.apps import Start, new_store, until, until_ready

ITEM = "INSERT INTO items (item_id, version, title, text, categories, price, available, first_seen) VALUES "
BAD_CELLS = {
    "year 10000": "('poison', {v}, 'x', NULL, NULL, NULL, NULL, 253402300800.0)",
    "before the beginning": "('poison', {v}, 'x', NULL, NULL, NULL, NULL, -62135596800.0)",
    "no end of time": "('poison', {v}, 'x', NULL, NULL, NULL, NULL, 9e999)",
    "a time as text": "('poison', {v}, 'x', NULL, NULL, NULL, NULL, 'soon')",
    "a price without end": "('poison', {v}, 'x', NULL, NULL, 9e999, NULL, NULL)",
    "a price as text": "('poison', {v}, 'x', NULL, NULL, 'cheap', NULL, NULL)",
    "categories that are no JSON": "('poison', {v}, 'x', NULL, 'garden', NULL, NULL, NULL)",
    "categories that are no list": "('poison', {v}, 'x', NULL, '{{}}', NULL, NULL, NULL)",
    "categories that are no texts": "('poison', {v}, 'x', NULL, '[1, null]', NULL, NULL, NULL)",
    "a title of bytes": "('poison', {v}, x'00ff', NULL, NULL, NULL, NULL, NULL)",
}


def put_behind_its_back(folder: Path, values: str) -> None:
    version = rows(folder, "SELECT coalesce(max(version), 0) + 1 FROM items")[0][0]
    rows(folder, ITEM + values.format(v=version))


def shown(client: TestClient, **body: Any) -> list[str]:
    answer = client.post("/v1/recommend", json={"user_id": "anna", "k": 20, **body}).json()
    return [item["item_id"] for item in answer["items"]]


@pytest.fixture
def settings(bundle_folder: Path, tmp_path: Path) -> Settings:
    return Settings(bundle=bundle_folder, store_url=new_store(tmp_path))


@pytest.fixture
def worker(start: Start, settings: Settings) -> Iterator[TestClient]:
    with start(settings) as client:
        yield until_ready(client)


@pytest.mark.parametrize("fault", BAD_CELLS)
def test_a_bad_cell_in_a_store_costs_that_cell(
    worker: TestClient, start: Start, settings: Settings, tmp_path: Path, fault: str
) -> None:
    before = read(worker).get("recsys_store_rows_unusable_total{table=items}", 0)
    put_behind_its_back(tmp_path, BAD_CELLS[fault])
    assert worker.put("/v1/items", json={"item_id": "kitchen-4", "available": False}).status_code == 200
    until(lambda: "kitchen-4" not in shown(worker))
    assert worker.put("/v1/items", json={"item_id": "kitchen-5", "price": 1234.5}).status_code == 200
    until(lambda: shown(worker, filter="price > 1000") == ["kitchen-5"])
    assert read(worker)["recsys_store_rows_unusable_total{table=items}"] > before
    with start(settings) as restarted:
        until_ready(restarted)
        assert "kitchen-4" not in shown(restarted)


def test_what_is_sold_out_stays_so_beside_a_bad_cell(worker: TestClient, tmp_path: Path) -> None:
    put_behind_its_back(tmp_path, "('kitchen-4', {v}, NULL, NULL, 'garden', 9e999, 0, 253402300800.0)")
    until(lambda: "kitchen-4" not in shown(worker))


@pytest.mark.parametrize("timestamp", ["'yesterday'", "9e999", "253402300800.0"])
def test_an_event_without_a_usable_time_costs_itself(worker: TestClient, tmp_path: Path, timestamp: str) -> None:
    before = read(worker).get("recsys_store_rows_unusable_total{table=events}", 0)
    worker.post("/v1/events", json={"user_id": "zoe", "item_id": "garden-10", "event": "purchase"})
    columns = "event_id, person, user_id, item_id, event, timestamp, received"
    rows(tmp_path, f"INSERT INTO events ({columns}) VALUES ('x', 'u:zoe', 'zoe', 'garden-11', 'view', {timestamp}, 0)")
    answer = worker.post("/v1/recommend", json={"user_id": "zoe", "k": 4}).json()
    assert answer["meta"]["failed"] == []
    assert {item["categories"][0] for item in answer["items"]} == {"garden"}
    assert read(worker)["recsys_store_rows_unusable_total{table=events}"] > before


def test_what_nobody_expected_in_the_store_keeps_no_worker_from_starting(
    start: Start, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: Any) -> None:
        raise RuntimeError(json.dumps({"nobody": "expected this"}))

    monkeypatch.setattr("serving.live.store_watcher.StoreWatcher.refresh", fail)
    with start(settings) as client:
        until_ready(client)
        event = {"user_id": "u", "item_id": "kitchen-4", "event": "view"}
        assert client.post("/v1/events", json=event).json()["accepted"] == 1
