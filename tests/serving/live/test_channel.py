"""Every host follows the channel of the store: what was put counts at one moment, and what a host lacks it says."""

import shutil
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from typer.testing import CliRunner

from benchmarks.stores.servers import Postgres
from recsys.bundle import releases
from recsys.bundle.bundle import Bundle, read_manifest
from recsys.bundle.shared import shared
from recsys.cli import app
from recsys.errors import ParamsError
from recsys.schemas import channel
from recsys.schemas.store_schema import URL_VARIABLE
from serving import metrics
from serving.last_known import LastKnown
from serving.live.channel import Channel
from serving.live.release_watcher import ReleaseWatcher
from serving.settings import Settings
from serving.stores.migrations import migrate
from serving.stores.protocol import StoreError
from tests.serving.stores.conftest import empty_url, opened, postgresql_url, sqlite_url, url  # noqa: F401
from tests.support import bundles
from tests.support.apps import new_store, until, until_ready

TWO_ARMS = """experiments:
  home:
    coverage: {coverage}
    arms:
      control: {{variant: als, weight: 0.5}}
      popular: {{variant: popular, weight: {weight}}}
"""


def experiments(coverage: float = 1, weight: float = 0.5) -> str:
    return TWO_ARMS.format(coverage=coverage, weight=weight)


@pytest.fixture
def settings(bundle_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv(channel.VARIABLE, "store")
    monkeypatch.setattr(channel, "LEAD_S", 0.5)  # one host: nobody else has to be ready by then
    metrics.CONFIG.clear()  # gauges belong to the process: those of earlier tests would answer for this one
    store = new_store(tmp_path / "store")
    with shared(tmp_path / "releases", store):
        releases.promote(bundle_folder, tmp_path / "releases")
    return Settings(
        channel="store", releases=tmp_path / "releases", store_url=store, last_known=tmp_path / "host",
        deadline_ms=10_000, store_ms=10_000,
    )  # fmt: skip


def ask(client: TestClient, user_id: str = "anna") -> dict[str, Any]:
    answer = client.post("/v1/recommend", json={"user_id": user_id, "k": 5})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def items(client: TestClient) -> list[str]:
    answer = client.post("/v1/recommend", json={"user_id": "anna", "k": 20, "variant": "als"})
    return [item["item_id"] for item in answer.json()["items"]]


def test_rules_releases_and_experiments_come_through_the_channel(
    settings: Settings, start: Any, tmp_path: Path
) -> None:
    channel.put(settings.store_url, "rules", "block: {items: [kitchen-4]}\n")
    with start(settings) as client:
        first = until_ready(client).get("/readyz").json()["bundle_id"]
        until(lambda: f'recsys_config_info{{kind="release",version="{first}"}} 1.0' in client.get("/metrics").text)
        assert "kitchen-4" not in items(client), "the first answer knows the rules"
        assert ask(client)["meta"]["experiment"] is None
        blocked = items(client)[0]
        channel.put(settings.store_url, "rules", f"block: {{items: [kitchen-4, {blocked}]}}\n")
        channel.put(settings.store_url, "experiments", experiments())
        until(lambda: blocked not in items(client))
        until(lambda: ask(client)["meta"]["experiment"] is not None)
        with shared(settings.releases, settings.store_url):
            second = releases.promote(bundles.write(tmp_path / "b", made=bundles.vectors() * 2), settings.releases)
        until(lambda: client.get("/readyz").json()["bundle_id"] == second)
        until(lambda: f'recsys_config_info{{kind="release",version="{second}"}} 1.0' in client.get("/metrics").text)
        until(lambda: f'recsys_config_info{{kind="release",version="{first}"}} 0.0' in client.get("/metrics").text)
        with shared(settings.releases, settings.store_url):
            releases.rollback(settings.releases)
        until(lambda: client.get("/readyz").json()["bundle_id"] == first)
        assert client.get("/readyz").json()["last_known"] == []


def test_a_host_cut_off_from_the_store_goes_on_and_says_so(settings: Settings, start: Any, postgres: Postgres) -> None:
    store = postgres.emptied()
    migrate(store)
    with shared(settings.releases, store):
        pass  # the releases that were promoted before there was a channel
    channel.put(store, "rules", "block: {items: [kitchen-4]}\n")
    channel.put(store, "experiments", experiments())
    settings = settings.model_copy(update={"store_url": store})
    with start(settings) as client:
        until(lambda: ask(until_ready(client))["meta"]["experiment"] is not None)
        with postgres.frozen():
            until(lambda: "channel" in client.get("/readyz").json()["last_known"])
            assert ask(client)["meta"]["experiment"] is None, "other hosts may run others by now"
            assert "kitchen-4" not in items(client)
        until(lambda: ask(client)["meta"]["experiment"] is not None)
        until(lambda: client.get("/readyz").json()["last_known"] == [])
    with postgres.frozen(), start(settings) as client:  # a start from the last good copies
        assert "channel" in until_ready(client).get("/readyz").json()["last_known"]
        assert "kitchen-4" not in items(client)
        assert ask(client)["meta"]["experiment"] is None


def test_what_cannot_be_applied_changes_nothing_and_is_said(settings: Settings, start: Any) -> None:
    channel.put(settings.store_url, "rules", "block: {items: [kitchen-4]}\n")
    channel.put(settings.store_url, "experiments", experiments())
    with start(settings) as client:
        until(lambda: ask(until_ready(client))["meta"]["experiment"] is not None)
        channel.put(settings.store_url, "rules", "block: {items: [no such item]}\n")
        channel.put(settings.store_url, "experiments", "experiments: {home: 1}")
        until(lambda: client.get("/readyz").json()["last_known"] == ["experiments", "rules"])
        assert "kitchen-4" not in items(client)
        assert ask(client)["meta"]["experiment"] is None, "this host lacks the experiments that count"
        channel.put(settings.store_url, "rules", "{}")
        channel.put(settings.store_url, "experiments", experiments())
        until(lambda: client.get("/readyz").json()["last_known"] == [])
        until(lambda: ask(client)["meta"]["experiment"] is not None)
        assert "kitchen-4" in items(client)


def test_no_release_is_served_without_the_rules_that_count(settings: Settings, start: Any) -> None:
    channel.put(settings.store_url, "rules", "blok: {items: [kitchen-4]}\n")
    with start(settings) as client:
        until(lambda: client.get("/readyz").status_code == 503 and "rules" in str(client.get("/metrics").text))
        until(lambda: 'recsys_last_known{part="rules"} 1.0' in client.get("/metrics").text)
        assert client.post("/v1/recommend", json={"user_id": "anna"}).status_code == 503
        channel.put(settings.store_url, "rules", "block: {items: [kitchen-4]}\n")
        assert "kitchen-4" not in items(until_ready(client))


@pytest.mark.anyio
async def test_a_change_counts_from_its_moment_on_by_the_clock_of_the_store(url: str, opened: Any) -> None:  # noqa: F811
    store = await opened(url)
    ((now, *nothing),) = await store.channel()
    assert nothing == [None, None, None]
    first = channel.put(url, "rules", "{}")
    assert now + channel.LEAD_S <= first.since < now + channel.LEAD_S + 60
    second = channel.put(url, "rules", "block: {items: []}", after=1)
    rows = await store.channel()
    assert sorted(row[1:] for row in rows) == [("rules", 1, first.since), ("rules", 2, second.since)]
    assert await store.change("rules", 2) == "block: {items: []}"
    with pytest.raises(ParamsError, match="changed meanwhile"):
        channel.put(url, "rules", "{}", after=1)
    with channel._transaction(url) as run:
        run("UPDATE channel SET since = 0, body = $1 WHERE number = 2 RETURNING 1", "block: {items: [x]}")
    assert [row[1:3] for row in await store.channel()] == [("rules", 2)], "what it replaces is not read any more"
    with pytest.raises(StoreError, match="the rules in the store, version 2: their text is missing"):
        await store.change("rules", 2)


@pytest.mark.anyio
async def test_experiments_are_uncertain_between_their_moment_and_their_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[str] = []

    class Follower:
        certain: Callable[[], bool]
        engine = None
        version = "x"

        def apply_text(self, text: str, *_: object) -> bool:
            given.append(text)
            return True

        def use(self, *_: object) -> None: ...

    class Rows:
        now = 100.0

        async def channel(self) -> list[tuple[Any, ...]]:
            return [(self.now, "experiments", 1, 50.0), (self.now, "experiments", 2, 101.0)]

        async def change(self, kind: str, number: int) -> str:
            return f"{kind} {number}"

    clock = [1000.0]
    monkeypatch.setattr("serving.live.channel.time.monotonic", lambda: clock[0])
    follower, rows = Follower(), Rows()
    followed = Channel(follower, follower, follower, follower)  # type: ignore[arg-type]
    assert not follower.certain(), "nothing was read yet"
    await followed.refresh(rows)  # type: ignore[arg-type]
    assert follower.certain()
    assert given == ["experiments 1"]
    clock[0] += 0.9
    assert follower.certain()
    clock[0] += 0.2
    assert not follower.certain(), "the next one counts, and is not applied yet"
    rows.now = 101.1
    await followed.refresh(rows)  # type: ignore[arg-type]
    assert given == ["experiments 1", "experiments 2"]
    assert follower.certain()
    clock[0] += channel.LEASE_S
    assert not follower.certain(), "a change may have been put since"


def recsys(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, arguments)
    return done.exit_code, done.output


def test_the_commands(bundle_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, rules, tests = new_store(tmp_path), tmp_path / "rules.yaml", tmp_path / "experiments.yaml"
    monkeypatch.setenv(URL_VARIABLE, store)
    rules.write_text("block: {items: [a]}\n")
    tests.write_text(experiments(coverage=0.1))
    code, said = recsys("rules", "put", str(rules))
    assert (code, "RECSYS_CHANNEL=store" in said) == (1, True), said
    monkeypatch.setenv(channel.VARIABLE, "store")
    assert recsys("rules", "put", str(rules), "--why", "a recall")[0] == 0
    assert recsys("experiments", "put", str(tests))[0] == 0
    tests.write_text(experiments(coverage=0.5))
    assert recsys("experiment", "put", str(tests))[0] == 0, "more coverage moves nobody"
    tests.write_text(experiments(weight=0.499))
    code, said = recsys("experiments", "put", str(tests))
    assert (code, "experiments.home" in said, "another name" in said) == (1, True, True), said
    first, second = (["--releases", str(tmp_path / name)] for name in ("host-1", "host-2"))
    assert recsys("releases", "promote", str(bundle_folder), *first)[0] == 0
    other = bundles.write(tmp_path / "other", made=bundles.vectors() * 2)
    assert recsys("releases", "promote", str(other), *second)[0] == 0
    stack = releases.read(tmp_path / "host-2").stack
    assert len(stack) == 2, "the second host has the state of the first"
    shutil.copytree(tmp_path / "host-1" / stack[0], tmp_path / "host-2" / stack[0])
    code, said = recsys("releases", "rollback", "--why", "slow", *second)
    assert f"current release: {stack[0]}" in said, said
    last = channel.newest(store, "releases")
    assert last is not None
    assert (last.number, last.version) == (3, stack[0])
    monkeypatch.setenv(URL_VARIABLE, "sqlite:///away.sqlite")
    code, said = recsys("rules", "put", str(rules))
    assert (code, said.count("\n")) == (1, 1)
    assert said.startswith("error: away.sqlite: no such file")


def test_a_release_that_is_due_while_it_is_being_loaded_is_loaded_once(settings: Settings, bundle_folder: Path) -> None:
    loading, go_on = threading.Event(), threading.Event()
    loaded = []

    class Slow(LastKnown):
        def bundle(self, source: Path | str) -> Bundle:
            loaded.append(source)
            loading.set()
            go_on.wait(60)
            return super().bundle(source)

    watcher = ReleaseWatcher(settings, lambda bundle: pytest.fail("nothing is served here"), Slow(settings))
    text = (settings.releases / releases.STATE).read_text()
    with ThreadPoolExecutor(2) as threads:
        threads.submit(watcher.prepare, text)
        assert loading.wait(60)
        source = settings.releases / read_manifest(bundle_folder).bundle_id
        due = threads.submit(watcher._opened, source, None)
        go_on.set()
        assert due.result(60).manifest.bundle_id == source.name
    assert loaded == [source]
