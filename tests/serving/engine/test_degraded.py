"""Whatever breaks, a client gets a full answer with nothing forbidden in it, and is told what it was made without."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from recsys.sources.nearest import Nearest
from recsys.sources.popular import Popular
from serving.live.background import Background
from serving.middleware.load_shedding import Load
from serving.middleware.shares import NO_KEY
from serving.settings import Settings
from serving.stores.protocol import StoreError
from tests.support import bundles
from tests.support.apps import new_store, until, until_ready

FORBIDDEN = {bundles.ITEM_IDS[row] for row in (*bundles.HISTORIES["anna"], bundles.SOLD_OUT)}


@pytest.fixture
def shop(start: Any, bundle_folder: Path, tmp_path: Path) -> Iterator[TestClient]:
    """A server of its own: what is broken in one test stays out of the others."""
    with start(Settings(bundle=bundle_folder, store_url=new_store(tmp_path), shed_requests=5)) as ready:
        yield until_ready(ready)


def background(client: TestClient) -> Background:
    found: Background = client.app.state.service._background  # type: ignore[attr-defined]
    return found


def ask(client: TestClient, body: dict[str, Any] | None = None) -> dict[str, Any]:
    response = client.post("/v1/recommend", json={"user_id": "anna", "k": 5, **(body or {})})
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    ids = [item["item_id"] for item in answer["items"]]
    assert len(set(ids)) == 5
    assert not set(ids) & FORBIDDEN
    return answer


def broken(*_: Any) -> Any:
    raise RuntimeError("broken on purpose")


def test_nothing_is_broken(shop: TestClient) -> None:
    meta = ask(shop)["meta"]
    assert (meta["degraded"], meta["failed"], meta["fallback_reason"]) == (False, [], None)


def test_a_source_that_raises(shop: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Nearest, "propose", broken)
    for _ in range(10):
        meta = ask(shop)["meta"]
        assert (meta["degraded"], meta["failed"], meta["fallback_reason"]) == (True, ["source als"], "part_failed")
    assert not background(shop).breakers.of("source als").closed
    monkeypatch.setattr(Popular, "propose", broken)
    assert {item["source"] for item in ask(shop)["items"]} == {"static"}


def test_a_source_that_is_slow(shop: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is waited for a few times, then no request waits for it any more, and it is back when it is well."""
    propose, callers = Nearest.propose, set[int]()

    def slow(*args: Any) -> Any:
        callers.add(threading.get_ident())
        time.sleep(0.06)  # more than half of the deadline
        return propose(*args)

    with monkeypatch.context() as patch:
        patch.setattr(Nearest, "propose", slow)
        waited = 0
        while not (meta := ask(shop)["meta"])["degraded"]:
            waited += 1
        assert 2 <= waited <= 5
        assert meta["failed"] == ["source als"]
        (answers,) = callers
        callers.clear()
        until(lambda: ask(shop)["meta"]["degraded"] and callers)
        assert answers not in callers
    until(lambda: not ask(shop)["meta"]["degraded"])


def test_a_store_that_fails(shop: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fails(*_: Any) -> None:
        raise StoreError("the disk is gone")

    store = background(shop).store
    assert store is not None
    for name in ("read", "write"):
        monkeypatch.setattr(store.database, name, fails)
    for _ in range(10):
        answer = ask(shop)
        assert (answer["meta"]["degraded"], answer["meta"]["failed"]) == (True, ["store"])
        assert {item["source"] for item in answer["items"]} == {"als"}
    event = {"event_id": "e1", "user_id": "anna", "item_id": "kitchen-5", "event": "view"}
    response = shop.post("/v1/events", json=event)
    assert (response.status_code, response.headers["retry-after"]) == (503, "1")
    assert shop.get("/readyz").json()["store"] == "out of reach"
    monkeypatch.undo()
    deadline = time.monotonic() + 30
    while shop.post("/v1/events", json=event).status_code != 200 or ask(shop)["meta"]["degraded"]:
        assert time.monotonic() < deadline
        time.sleep(0.02)  # the breakers try after a second


def test_reasons_that_fail(shop: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = {"options": {"explain": True}}
    assert all(item["reasons"] for item in ask(shop, wanted)["items"])
    monkeypatch.setattr("recsys.recommend.explanations.explain", broken)
    answer = ask(shop, wanted)
    assert (answer["meta"]["failed"], answer["meta"]["fallback_reason"]) == (["reasons"], None)
    assert not any(item["reasons"] for item in answer["items"])


def test_no_time(start: Any, bundle_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Load, "_above", lambda *_: False)  # or else a worker so far behind its deadline answers cheaply
    with start(Settings(bundle=bundle_folder, deadline_ms=1e-6)) as client:
        meta = ask(until_ready(client))["meta"]
    assert (meta["degraded"], meta["fallback_reason"]) == (True, "deadline")
    assert {"encoder als", "source als"} <= set(meta["failed"])


def test_too_many_requests_at_once_make_answers_cheap_and_then_are_refused(shop: TestClient) -> None:
    load = background(shop).load
    load.requests.add(NO_KEY, 5)  # and the one that is asked now
    answer = ask(shop)
    assert (answer["meta"]["fallback_reason"], answer["meta"]["degraded"]) == ("shed", True)
    assert {item["source"] for item in answer["items"]} == {"popular"}
    similar = shop.post("/v1/similar", json={"item_id": "kitchen-1", "k": 5}).json()
    assert (similar["meta"]["fallback_reason"], len(similar["items"])) == ("shed", 5)
    load.requests.add(NO_KEY, 46)
    response = shop.post("/v1/recommend", json={})
    assert (response.status_code, response.headers["retry-after"]) == (503, "1")
    assert "the worker is overloaded" in response.json()["error"]["message"]
    assert shop.get("/readyz").status_code == 200
    load.requests.add(NO_KEY, -51)
    assert ask(shop)["meta"]["fallback_reason"] is None
