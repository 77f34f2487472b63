"""The shadow answers the same requests, is counted, and never touches what users get."""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from serving.engine.engine import Engine
from serving.live import shadow
from serving.live.background import Background
from serving.live.list_overlap import overlap, rank_biased_overlap
from serving.settings import Settings
from tests.support import bundles
from tests.support.apps import new_store, until_ready

REQUESTS = 5


@pytest.fixture(scope="module")
def other_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same shop with another model."""
    made = np.random.default_rng(1).normal(size=(bundles.N_ITEMS, 3)).astype(np.float32)
    made[bundles.NEW] = 0
    return bundles.write(tmp_path_factory.mktemp("shadow") / "other", made=made)


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shadow, "PAUSE_SECONDS", 0.0)


@contextmanager
def shadowed(start: Any, bundle: Path, store: Path, by: Path | None) -> Iterator[TestClient]:
    with start(Settings(bundle=bundle, shadow_bundle=by, store_url=new_store(store))) as client:
        yield until_ready(client)


def figures(client: TestClient) -> dict[str, float]:
    """Everything that /metrics says of the shadow."""
    found = re.findall(r"^(recsys_shadow_\S+) (\S+)$", client.get("/metrics").text, re.MULTILINE)
    return {name: float(value) for name, value in found if "_bucket" not in name and "_created" not in name}


def counted(before: dict[str, float], after: dict[str, float]) -> dict[str, float]:
    return {name: after[name] - before.get(name, 0.0) for name in after if after[name] != before.get(name, 0.0)}


def background(client: TestClient) -> Background:
    found: Background = client.app.state.service._background  # type: ignore[attr-defined]
    return found


def loaded(client: TestClient) -> None:
    deadline = time.monotonic() + 60
    running = background(client).shadow
    while running is None or running._engine is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def ask(client: TestClient) -> list[list[str]]:
    """Known users, and the lists that they got."""
    lists = []
    for user_id in ["anna", "ben", "both", "only new", "żółw/🐢"][:REQUESTS]:
        answer = client.post("/v1/recommend", json={"user_id": user_id, "k": 5}).json()
        assert not answer["meta"]["degraded"]
        lists.append([item["item_id"] for item in answer["items"]])
    return lists


def until(client: TestClient, before: dict[str, float], name: str, count: int) -> dict[str, float]:
    deadline = time.monotonic() + 60
    while (now := counted(before, figures(client))).get(name, 0) < count:
        assert time.monotonic() < deadline, now
        time.sleep(0.01)
    return now


@pytest.mark.parametrize("same", [True, False])
def test_agreement_and_time_are_counted_and_users_get_what_they_got_without(
    start: Any, bundle_folder: Path, other_folder: Path, tmp_path_factory: pytest.TempPathFactory, same: bool
) -> None:
    with shadowed(start, bundle_folder, tmp_path_factory.mktemp("alone"), None) as client:
        alone = ask(client)
    by = bundle_folder if same else other_folder
    with shadowed(start, bundle_folder, tmp_path_factory.mktemp("shadowed"), by) as client:
        loaded(client)
        before = figures(client)
        assert ask(client) == alone
        now = until(client, before, "recsys_shadow_rbo_count", REQUESTS)
    assert now['recsys_shadow_requests_total{outcome="answered"}'] == REQUESTS
    assert now["recsys_shadow_overlap_count"] == now["recsys_shadow_seconds_count"] == REQUESTS
    assert now["recsys_shadow_seconds_sum"] > 0
    agreement = now.get("recsys_shadow_overlap_sum", 0.0), now.get("recsys_shadow_rbo_sum", 0.0)
    assert agreement == (REQUESTS, REQUESTS) if same else max(agreement) < REQUESTS


def test_a_shadow_that_fails_is_counted_and_nothing_else(
    start: Any, bundle_folder: Path, other_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with shadowed(start, bundle_folder, tmp_path, other_folder) as client:
        loaded(client)
        before, recommend = figures(client), Engine.recommend

        def broken(self: Engine, *args: Any) -> Any:
            running = background(client).shadow
            if running is not None and self is running._engine:
                raise RuntimeError("broken on purpose")
            return recommend(self, *args)

        monkeypatch.setattr(Engine, "recommend", broken)
        assert len(ask(client)) == REQUESTS
        now = until(client, before, 'recsys_shadow_requests_total{outcome="failed"}', REQUESTS)
    assert set(now) == {'recsys_shadow_requests_total{outcome="failed"}'}


def test_no_more_wait_than_there_is_room_for_and_none_under_load(
    start: Any, bundle_folder: Path, other_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shadow, "PAUSE_SECONDS", 3600.0)
    with shadowed(start, bundle_folder, tmp_path, other_folder) as client:
        loaded(client)
        before = figures(client)
        for _ in range(shadow.ROOM // REQUESTS + 2):
            ask(client)
        left_out = 'recsys_shadow_requests_total{outcome="left_out"}'
        assert 0 < counted(before, figures(client))[left_out] <= 2 * REQUESTS
        running = background(client).shadow
        assert running is not None
        assert running._waiting.qsize() == shadow.ROOM


def test_a_bundle_that_cannot_be_used_leaves_users_alone(
    start: Any, bundle_folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "none").mkdir()
    with shadowed(start, bundle_folder, tmp_path, tmp_path / "none") as client:
        assert len(ask(client)) == REQUESTS
        deadline = time.monotonic() + 60
        while "the shadow bundle cannot be loaded" not in caplog.text:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert len(ask(client)) == REQUESTS
        assert client.get("/readyz").status_code == 200


def test_agreement_by_hand() -> None:
    assert overlap([], []) == rank_biased_overlap([], []) == 1.0
    assert overlap("abc", "ab") == pytest.approx(2 / 3)
    # X = 0, 2 of 2: 2/2 * p^2 + (1 - p) / p * (0 + 2/2 * p^2)
    assert rank_biased_overlap("ab", "ba", p=0.5) == pytest.approx(0.25 + 0.25)
    assert rank_biased_overlap("abcdefghij", "bacdefghij") < rank_biased_overlap("abcdefghij", "abcdefghji")
