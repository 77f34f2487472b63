"""A guest who logs in is one with the user; a user who is forgotten is found nowhere."""

import time
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from serving.settings import Settings
from tests.support.apps import Start, new_store, until, until_ready

GUEST = {"anonymous_id": "cookie-1"}


def kinds(client: TestClient, **body: object) -> set[str]:
    answer = client.post("/v1/recommend", json={"k": 4, **body}).json()
    return {item["item_id"].partition("-")[0] for item in answer["items"]}


def test_what_a_guest_did_is_the_users_after_the_login(shop: TestClient) -> None:
    shop.post("/v1/events", json={**GUEST, "item_id": "garden-10", "event": "purchase"})
    assert kinds(shop, **GUEST) == {"garden"}
    assert shop.post("/v1/recommend", json={"user_id": "zoe"}).json()["meta"]["segment"] == "cold_user"
    answer = shop.post("/v1/identity/merge", json={**GUEST, "user_id": "zoe"})
    assert (answer.status_code, answer.json()) == (200, {"events": 1})
    assert kinds(shop, user_id="zoe") == {"garden"}
    shop.post("/v1/events", json={**GUEST, "item_id": "garden-11", "event": "view"})
    ids = [item["item_id"] for item in shop.post("/v1/recommend", json={"user_id": "zoe", "k": 20}).json()["items"]]
    assert not {"garden-10", "garden-11"} & set(ids)


def test_a_forgotten_user_is_found_in_no_file_and_no_answer(start: Start, bundle_folder: Path, tmp_path: Path) -> None:
    settings = Settings(bundle=bundle_folder, store_url=new_store(tmp_path), cache_url="memory")
    with start(settings) as first, start(settings) as second:
        until_ready(first)
        until_ready(second)
        first.post("/v1/events", json={"user_id": "anna", "item_id": "kitchen-5", "event": "purchase"})
        first.post("/v1/events", json={"user_id": "anna", "item_id": "kitchen-5", "event": "no such event"})
        first.post("/v1/events", json={"user_id": "ben", "item_id": "garden-14", "event": "purchase"})
        assert kinds(first, user_id="anna") == kinds(second, user_id="anna") == {"kitchen"}
        until(lambda: b"anna" in stored(tmp_path))
        answer = first.delete("/v1/users/anna")
        assert answer.status_code == 200
        assert answer.json()["deleted"]["events"] == 1
        time.sleep(0.3)  # exposures on their way are written meanwhile, if not left out
        assert b"anna" not in stored(tmp_path)
        assert first.post("/v1/recommend", json={"user_id": "anna"}).json()["meta"]["fallback_reason"] == "no_history"
        until(lambda: second.post("/v1/recommend", json={"user_id": "anna"}).json()["meta"]["segment"] == "cold_user")
        assert kinds(second, user_id="ben") == {"garden"}
        assert first.delete("/v1/users/anna").status_code == 200  # and once more
        assert first.delete("/v1/users/somebody/else").json()["deleted"]["events"] == 0


def test_the_worker_that_forgets_does_so_at_once(
    start: Start, bundle_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serving.live.store_watcher.POLL_SECONDS", 60)
    with start(Settings(bundle=bundle_folder, store_url=new_store(tmp_path))) as client:
        until_ready(client).delete("/v1/users/anna")
        assert client.post("/v1/recommend", json={"user_id": "anna"}).json()["meta"]["fallback_reason"] == "no_history"


def test_a_guest_is_forgotten_and_explains_no_answer(shop: TestClient, tmp_path: Path) -> None:
    shop.post("/v1/events", json={**GUEST, "item_id": "garden-10", "event": "purchase"})
    body = {**GUEST, "options": {"explain": True}}
    assert "garden-10" in shop.post("/v1/recommend", json=body).text
    until(lambda: b"cookie-1" in stored(tmp_path))
    time.sleep(0.3)  # exposures on their way
    assert shop.delete("/v1/users/cookie-1").json()["deleted"]["events"] == 1
    answer = shop.post("/v1/recommend", json=body).json()
    assert answer["meta"]["segment"] == "cold_user"
    assert all(reason["item_id"] != "garden-10" for item in answer["items"] for reason in item["reasons"])


def test_a_merge_with_the_wrong_user_is_undone(shop: TestClient) -> None:
    shop.post("/v1/events", json={**GUEST, "item_id": "garden-10", "event": "purchase"})
    shop.post("/v1/identity/merge", json={**GUEST, "user_id": "mallory"})
    assert kinds(shop, user_id="mallory") == {"garden"}
    assert shop.post("/v1/identity/unmerge", json=GUEST).json() == {"events": 1}
    assert shop.post("/v1/recommend", json={"user_id": "mallory"}).json()["meta"]["segment"] == "cold_user"
    assert kinds(shop, **GUEST) == {"garden"}
    assert shop.post("/v1/identity/unmerge", json=GUEST).status_code == 404


def stored(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.iterdir() if path.is_file())
