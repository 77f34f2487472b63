"""An item that the shop sends with a vector of its own has its place at once, in every worker, and in the training."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from fastapi.testclient import TestClient
from pydantic import TypeAdapter, ValidationError

from recsys.datasets import events
from recsys.models import content
from serving.api.fields import Vector
from serving.settings import Settings
from tests.support.apps import Start, new_store, until, until_ready
from tests.support.tastes import CONFIG, ITEMS_A_TASTE, LENGTH, NEW, TASTES, silent, silent_training, write_silent

SEA = silent()["vector"][NEW["sea"]].to_list()


@pytest.fixture(scope="module")
def with_vectors(tmp_path_factory: pytest.TempPathFactory) -> Path:
    fitted = content.fit(silent_training(), CONFIG)
    return write_silent(fitted, tmp_path_factory.mktemp("brought"))


@pytest.fixture(scope="module")
def api(with_vectors: Path, start: Start) -> Iterator[TestClient]:
    with start(Settings(bundle=with_vectors)) as client:
        yield until_ready(client)


def put(client: TestClient, *items: dict[str, Any]) -> None:
    response = client.put("/v1/items", json=list(items))
    assert response.status_code == 200, response.text


def similar(client: TestClient, item_id: str) -> list[str]:
    response = client.post("/v1/similar", json={"item_id": item_id, "k": 3})
    return [item["item_id"] for item in response.json().get("items", [])]


def test_it_is_placed_in_every_worker_and_after_a_restart(with_vectors: Path, start: Start, tmp_path: Path) -> None:
    settings = Settings(bundle=with_vectors, store_url=new_store(tmp_path))
    places = TASTES.index("sea") * ITEMS_A_TASTE
    of_the_sea = {f"i{place}" for place in range(places, places + ITEMS_A_TASTE)} | {f"i{NEW['sea']}", "boat"}
    with start(settings) as first, start(settings) as second:
        until_ready(second)
        put(until_ready(first), {"item_id": "boat", "vector": SEA}, {"item_id": "plain"})
        until(lambda: similar(first, "boat") and similar(second, "boat"))
        assert {*similar(first, "boat"), *similar(second, "boat")} <= of_the_sea
        put(second, {"item_id": "boat", "title": "Boat"}, {"item_id": "plain", "vector": SEA})
        of_the_sea.add("plain")
        until(lambda: len(similar(first, "plain")) == 3 and {*similar(first, "plain")} <= of_the_sea)
    with start(settings) as again:
        assert set(similar(until_ready(again), "boat")) <= of_the_sea


@pytest.mark.parametrize(
    ("vector", "field", "message"),
    [
        ([1.0, 2.0], "vector", f"vector: 2 numbers, expected {LENGTH}, as the items of the bundle bring"),
        ([0.0] * LENGTH, "vector", "vector: all numbers are 0; leave the vector out, found"),
        ([1e-60] * LENGTH, "vector", "vector: all numbers are 0; leave the vector out, found"),
        ([1e13] * LENGTH, "vector.0", "less than or equal to 1000000000000"),
        ([], "vector", "at least 1 item"),
        ([1.0] * 8193, "vector", "at most 8192 items"),
        (["1"], "vector.0", "valid number"),
    ],
)
def test_another_vector_is_refused(api: TestClient, vector: list[Any], field: str, message: str) -> None:
    response = api.put("/v1/items", json={"item_id": "boat", "vector": vector})
    error = response.json()["error"]
    assert (response.status_code, error["field"]) == (422, field)
    assert message in error["message"]
    assert "\n" not in error["message"]


def test_of_many_items_the_message_names_the_one_and_nothing_is_stored(api: TestClient) -> None:
    many = [{"item_id": "first", "vector": SEA}, {"item_id": "second", "vector": SEA[:3]}]
    response = api.put("/v1/items", json=many)
    assert (response.status_code, response.json()["error"]["field"]) == (422, "1.vector")
    assert api.post("/v1/similar", json={"item_id": "first"}).status_code == 404


def test_a_bundle_without_vectors_keeps_it_for_the_training(shop: TestClient, tmp_path: Path) -> None:
    put(shop, {"item_id": "kettle", "vector": [0.1, -2]}, {"item_id": "cup", "vector": [3, 4]})
    until(lambda: shop.post("/v1/similar", json={"item_id": "kettle"}).status_code == 200)
    (tmp_path / "raw").mkdir()
    config = events.Config(url=f"sqlite:///{tmp_path}/events.sqlite")
    events.fetch(config, tmp_path / "raw", seed=0)
    found = events.tables(config, tmp_path / "raw").vectors
    assert found is not None
    assert dict(found.collect().rows()) == {"cup": [3, 4], "kettle": [pytest.approx(0.1), -2]}
    log = shop.get("/v1/audit").json()
    assert sorted(len(line["after"]["vector"]) for line in log) == [64, 64]  # a hash, however long the vector is


@pytest.mark.parametrize("vector", [[0.0, 0.0], [1e-60, 0.0], [1e-30, 0.0], [0.0, -1e-29], [1e13], [], [1.0, -2.0]])
def test_the_document_allows_the_vectors_that_are_accepted(vector: list[float]) -> None:
    type_ = TypeAdapter(Vector)
    allowed = jsonschema_rs.is_valid(type_.json_schema(), vector)
    try:
        type_.validate_python(vector)
    except ValidationError:
        assert not allowed
    else:
        assert allowed
