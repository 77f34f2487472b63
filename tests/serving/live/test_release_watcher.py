"""Alive at once, ready when there is a bundle that can be trusted, on the current release, clear about why not."""

import asyncio
import gc
import json
import logging
import shutil
import time
import weakref
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from recsys.bundle import bundle, releases, signing
from recsys.bundle.bundle import MANIFEST, SIGNATURE, Bundle
from recsys.output import described_files
from serving.app import create_app
from serving.engine.engine import Engine
from serving.last_known import LastKnown
from serving.live import release_watcher
from serving.live.release_watcher import ReleaseWatcher
from serving.settings import Settings
from tests.support import apps, bundles
from tests.support.apps import new_store, until_ready


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(release_watcher, "RETRY_SECONDS", 0.01)
    monkeypatch.setattr(release_watcher, "POLL_SECONDS", 0.01)


@pytest.fixture(scope="module")
def other_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another bundle of the same shop."""
    return bundles.write(tmp_path_factory.mktemp("live") / "other", made=bundles.vectors() * 2)


@pytest.fixture(scope="module")
def failing_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle whose files are what the manifest says, and whose model answers nonsense."""
    folder = bundles.write(tmp_path_factory.mktemp("live") / "failing")
    np.save(folder / "models" / "als" / "gram.npy", np.full((3, 3), np.nan, dtype=np.float32))
    content = json.loads((folder / MANIFEST).read_text())
    content["files"] = [file for file in described_files(folder) if file["path"] != MANIFEST]
    content["bundle_id"] = bundle._digest(content)
    (folder / MANIFEST).write_text(json.dumps(content))
    return folder


def until(client: TestClient, done: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    deadline = time.monotonic() + 60
    while not done(body := client.get("/readyz").json()):
        assert time.monotonic() < deadline, body
        time.sleep(0.01)
    return body


NOT_LOADED = "no bundle is loaded yet; the log says why"  # and no path, host or person: everybody may ask


def logged(caplog: pytest.LogCaptureFixture, text: str) -> None:
    deadline = time.monotonic() + 60
    while text not in caplog.text:
        assert time.monotonic() < deadline, caplog.text
        time.sleep(0.01)


def reason(body: dict[str, Any]) -> str:
    return str(body.get("error", {}).get("message"))


def test_not_ready_until_something_is_released(
    start: Any, bundle_folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "releases"
    with caplog.at_level(logging.ERROR), start(Settings(releases=folder)) as client:
        until(client, lambda body: reason(body) == NOT_LOADED)
        logged(caplog, "nothing was promoted yet; run `recsys releases promote bundle`")
        assert client.get("/healthz").json() == {"status": "alive"}
        assert client.get("/readyz").status_code == 503
        for response in (
            client.post("/v1/recommend", json={}),
            client.get("/v1/recommend/anna"),
            client.post("/v1/similar", json={"item_id": "a"}),
            client.get("/v1/about"),
        ):
            assert (response.status_code, response.headers["retry-after"]) == (503, "1")
            assert response.json()["error"]["code"] == "not_ready"
            assert response.json()["error"]["message"] == NOT_LOADED
        bundle_id = releases.promote(bundle_folder, folder)
        assert until(client, lambda body: "error" not in body)["bundle_id"] == bundle_id
        assert client.get("/v1/recommend/anna").json()["meta"]["bundle_id"] == bundle_id


def test_an_altered_bundle_is_never_served(
    start: Any, bundle_folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copytree(bundle_folder, tmp_path / "bundle")
    with (tmp_path / "bundle" / "catalogue.parquet").open("ab") as file:
        file.write(b"!")
    with caplog.at_level(logging.ERROR), start(Settings(bundle=tmp_path / "bundle")) as client:
        logged(caplog, "catalogue.parquet: sha256 is")
        assert reason(client.get("/readyz").json()) == NOT_LOADED
        time.sleep(0.1)  # some more tries
        assert client.post("/v1/recommend", json={}).status_code == 503
    assert sum("no bundle is served" in message for message in caplog.messages) == 1


def test_an_error_nobody_expected_is_logged_and_not_shown(
    start: Any, bundle_folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("the password is hunter2")

    monkeypatch.setattr("recsys.bundle.releases.load", fail)
    with caplog.at_level(logging.ERROR), start(Settings(bundle=bundle_folder)) as client:
        logged(caplog, "the bundle cannot be opened; the log says why")
        assert reason(client.get("/readyz").json()) == NOT_LOADED
        time.sleep(0.1)
    assert caplog.text.count("RuntimeError: the password is hunter2") == 1


# ---- one release after another


def engine_of(bundle: Bundle) -> Engine:
    return Engine(bundle, "0")


@asynccontextmanager
async def following(settings: Settings) -> AsyncIterator[ReleaseWatcher]:
    served = ReleaseWatcher(settings, engine_of, LastKnown(settings))
    task = asyncio.create_task(served.follow())
    yield served
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def serves(served: ReleaseWatcher, bundle_id: str) -> None:
    async with asyncio.timeout(20):
        while served.engine is None or served.engine.bundle.manifest.bundle_id != bundle_id or served.reason:
            await asyncio.sleep(0.005)


async def says(served: ReleaseWatcher, text: str) -> None:
    async with asyncio.timeout(20):
        while text not in served.reason:
            await asyncio.sleep(0.005)


def test_a_promotion_and_a_rollback_are_followed_and_old_engines_freed(
    bundle_folder: Path, other_folder: Path, tmp_path: Path
) -> None:
    async def story() -> None:
        first = releases.promote(bundle_folder, tmp_path)
        async with following(Settings(releases=tmp_path)) as served:
            await serves(served, first)
            old = weakref.ref(served.engine)
            request = served.engine  # a request that began before the swap
            await serves(served, releases.promote(other_folder, tmp_path))
            gc.collect()
            assert old() is request
            assert request is not None
            assert request.bundle.manifest.bundle_id == first
            del request
            gc.collect()
            assert old() is None
            await serves(served, releases.rollback(tmp_path))
            assert served.engine is not None
            assert served.engine.bundle.manifest.bundle_id == first

    asyncio.run(story())


def test_no_background_task_keeps_the_release_before(bundle_folder: Path, other_folder: Path, tmp_path: Path) -> None:
    """As the one that reads events did, for 30 seconds: two releases take twice the memory."""
    home = tmp_path / "releases"
    releases.promote(bundle_folder, home)
    settings = Settings(releases=home, store_url=new_store(tmp_path), live_seconds=3600)
    with TestClient(create_app(settings)) as client:
        background = until_ready(client).app.state.service._background  # type: ignore[attr-defined]
        apps.until(lambda: background.feed._read_at)
        old = weakref.ref(background.live.engine)
        second = releases.promote(other_folder, home)
        until(client, lambda body: body.get("bundle_id") == second)
        apps.until(lambda: gc.collect() >= 0 and old() is None)


def test_a_bundle_that_fails_stays_out_and_the_old_one_goes_on(
    bundle_folder: Path, failing_folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def story() -> None:
        first = releases.promote(bundle_folder, tmp_path)
        async with following(Settings(releases=tmp_path)) as served:
            await serves(served, first)
            old = served.engine
            releases.promote(failing_folder, tmp_path)
            await says(served, "gram.npy: its values are from nan to nan")
            await asyncio.sleep(0.1)  # some more tries
            assert served.engine is old
            releases.rollback(tmp_path)
            await serves(served, first)
            assert served.engine is old

    with caplog.at_level(logging.ERROR):
        asyncio.run(story())
    said = f"bundle {releases.current(tmp_path).name} is still served: "
    assert sum(said in message for message in caplog.messages) == 1


def test_a_half_written_release_stays_out_until_it_is_complete(
    bundle_folder: Path, other_folder: Path, tmp_path: Path
) -> None:
    async def story() -> None:
        first = releases.promote(bundle_folder, tmp_path)
        second = releases.promote(other_folder, tmp_path)
        releases.rollback(tmp_path)
        async with following(Settings(releases=tmp_path)) as served:
            await serves(served, first)
            vectors = tmp_path / second / "models" / "als" / "vectors.npy"
            whole = vectors.read_bytes()
            state = json.loads((tmp_path / releases.STATE).read_text())
            vectors.write_bytes(whole[:50])
            state["stack"] = [first, second]
            (tmp_path / releases.STATE).write_text(json.dumps(state))
            await says(served, "vectors.npy: sha256 is")
            vectors.write_bytes(whole)
            await serves(served, second)

    asyncio.run(story())


def test_only_a_signed_release_is_served_when_there_is_a_key(
    bundle_folder: Path, other_folder: Path, tmp_path: Path
) -> None:
    async def story() -> None:
        public = signing.keygen(tmp_path / "key.pem")
        signed = Path(shutil.copytree(bundle_folder, tmp_path / "signed"))
        signing.sign(signed / MANIFEST, signed / SIGNATURE, tmp_path / "key.pem")
        folder = tmp_path / "releases"
        first = releases.promote(signed, folder, public)
        async with following(Settings(releases=folder, public_key=public)) as served:
            await serves(served, first)
            releases.promote(other_folder, folder)  # by someone without the key
            await says(served, "signature.json: missing")
            assert served.engine is not None
            assert served.engine.bundle.manifest.bundle_id == first

    asyncio.run(story())


def test_tries_become_rarer_while_another_bundle_serves(
    bundle_folder: Path, other_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []

    async def wait(_: ReleaseWatcher, __: Any, seconds: float) -> bool:
        waits.append(seconds)
        if len(waits) == 1:  # the first bundle serves
            second = releases.promote(other_folder, tmp_path)
            (tmp_path / second / MANIFEST).unlink()
        if len(waits) == 12:
            raise asyncio.CancelledError
        return len(waits) == 1

    monkeypatch.setattr(ReleaseWatcher, "_changed", wait)
    monkeypatch.setattr(release_watcher, "RETRY_SECONDS", 2.0)
    releases.promote(bundle_folder, tmp_path)
    settings = Settings(releases=tmp_path)
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(ReleaseWatcher(settings, engine_of, LastKnown(settings)).follow())
    assert waits == [float("inf"), 2, 4, 8, 16, 32, 60, 60, 60, 60, 60, 60]
