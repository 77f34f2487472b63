"""What is stored about somebody can be had, is gone when they are forgotten, and ends by age; admins leave a trace."""

import asyncio
import json
import logging
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from benchmarks.stores.servers import Postgres
from recsys.bundle import releases
from serving import api_keys
from serving.api_keys import Scope
from serving.settings import Settings
from serving.stores import open_store
from serving.stores.admin import delete_old
from serving.stores.migrations import migrate
from tests.serving.stores.examples import event, exposure, rejected
from tests.support import bundles
from tests.support.apps import Start, new_store, until, until_ready

KEY, LINE = api_keys.new("erp", list(Scope))
ADMIN = {"authorization": f"Bearer {KEY}"}


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return new_store(tmp_path)
    made: Postgres = request.getfixturevalue("postgres")
    address = made.emptied()
    migrate(address)
    return address


@pytest.fixture
def admin(bundle_folder: Path, start: Start, url: str) -> Iterator[TestClient]:
    with start(Settings(bundle=bundle_folder, store_url=url, api_keys=LINE, cache_url="memory")) as client:
        client.headers.update(ADMIN)
        yield until_ready(client)


def post(client: TestClient, **body: Any) -> None:
    assert client.post("/v1/events", json={"item_id": "kitchen-1", "event": "view", **body}).json()["accepted"] == 1


def exported(client: TestClient, who: str) -> Any:
    answer = client.get(f"/v1/users/{who}/export")
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_all_that_is_stored_about_a_user_and_nothing_of_others(admin: TestClient) -> None:
    post(admin, event_id="1", user_id="anna")
    post(admin, event_id="2", anonymous_id="cookie")
    post(admin, event_id="3", anonymous_id="tablet", user_id="ben", item_id="garden-10")
    post(admin, event_id="4", anonymous_id="tablet")
    admin.post("/v1/events", json={"event_id": "5", "user_id": "anna", "item_id": "", "event": "view"})
    admin.post("/v1/identity/merge", json={"anonymous_id": "cookie", "user_id": "anna"})
    admin.post("/v1/recommend", json={"user_id": "anna"})
    until(lambda: exported(admin, "anna")["store"]["exposures"])
    found = exported(admin, "anna")
    assert [row["event_id"] for row in found["store"]["events"]] == ["erp/1", "erp/2"]
    assert [row["body"]["event_id"] for row in found["store"]["dead_letters"]] == ["5"]
    assert [row["anonymous_id"] for row in found["store"]["identities"]] == ["cookie"]
    assert found["store"]["exposures"][0]["items"][0]["item_id"]
    assert [row["item_id"] for row in found["bundle"]] == [
        "kitchen-0",
        "kitchen-1",
        "kitchen-2",
        "kitchen-3",
        "sold-out",
    ]
    guest = exported(admin, "tablet")["store"]
    assert [row["event_id"] for row in guest["events"]] == ["erp/4"]
    assert "ben" not in json.dumps(guest)
    assert [row["event_id"] for row in exported(admin, "ben")["store"]["events"]] == ["erp/3"]
    admin.delete("/v1/users/anna")
    gone = exported(admin, "anna")
    assert (gone["bundle"], [rows for rows in gone["store"].values() if rows]) == ([], [])


@pytest.mark.parametrize("path", ["/v1/users/anna/export", "/v1/users/anna/"])
def test_nobody_else_is_forgotten_by_a_path_that_is_none(admin: TestClient, path: str) -> None:
    refused = admin.delete(path)
    assert refused.status_code == 405
    assert "%2F" in refused.json()["error"]["message"]
    assert admin.options("/v1/users/anna/export").headers["allow"] == "GET"
    assert admin.delete(path.replace("anna/", "anna%2F")).status_code == 200  # whose id it is


def test_what_administrators_do_is_kept_without_ids_of_people(admin: TestClient) -> None:
    admin.put("/v1/items", json={"item_id": "lamp", "title": "Lamp", "price": 3})
    admin.put("/v1/items", json={"item_id": "lamp", "price": 4})
    admin.post("/v1/identity/merge", json={"anonymous_id": "cookie-x", "user_id": "carla"})
    admin.post("/v1/identity/unmerge", json={"anonymous_id": "cookie-x"})
    exported(admin, "carla")
    admin.delete("/v1/users/carla")
    lines = admin.get("/v1/audit").json()
    assert [line["action"] for line in lines] == ["forget", "export", "unmerge", "put item", "put item"]
    assert {line["key"] for line in lines} == {"erp"}
    assert "carla" not in json.dumps(lines)
    assert "cookie-x" not in json.dumps(lines)
    price, put = lines[3:]
    assert (put["what"], put["before"], put["after"]["title"]) == ("lamp", None, "Lamp")
    assert (price["before"]["price"], price["after"]["price"]) == (3, 4)
    admin.put("/v1/items", json=price["before"] | {"categories": []})  # undone
    assert admin.get("/v1/audit", params={"limit": 1}).json()[0]["after"]["price"] == 3


async def fill(url: str, now: float) -> None:
    store = await open_store(url)
    try:
        for name, age in (("old", 400.0), ("new", 1.0)):
            at = now - age * 86_400
            await store.add_events([event(name, item_id=name, timestamp=at, received=at)])
            await store.add_events([replace(rejected({"user_id": name}), received=at)])
            await store.add_exposures([exposure(name, timestamp=at)])
    finally:
        await store.close()


def test_what_is_too_old_is_deleted(url: str, root: Path, tmp_path: Path) -> None:
    asyncio.run(fill(url, time.time()))
    ages = {
        "events": 365.0,
        "person_items": 365.0,
        "exposures": 30.0,
        "dead_letters": 30.0,
        "audit": 0.0,
        "merges": 1.0,
    }
    assert delete_old(url, ages) == {
        "events": 1, "person_items": 1, "exposures": 1, "dead_letters": 1, "audit": 0, "merges": 0,
    }  # fmt: skip
    home = tmp_path / "releases"
    kept = [
        releases.promote(bundles.write(tmp_path / f"b{n}", made=bundles.vectors() * (n + 1)), home) for n in range(3)
    ]
    command = [sys.executable, "-m", "serving.stores", "retention", "--url", url, "--exposures", "0.5"]
    command += ["--releases", "2", "--folder", str(home)]
    said = "exposures: 1 deleted, item_versions: 0 deleted, snapshots: 0 deleted, releases: 1 deleted\n"
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, said), done.stderr
    assert releases.read(home).stack == kept[1:]
    assert not (home / kept[0]).exists()
    assert releases.rollback(home) == kept[1]


# ---- a property: random histories, some forgotten

USERS = ["user-one", "user-two", "user-three"]
GUESTS = ["guest-one", "guest-two"]
ACTIONS = st.one_of(
    st.tuples(st.just("event"), st.sampled_from([None, *USERS]), st.sampled_from([None, *GUESTS])),
    st.tuples(st.just("letter"), st.sampled_from([None, *USERS]), st.sampled_from([None, *GUESTS])),
    st.tuples(st.just("ask"), st.sampled_from([None, *USERS]), st.sampled_from([None, *GUESTS])),
    st.tuples(st.just("merge"), st.sampled_from(USERS), st.sampled_from(GUESTS)),
    st.tuples(st.just("unmerge"), st.none(), st.sampled_from(GUESTS)),
    st.tuples(st.just("forget"), st.sampled_from([*USERS, *GUESTS]), st.none()),
)


def act(client: TestClient, number: int, run: str, action: tuple[str, str | None, str | None]) -> None:
    kind, user, guest = action
    who = {name: f"{value}-{run}" for name, value in (("user_id", user), ("anonymous_id", guest)) if value}
    if kind == "event" and who:
        post(client, event_id=f"{run}-{number}", **who)
    elif kind == "letter":
        sent = [{"event_id": f"{run}-{number}", "item_id": "", **who}, {"nested": [who]}]
        assert len(client.post("/v1/events", json=sent).json()["rejected"]) == 2
    elif kind == "ask":
        client.post("/v1/recommend", json={**who, "k": 3})
    elif kind == "merge":
        client.post("/v1/identity/merge", json=who)
    elif kind == "unmerge":
        client.post("/v1/identity/unmerge", json=who)
    elif kind == "forget":
        client.delete(f"/v1/users/{user}-{run}")


def rows(url: str) -> str:
    """All rows of all tables of PostgreSQL; SQLite's are in its files."""
    if not url.startswith("postgres"):
        return ""
    with psycopg.connect(url) as server:
        tables = server.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        return str([server.execute(f"SELECT t::text FROM {name} t").fetchall() for (name,) in tables])


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.lists(ACTIONS, min_size=3, max_size=25), st.sets(st.sampled_from([*USERS, *GUESTS]), min_size=1))
def test_nothing_of_who_is_forgotten_is_left_anywhere(
    admin: TestClient, url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, actions: list[Any], last: set[str]
) -> None:
    """Their ids are in no file, row, cache or log, but for a guest's where another user's event names the device."""
    run = f"run{time.monotonic_ns()}"
    caplog.set_level(logging.INFO)
    for number, action in enumerate(actions):
        act(admin, number, run, action)
    time.sleep(0.25)  # exposures are written beside the answers
    shared = {guest for _, user, guest in actions if user is not None}
    for name in sorted(last):
        admin.delete(f"/v1/users/{name}-{run}")
        assert name in shared or not any(exported(admin, f"{name}-{run}")["store"].values())
    gone = [f"{name}-{run}" for name in last - shared]
    service: Any = admin.app.state.service  # type: ignore[attr-defined]
    files = [
        path
        for folder in (tmp_path, service._settings.last_known_folder)
        for path in folder.rglob("*")
        if path.is_file()
    ]
    assert [(path, name) for path in files for name in gone if name.encode() in path.read_bytes()] == []
    everything = repr(vars(service._answers._cache._backend)) + rows(url)
    assert [name for name in gone if name in everything] == []
    said = [one.getMessage() for one in caplog.records if one.name.startswith(("serving", "recsys", "uvicorn"))]
    assert [(line, name) for line in said for name in gone if name in line] == []


def test_no_table_of_the_server_is_left_out_of_forgetting(postgres: Postgres) -> None:
    """A new table that names people must join what is exported and forgotten."""
    url = postgres.emptied()
    migrate(url)
    with psycopg.connect(url) as server:
        named = server.execute(
            "SELECT DISTINCT table_name FROM information_schema.columns WHERE table_schema = 'public'"
            " AND column_name IN ('user_id', 'anonymous_id', 'person')"
        ).fetchall()
    from serving.stores.admin import PERSONAL

    assert {name for (name,) in named} == {*PERSONAL, "dead_letters"}
