"""Whatever is damaged or away: what this host served last goes on, and privacy and blocks fail closed."""

import gc
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from weakref import ref

import pytest
from fastapi.testclient import TestClient

from recsys.bundle import releases
from recsys.bundle.bundle import read_manifest
from serving.last_known import LastKnown
from serving.settings import Settings
from tests.support import bundles
from tests.support.apps import new_store, until, until_ready

ASK = {"user_id": "anna", "k": 5, "options": {"explain": True}}


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(content)


def truncate(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(0)


def rewrite(path: Path) -> None:
    path.write_bytes(b"\xff" * path.stat().st_size)


def lists(client: TestClient) -> list[Any]:
    """Items with titles and reasons, without the scores: those of what is popular now change by the clock."""
    users = [*bundles.HISTORIES, "nobody"]
    answers = [client.post("/v1/recommend", json={**ASK, "user_id": user}).json()["items"] for user in users]
    answers.append(client.post("/v1/similar", json={"item_id": "kitchen-1"}).json()["items"])
    return [
        [(item["title"], item["source"], {reason["item_id"] for reason in item["reasons"]}) for item in answer]
        for answer in answers
    ]


@pytest.fixture
def settings(bundle_folder: Path, tmp_path: Path) -> Settings:
    releases.promote(bundle_folder, tmp_path / "releases")
    (tmp_path / "rules.yaml").write_text("{}")
    (tmp_path / "store").mkdir()
    return Settings(
        releases=tmp_path / "releases", store_url=new_store(tmp_path / "store"), last_known=tmp_path / "host",
        rules=tmp_path / "rules.yaml", deadline_ms=10_000, store_ms=10_000,
    )  # fmt: skip


@pytest.mark.parametrize("harm", [flip, truncate, rewrite])
def test_a_release_that_is_damaged_while_it_is_served_changes_no_answer(
    harm: Callable[[Path], None], settings: Settings, start: Any
) -> None:
    with start(settings) as client:
        until_ready(client)
        before = lists(client)
        for path in (settings.releases / client.get("/readyz").json()["bundle_id"]).rglob("*"):
            if path.is_file():
                harm(path)
        assert lists(client) == before
        client.put("/v1/items", json={"item_id": "new-lamp", "title": "kitchen lamp"})  # builds another engine
        until(lambda: "new-lamp" in str(client.post("/v1/similar", json={"item_id": "new-lamp"}).json()))
        assert lists(client)[0] == before[0]
    with start(settings) as client:  # the copy is good
        assert until_ready(client).get("/readyz").json()["last_known"] == []
        assert lists(client)[0] == before[0]


def test_all_workers_map_one_private_copy(settings: Settings, start: Any) -> None:
    with start(settings) as client:
        bundle_id = until_ready(client).get("/readyz").json()["bundle_id"]
        mapped = Path("/proc/self/maps").read_text()
        copy = settings.last_known_folder / bundle_id
        assert str(copy / "histories" / "rows.npy") in mapped
        assert str(settings.releases) not in mapped
    assert settings.last_known_folder.stat().st_mode & 0o777 == 0o700
    flip(copy / "catalogue.parquet")  # a copy that was damaged is made again
    with start(settings) as client:
        assert until_ready(client).get("/readyz").json()["last_known"] == []


@pytest.mark.parametrize("fresh_host", [False, True])
def test_a_start_with_a_damaged_current_release(
    fresh_host: bool, settings: Settings, start: Any, tmp_path: Path
) -> None:
    with start(settings) as client:
        first = until_ready(client).get("/readyz").json()["bundle_id"]
        before = lists(client)
    second = releases.promote(bundles.write(tmp_path / "other", made=bundles.vectors() * 2), settings.releases)
    flip(settings.releases / second / "models" / "als" / "vectors.npy")
    if fresh_host:
        shutil.rmtree(settings.last_known)
    else:
        flip(settings.releases / first / "models" / "als" / "vectors.npy")  # its copy is left
    with start(settings) as client:
        said = until_ready(client).get("/readyz").json()
        assert (said["bundle_id"], said["last_known"]) == (first, ["release"])
        assert "cannot be served" in said["refused"]
        assert 'recsys_last_known{part="release"} 1.0' in client.get("/metrics").text
        assert lists(client) == before
        releases.promote(tmp_path / "other", settings.releases)  # repairs it
        until(lambda: client.get("/readyz").json()["bundle_id"] == second)
        until(lambda: client.get("/readyz").json()["last_known"] == [])


def test_a_start_without_the_store(settings: Settings, start: Any, tmp_path: Path) -> None:
    with start(settings) as client:
        until_ready(client)
        client.delete("/v1/users/ben")
        client.put("/v1/items", json={"item_id": "kitchen-5", "available": False})
        until(lambda: (settings.last_known_folder / "items.json").is_file())
        until(lambda: "kitchen-5" not in str(client.post("/v1/recommend", json=ASK).json()["items"]))
        until(lambda: len(json.loads((settings.last_known_folder / "forgotten.json").read_text())["forgotten"]) == 1)
    (tmp_path / "store").rename(tmp_path / "away")
    with start(settings) as client:
        said = until_ready(client).get("/readyz").json()
        assert (said["store"], said["last_known"]) == ("out of reach", ["store"])
        anna, ben = (client.post("/v1/recommend", json={**ASK, "user_id": user}).json() for user in ("anna", "ben"))
        assert anna["meta"]["personalised_share"] > 0
        assert "kitchen-5" not in str(anna["items"])
        assert ben["meta"]["segment"] == "cold_user"
        assert not [reason for item in ben["items"] for reason in item["reasons"] if reason["kind"] == "history"]
        (tmp_path / "away").rename(tmp_path / "store")
        until(lambda: client.get("/readyz").json()["last_known"] == [])
        assert client.post("/v1/recommend", json={**ASK, "user_id": "ben"}).json()["meta"]["segment"] == "cold_user"


def test_a_first_start_without_the_store_uses_no_history(settings: Settings, start: Any, tmp_path: Path) -> None:
    (tmp_path / "store").rename(tmp_path / "away")
    with start(settings) as client:
        until(lambda: client.post("/v1/recommend", json=ASK).status_code == 200)
        assert client.get("/readyz").status_code == 503
        for user in bundles.HISTORIES:
            answer = client.post("/v1/recommend", json={**ASK, "user_id": user}).json()
            assert (answer["meta"]["segment"], answer["meta"]["failed"]) == ("cold_user", ["store"])
            assert not [reason for item in answer["items"] for reason in item["reasons"] if reason["item_id"]]
        (tmp_path / "away").rename(tmp_path / "store")
        until_ready(client)
        assert client.post("/v1/recommend", json=ASK).json()["meta"]["segment"] != "cold_user"


@pytest.mark.parametrize("text", ["", "block: [", "a: &a [1]\nb: *a\n", None])
def test_a_start_with_hostile_rules(text: str | None, settings: Settings, start: Any) -> None:
    settings.rules.write_text("block: {items: [kitchen-4]}\n")
    with start(settings) as client:
        until_ready(client)
        version = client.post("/v1/recommend", json=ASK).json()["meta"]["rules_version"]
    if text is None:
        settings.rules.unlink()
    else:
        settings.rules.write_text(text)
    with start(settings) as client:
        assert until_ready(client).get("/readyz").json()["last_known"] == ["rules"]
        answer = client.post("/v1/recommend", json={**ASK, "k": 20}).json()
        assert "kitchen-4" not in [item["item_id"] for item in answer["items"]]
        assert answer["meta"]["rules_version"] == version


def test_a_folder_of_somebody_else_is_not_used(
    settings: Settings, start: Any, caplog: pytest.LogCaptureFixture
) -> None:
    settings.last_known.mkdir()
    settings.last_known.chmod(0o777)
    with start(settings) as client:
        until_ready(client)
        assert str(settings.releases) in Path("/proc/self/maps").read_text()
    assert "other users own it or may write into it" in caplog.text


def test_a_bundle_that_nobody_uses_is_freed_without_the_garbage_collector(tmp_path: Path) -> None:
    last_known = LastKnown(Settings(last_known=tmp_path / "host"))
    gc.disable()  # an error that refers to itself would keep the frames that it passed, and the bundle in them
    try:
        bundle = last_known.bundle(bundles.write(tmp_path / "b"))
        there = ref(bundle)
        del bundle
        assert there() is None
    finally:
        gc.enable()


def test_copies_that_are_not_used_any_more_go(tmp_path: Path) -> None:
    last_known = LastKnown(Settings(last_known=tmp_path / "host"))
    folders = [bundles.write(tmp_path / f"b{at}", made=bundles.vectors() * (at + 1)) for at in range(4)]
    kept = last_known.bundle(folders[0])
    for folder in folders[1:]:
        last_known.bundle(folder)
    there = {path.name for path in last_known.path("").iterdir() if path.is_dir()}
    newest = {read_manifest(folder).bundle_id for folder in folders[2:]}
    assert there == {kept.manifest.bundle_id, *newest}
