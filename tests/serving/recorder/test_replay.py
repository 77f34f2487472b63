"""A recorded answer is computed again, whatever happened since; what cannot be replayed is said."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from fastapi.testclient import TestClient

from recsys.bundle import releases
from serving.recorder.replay import Replay, Replays
from serving.settings import Settings
from serving.stores import open_store
from tests.support import bundles
from tests.support.apps import Start, new_store, until, until_ready

RULES = ("boost:\n  - {filter: 'category = \"garden\"', factor: 3}\n", "block: {items: [kitchen-4]}\ndiversity: 0.4\n")
EXPERIMENT = """experiments:
  home:
    arms:
      plain: {variant: als, weight: 0.34}
      random: {variant: als, weight: 0.33, explore: {epsilon: 0.5, places: 3}}
      dealt: {variant: als, weight: 0.33, interleave: popular}
"""
ASKED: list[dict[str, Any]] = [
    {"user_id": "anna"},
    {"user_id": "ben", "k": 5, "variant": "mixed", "options": {"seed": 7}},
    {"anonymous_id": "cookie", "variant": "popular"},
    {"user_id": "stranger", "categories": ["garden"], "variant": "newcomers"},
    {"session": [{"item_id": "kitchen-1"}, {"item_id": "garden-12", "event": "purchase"}], "variant": "als_recent"},
    {"user_id": "anna", "exclude_ids": ["kitchen-5"], "filter": 'category = "kitchen"', "surface": "home"},
    {"user_id": "ben", "candidates": ["garden-15", "kitchen-3", "garden-14"], "variant": "covisit"},
    *({"user_id": f"guest-{number}", "session": [{"item_id": "garden-11"}]} for number in range(6)),
]


@pytest.fixture
def settings(bundle_folder: Path, tmp_path: Path) -> Settings:
    """Two releases, the first is current; rules, experiments, and a store of its own."""
    changed = bundles.catalogue().with_columns(title=pl.lit("Second ") + pl.col("title"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bundles, "catalogue", lambda: changed)
        second = bundles.write(tmp_path / "second", made=bundles.vectors()[::-1].copy())
    folder = tmp_path / "releases"
    for bundle in (second, bundle_folder):
        releases.promote(bundle, folder)
    (tmp_path / "rules.yaml").write_text(RULES[0])
    (tmp_path / "experiments.yaml").write_text(EXPERIMENT)
    return Settings(
        releases=folder, store_url=new_store(tmp_path), rules=tmp_path / "rules.yaml", live_seconds=0.2,
        experiments=tmp_path / "experiments.yaml", history_events=4, deadline_ms=1e5, store_ms=1e4,
        cache_url="memory",
    )  # fmt: skip


def replayed(settings: Settings, *request_ids: str) -> list[Replay]:
    async def run() -> list[Replay]:
        store = await open_store(settings.store_url)
        try:
            replays = Replays(store, settings)
            return [await replays.replay(request_id) for request_id in request_ids]
        finally:
            await store.close()

    return asyncio.run(run())


def ask(client: TestClient, asked: list[dict[str, Any]] = ASKED) -> dict[str, list[str]]:
    """Answers by request_id; returns when all are recorded."""
    answers = [client.post("/v1/recommend", json=each).json() for each in asked]
    paged = client.post("/v1/recommend", json={**asked[0], "cursor": answers[0]["next_cursor"]}).json()
    ranked = client.post("/v1/rank", json={"user_id": "anna", "candidates": bundles.ITEM_IDS}).json()
    found = {each["request_id"]: [item["item_id"] for item in each["items"]] for each in (*answers, paged, ranked)}
    until(lambda: waiting(client) == 0)
    return found


def waiting(client: TestClient) -> int:
    return len(client.app.state.service._background.exposures._queue)  # type: ignore[attr-defined]


def post(client: TestClient, path: str, body: Any, put: bool = False) -> None:
    response = (client.put if put else client.post)(path, json=body)
    assert response.status_code == 200, response.text


def happen(client: TestClient, number: int) -> None:
    """Events of several people, a merge, a new item, another price, and an item that sells out."""
    events = [
        {"user_id": f"liker-{number}-{who}", "item_id": item, "event": "purchase"}
        for who in range(4)
        for item in ("garden-17", f"only-events-{number}")
    ]
    events += [{"anonymous_id": "cookie", "item_id": item, "event": "view"} for item in ("kitchen-7", "garden-13")]
    events += [{"user_id": "anna", "item_id": f"garden-1{at}", "event": "view"} for at in range(4 + number)]
    post(client, "/v1/events", events)
    post(client, "/v1/identity/merge", {"anonymous_id": "cookie", "user_id": "ben"})
    post(client, "/v1/items", [
        {"item_id": f"zz-new-{number}", "title": "a new pan", "categories": ["kitchen"]},
        {"item_id": f"aa-new-{number}", "title": "a new rake", "categories": ["garden"], "price": 3},
        {"item_id": "garden-15", "price": 10.0 + number},
    ], put=True)  # fmt: skip
    post(client, "/v1/items", {"item_id": f"kitchen-{number + 5}", "available": False}, put=True)


def watcher(client: TestClient) -> Any:
    return client.app.state.service._background  # type: ignore[attr-defined]


def seen_by_all(client: TestClient, number: int) -> Callable[[], bool]:
    def done() -> bool:
        background = watcher(client)
        engine = background.live.engine
        return engine.knows(f"zz-new-{number}") and engine.knows(f"only-events-{number}") and engine.live is not None

    return done


def test_what_was_answered_is_answered_again(settings: Settings, start: Start) -> None:
    answers: dict[str, list[str]] = {}
    first, second = (entry.bundle_id for entry in reversed(releases.read(settings.releases).log))
    with start(settings) as client:
        until_ready(client)
        answers |= ask(client)
        happen(client, 0)
        until(seen_by_all(client, 0))
        answers |= ask(client)
        settings.rules.write_text(RULES[1])
        before = watcher(client).rules.version
        until(lambda: watcher(client).rules.version != before)
        answers |= ask(client)
    with start(settings) as client:  # a restart, another release, and all the rest once more
        until_ready(client)
        releases.rollback(settings.releases)
        until(lambda: client.get("/v1/about").json()["bundle_id"] == second)
        happen(client, 1)
        until(seen_by_all(client, 1))
        answers |= ask(client)
    found = replayed(settings, *answers)
    assert {each.bundle_id for each in found} == {first, second}
    assert len({tuple(each.recorded) for each in found}) > len(found) / 2, "what happens changes the lists"
    for each in found:
        assert each.unavailable is None
        assert [item.item_id for item in each.replayed] == list(each.recorded) == answers[each.request_id]
        assert each.identical


def test_the_command_says_why(settings: Settings, start: Start, root: Path) -> None:
    with start(settings) as client:
        until_ready(client)
        request_id, shown = next(iter(ask(client).items()))

    def why(asked: str) -> "subprocess.CompletedProcess[str]":
        known = {"RECSYS_RELEASES": str(settings.releases), "RECSYS_STORE_URL": settings.store_url}
        command = [sys.executable, "-m", "recsys.cli", "why", asked]
        return subprocess.run(
            command, cwd=root, env={**os.environ, **known}, capture_output=True, text=True, check=False
        )

    done = why(request_id)
    first, *places, last = done.stdout.splitlines()
    assert (done.returncode, done.stderr) == (0, "")
    assert "anna  variant als" in first
    assert all(
        place.startswith(f"{n:>3}  {item} ") for n, (item, place) in enumerate(zip(shown, places, strict=True), 1)
    )
    assert all("score" in place and "confidence" in place for place in places)
    assert last == f"the replay has the same {len(shown)} items in the same places as the answer had"
    never = why("never")
    assert (never.returncode, never.stdout) == (1, "")
    assert never.stderr.startswith("error: never: the store has no answer with this request_id")
    assert never.stderr.count("\n") == 1


def test_what_is_gone_is_said(settings: Settings, start: Start) -> None:
    with start(settings) as client:
        until_ready(client)
        forgotten, kept, *_ = ask(client)
        assert client.delete("/v1/users/anna").status_code == 200
    gone, there, never = replayed(settings, forgotten, kept, "never")
    assert "its user was forgotten" in str(gone.unavailable)
    assert "the id is wrong" in str(never.unavailable)
    assert there.identical
    assert any(item.reasons for item in there.replayed)
    elsewhere = settings.model_copy(update={"releases": settings.releases / "moved"})
    assert "is not in" in str(replayed(elsewhere, kept)[0].unavailable)
