"""Alive at once, ready when there is a bundle that can be trusted, and clear about why not."""

import logging
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from recsys import releases
from serving import live
from serving.settings import Settings


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "RETRY_SECONDS", 0.01)


def until(client: TestClient, done: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    deadline = time.monotonic() + 60
    while not done(body := client.get("/readyz").json()):
        assert time.monotonic() < deadline, body
        time.sleep(0.01)
    return body


def reason(body: dict[str, Any]) -> str:
    return str(body.get("error", {}).get("message"))


def test_not_ready_until_something_is_released(start: Any, bundle_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "releases"
    with start(Settings(releases=folder)) as client:
        until(client, lambda body: "nothing was promoted yet; run `recsys releases promote bundle`" in reason(body))
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
            assert response.json()["error"]["message"] == "no bundle is loaded yet; /readyz says why"
        bundle_id = releases.promote(bundle_folder, folder)
        assert until(client, lambda body: "error" not in body) == {"status": "ready", "bundle_id": bundle_id}
        assert client.get("/v1/recommend/anna").json()["meta"]["bundle_id"] == bundle_id


def test_an_altered_bundle_is_never_served(
    start: Any, bundle_folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copytree(bundle_folder, tmp_path / "bundle")
    with (tmp_path / "bundle" / "catalogue.parquet").open("ab") as file:
        file.write(b"!")
    with caplog.at_level(logging.ERROR), start(Settings(bundle=tmp_path / "bundle")) as client:
        until(client, lambda body: "catalogue.parquet: sha256 is" in reason(body))
        time.sleep(0.1)  # some more tries
        assert client.post("/v1/recommend", json={}).status_code == 503
    assert sum("not ready" in message for message in caplog.messages) == 1


def test_an_error_nobody_expected_is_logged_and_not_shown(
    start: Any, bundle_folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_: Path) -> None:
        raise RuntimeError("the password is hunter2")

    monkeypatch.setattr("recsys.bundle.load", fail)
    with caplog.at_level(logging.ERROR), start(Settings(bundle=bundle_folder)) as client:
        until(client, lambda body: reason(body) == "the bundle cannot be opened; the log says why")
        time.sleep(0.1)
    assert caplog.text.count("RuntimeError: the password is hunter2") == 1


def test_settings_come_from_the_environment() -> None:
    assert Settings.from_environment({}) == Settings(Path("releases"), None)
    assert Settings.from_environment({"RECSYS_BUNDLE": "b", "RECSYS_RELEASES": ""}).bundle == Path("b")
