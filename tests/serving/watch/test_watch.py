"""The watcher beside a real API: who leads, what it finds, and what it does about it."""

import json
import random
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient
from prometheus_client import REGISTRY

from benchmarks.simulator.scrambled import personal, reseal, scramble
from benchmarks.stores.servers import Postgres
from recsys.bundle import bundle, releases
from recsys.bundle.bundle import MANIFEST
from recsys.bundle.histories import Histories
from recsys.drift import policies, recorded
from recsys.errors import ParamsError
from recsys.experiments.online.assignment import in_canary
from serving.settings import Settings
from serving.stores.migrations import migrate
from serving.watch import actions, cycle
from serving.watch.__main__ import check_once
from serving.watch.cycle import DELAY_S, Finding, Watcher
from tests.support.apps import Start, new_store, until, until_ready

NOTHING = policies.Policies()


@pytest.fixture(scope="module")
def released(pipeline: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return personal(pipeline / "bundle", tmp_path_factory.mktemp("released") / "bundle")


@pytest.fixture
def folder(tmp_path: Path, released: Path) -> Path:
    releases.promote(released, tmp_path / "releases")
    return tmp_path / "releases"


@pytest.fixture
def store(tmp_path: Path) -> str:
    return new_store(tmp_path)


@pytest.fixture
def api(folder: Path, store: str, start: Start) -> Iterator[TestClient]:
    with start(Settings(releases=folder, store_url=store)) as client:
        yield until_ready(client)


def ask(api: TestClient, released: Path, n: int, clicks: float = 0.2) -> None:
    """Requests of users of the bundle, some of whom click on the first item."""
    known, chance = Histories(released / "histories").users, random.Random(n)
    for at in range(n):
        user = known.external_id(chance.randrange(len(known)))
        answer = api.post("/v1/recommend", json={"user_id": user, "k": 10, "surface": "home"}).json()
        if chance.random() < clicks:
            event = {"event_id": f"{answer['request_id']}-{at}", "user_id": user, "event": "click"}
            event |= {"item_id": answer["items"][0]["item_id"], "request_id": answer["request_id"]}
            assert api.post("/v1/events", json=[event]).status_code == 200


def logged(store: str, n: int) -> None:
    until(lambda: len(recorded.answers(store, 0, time.time() + 1)) >= n)


def test_a_scrambled_model_that_was_promoted_is_noticed_and_rolled_back(
    api: TestClient, folder: Path, store: str, released: Path, tmp_path: Path
) -> None:
    ask(api, released, 210)
    logged(store, 210)
    watcher = Watcher(store, folder)
    assert [found for found in watcher.check(NOTHING) if found.kind in ("model", "outcomes")] == []
    good = releases.current(folder).name
    bad = releases.promote(scramble(released, tmp_path / "scrambled"), folder)
    until(lambda: api.get("/v1/about").json()["bundle_id"] == bad)
    found = [each for each in watcher.check(NOTHING) if each.kind == "model"]
    assert [each.bundle_id for each in found] == [bad]
    assert actions.act(found[0], NOTHING, store, folder) == "roll back"
    assert actions.act(found[0], NOTHING, store, folder) == "known"
    until(lambda: api.get("/v1/about").json()["bundle_id"] == good)
    entry = releases.read(folder).log[-1]
    assert (entry.action, entry.bundle_id) == ("rollback", good)
    assert "recommends the hidden newest item" in str(entry.why)
    assert [each for each in watcher.check(NOTHING) if each.kind == "model"] == []


def test_answers_that_do_not_match_histories_are_found_without_a_release_before(
    start: Start, store: str, released: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "alone"
    releases.promote(scramble(released, tmp_path / "scrambled"), folder)
    with start(Settings(releases=folder, store_url=store)) as client:
        ask(until_ready(client), released, 230)
        logged(store, 230)
    found = [each for each in Watcher(store, folder).check(NOTHING) if each.kind == "model"]
    assert "moved by" in found[0].what
    assert actions.act(found[0], NOTHING, store, folder) == "popular"
    with start(Settings(releases=folder, store_url=store)) as client:
        answer = until_ready(client).post("/v1/recommend", json={"user_id": "u0000001"}).json()
        assert answer["meta"]["variant"] == "popular"
    releases.serve_variant(folder, None)
    assert releases.read(folder).variant is None


def test_fewer_clicks_in_a_window_than_before(api: TestClient, folder: Path, store: str, released: Path) -> None:
    """Four windows of a few seconds, moved to the same seconds of four days; in the last clicks are not logged."""
    hours = 6 / 3600
    watcher, settings = Watcher(store, folder), policies.Policies(hours=hours, level=0.01)
    for clicks in (0.4, 0.4, 0.4, 0.0):
        time.sleep(6 - time.time() % 6)
        ask(api, released, 100, clicks)
    logged(store, 400)
    last = (time.time() // 6) * 6
    with sqlite3.connect(store.removeprefix("sqlite:///")) as database:
        for table, column in (("exposures", "timestamp"), ("events", "received")):
            windows_ago = f"CAST(({last + 6} - {column}) / 6 AS INTEGER)"
            database.execute(f"UPDATE {table} SET {column} = {column} - {windows_ago} * (86400 - 6)")
    found = watcher.check(settings, now=last + 6 + DELAY_S)
    assert "outcome" in next(each for each in found if each.kind == "outcomes").what
    assert not [each for each in found if each.kind == "requests"]
    assert watcher.check(settings, now=last + 7 + DELAY_S) == []


def test_windows_of_some_hours_are_compared_with_the_same_hours(
    folder: Path, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[float] = []

    def read(_: Watcher, since: float, length: float) -> tuple[list[recorded.Recorded], list[recorded.StoredEvent]]:
        asked.append(since)
        assert length == 8 * 3600
        return [], []

    monkeypatch.setattr(Watcher, "_read", read)
    Watcher(store, folder).check(policies.Policies(hours=8), now=1e9)
    assert len({since % 86_400 for since in asked}) == 1
    assert len({since // 86_400 for since in asked}) > 4


def test_an_arm_without_events_and_clocks_that_are_late_move_a_feature(released: Path) -> None:
    answers = [
        recorded.Recorded(f"r{at}", f"u:{at}", 0.0, "als", "b", "home", "warm", [], {"arm": f"arm-{at % 2}"})
        for at in range(40)
    ]
    events = [
        recorded.StoredEvent(one.person, "i", "click", None, 0.0, one.request_id, 20.0 if at < 30 else 40_000.0)
        for at, one in enumerate(answers)
    ]
    both, _ = cycle._counts(bundle.load(released), answers, events, {})
    assert sorted(both["arm"].sum(axis=0)[both["arm"].sum(axis=0) > 0]) == [20, 20]
    assert both["delay"].sum(axis=0).tolist() == [30, 0, 0, 0, 10, 0]
    one, _ = cycle._counts(bundle.load(released), answers, events[::2], {})
    moved = np.abs(both["arm"].sum(axis=0) - one["arm"].sum(axis=0)).sum()
    assert moved == 40


def test_amounts_are_those_of_events_that_have_one(released: Path) -> None:
    values = [None, None, 0.0, 20.0, 2_000.0]
    events = [
        recorded.StoredEvent(f"u:{at}", "i", "purchase" if value is not None else "view", value, 0.0, None, 1.0)
        for at, value in enumerate(values)
    ]
    counts, _ = cycle._counts(bundle.load(released), [], events, {})
    assert counts["amount"].sum(axis=0).tolist() == [1, 0, 0, 0, 1, 0, 0, 0, 1]
    assert len(counts["amount"]) == len(counts["event"]) == 5


def test_how_the_last_retraining_ended_is_a_metric(folder: Path, store: str) -> None:
    (folder / releases.RETRAINED).write_text('{"at": 5.0, "code": 3}')
    Watcher(store, folder).check(NOTHING)
    assert REGISTRY.get_sample_value("recsys_retrain_code") == 3
    assert REGISTRY.get_sample_value("recsys_retrained_timestamp_seconds") == 5.0


def test_outcomes_are_metrics_by_variant_bundle_and_surface(
    api: TestClient, folder: Path, store: str, released: Path
) -> None:
    ask(api, released, 40, clicks=1.0)
    logged(store, 40)
    Watcher(store, folder).check(NOTHING, now=time.time() + DELAY_S)
    labels = {"variant": "als", "bundle_id": releases.current(folder).name, "surface": "home"}
    assert REGISTRY.get_sample_value("recsys_watch_answers", labels) == 40
    assert REGISTRY.get_sample_value("recsys_watch_outcome_rate", {**labels, "outcome": "click"}) == 1.0
    assert REGISTRY.get_sample_value("recsys_watch_hit_rate", labels) == 1.0


def test_a_canary_answers_its_units_and_goes_on_or_ends(
    api: TestClient, folder: Path, store: str, released: Path, tmp_path: Path
) -> None:
    shutil.copytree(released, tmp_path / "next")
    content = json.loads((tmp_path / "next" / MANIFEST).read_text()) | {"metrics": {"note": "next"}}
    current = releases.current(folder).name
    second = releases.promote(reseal(tmp_path / "next", content), folder, canary=0.5)
    until(lambda: second in {answered(api, f"u{at:07d}") for at in range(20)})
    state = releases.read(folder)
    assert state.canary is not None
    served = {f"u{at:07d}": answered(api, f"u{at:07d}") for at in range(60)}
    assert served == {unit: second if in_canary(second, state.canary.share, unit) else current for unit in served}
    logged(store, 60)
    settings, watcher = policies.Policies(canary=policies.CanarySteps(least=10, hours=0)), Watcher(store, folder)

    def verdict() -> str | None:
        judged = watcher.canary(settings)
        return None if judged is None else judged.action

    until(lambda: verdict() != "wait")  # answers of before the canary count as logged too
    judged = watcher.canary(settings)
    assert judged is not None
    assert judged.action == "go on"
    actions.ramp(judged, folder)
    assert releases.read(folder).log[-1].action == "canary 100%"
    actions.ramp(judged, folder)
    until(lambda: api.get("/v1/about").json()["bundle_id"] == second)


def answered(api: TestClient, user: str) -> str:
    return str(api.post("/v1/recommend", json={"user_id": user}).json()["meta"]["bundle_id"])


def leads(url: str) -> None:
    assert actions.lead(url, "one", 100.0, 30.0)
    assert not actions.lead(url, "two", 129.0, 30.0)
    assert actions.lead(url, "one", 129.0, 30.0)
    assert actions.lead(url, "two", 160.0, 30.0)
    assert not actions.lead(url, "one", 160.0, 30.0)
    assert actions.add(url, "a", 1.0, "model", "what", "b", "tell")
    assert not actions.add(url, "a", 2.0, "model", "what", "b", "tell")


def test_one_process_leads(store: str) -> None:
    leads(store)


def test_one_process_leads_on_postgresql(postgres: Postgres) -> None:
    url = postgres.emptied()
    migrate(url)
    leads(url)
    assert recorded.answers(url, 0, time.time()) == []


def test_each_finding_has_a_policy_in_the_file(root: Path, tmp_path: Path) -> None:
    shipped = policies.load(root / "watch.yaml")
    kinds: tuple[policies.Kind, ...] = ("model", "scores", "items", "requests", "events", "outcomes")
    assert {kind: shipped.of(kind) for kind in kinds} == {kind: NOTHING.of(kind) for kind in kinds}
    faulty = tmp_path / "watch.yaml"
    faulty.write_text("policies:\n  model: {action: panic}\n")
    with pytest.raises(ParamsError, match=r"line 2: policies\.model\.action"):
        policies.load(faulty)


def test_retraining_starts_the_command_of_the_file(store: str, folder: Path, tmp_path: Path) -> None:
    settings = policies.Policies(retrain=["touch", str(tmp_path / "retrained")])
    assert actions.act(Finding("events", "event moved", "b", "events/1"), settings, store, folder) == "retrain"
    until((tmp_path / "retrained").exists)


def test_a_check_that_fails_is_followed_by_the_next(folder: Path, store: str, tmp_path: Path) -> None:
    (releases.current(folder) / "reference.json").write_text("{")
    watcher = Watcher(f"sqlite:///{tmp_path}/none.sqlite", folder)
    for _ in range(2):
        check_once(watcher, NOTHING, "one", store, folder, 60.0)
        assert REGISTRY.get_sample_value("recsys_watch_failed") == 1
        assert REGISTRY.get_sample_value("recsys_watch_leader") == 1


def test_the_signal_to_stop_ends_the_process_in_order(tmp_path: Path) -> None:
    """Without a handler the kernel ignores SIGTERM for process 1 of a container, and kills others: the code is -15."""
    policies_file = tmp_path / "watch.yaml"
    policies_file.write_text("{}\n")
    options = ("--policies", str(policies_file), "--store", f"sqlite:///{tmp_path}/none.sqlite", "--port", "0")
    command = [sys.executable, "-m", "serving.watch", *options]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert "none.sqlite" in process.stderr.readline()  # the first check has failed: the process waits for the next
        process.terminate()
        assert process.wait(10) == 0
