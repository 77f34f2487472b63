"""What the commands and administrators do with a store: tables, exports, the log, and what ends by its age."""

import json
import time
from pathlib import Path

import pytest
from msgspec.structs import replace
from typer.testing import CliRunner

from recsys.bundle import releases
from serving.stores import admin
from serving.stores.__main__ import app
from serving.stores.migrations import WANTED, migrate
from serving.stores.protocol import Item
from serving.stores.store import Store
from tests.serving.stores.conftest import Select
from tests.serving.stores.examples import ANNA, BEN, COOKIE, NOON, event, exposure, rejected
from tests.support import bundles

GUEST = {"user_id": None, "anonymous_id": COOKIE}
OLD_DAYS = 400


@pytest.fixture
def url(sqlite_url: str) -> str:
    migrate(sqlite_url)
    return sqlite_url


def run(*arguments: str) -> str:
    """What a command prints."""
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    return done.output


def test_the_command_says_which_versions_it_applied(sqlite_url: str) -> None:
    everything = ", ".join(map(str, range(1, WANTED + 1)))
    assert run("migrate", "--url", sqlite_url) == f"applied {everything}\n"
    assert run("migrate", "--url", sqlite_url) == "nothing to do\n"


@pytest.mark.anyio
async def test_the_command_deletes_what_is_older_than_asked_and_nothing_else(store: Store, url: str) -> None:
    now = time.time()
    for name, age in (("old", OLD_DAYS), ("new", 1)):
        at = now - age * 86_400
        await store.add_events([event(name, item_id=name, timestamp=at, received=at)])
        await store.add_events([replace(rejected({"user_id": name}), received=at)])
        await store.add_exposures([exposure(name, timestamp=at)])

    def retention(*options: str) -> str:
        return run("retention", "--url", url, *options)

    assert retention() == "nothing to do: no age is set\n"
    assert retention("--events", "500") == "events: 0 deleted, person_items: 0 deleted, merges: 0 deleted\n"
    assert retention("--events", "30") == "events: 1 deleted, person_items: 1 deleted, merges: 0 deleted\n"
    assert retention("--exposures", "30") == "exposures: 1 deleted, item_versions: 0 deleted, snapshots: 0 deleted\n"
    assert retention("--dead-letters", "30", "--audit", "30") == "dead_letters: 1 deleted, audit: 0 deleted\n"
    assert [each.event_id for each in (await store.history(ANNA, None, 9))[1]] == ["new"]
    assert set(await store.seen(ANNA, None)) == {"new"}


def test_the_command_keeps_the_newest_releases(url: str, tmp_path: Path) -> None:
    home = tmp_path / "releases"
    kept = [
        releases.promote(bundles.write(tmp_path / f"b{n}", made=bundles.vectors() * (n + 1)), home) for n in range(3)
    ]
    options = ("--releases", "2", "--folder", str(home))
    assert run("retention", "--url", url, *options) == "releases: 1 deleted\n"
    assert releases.read(home).stack == kept[1:]


@pytest.mark.anyio
async def test_much_that_is_old_goes_part_by_part(
    store: Store, url: str, select: Select, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admin, "ROWS_AT_ONCE", 2)
    await store.add_events([event(str(number)) for number in range(5)])
    await store.add_events([event("new", received=time.time())])
    assert admin.delete_old(url, {"events": 1}) == {"events": 5}
    assert select("SELECT event_id FROM events") == [("new",)]


@pytest.mark.anyio
async def test_an_export_holds_all_of_a_person_and_of_the_merged_guest(store: Store) -> None:
    await store.add_events([event("1"), event("2", BEN), event("3", **GUEST, item_id="alone")])
    await store.add_events(
        [rejected({"user_id": ANNA}), rejected({"anonymous_id": COOKIE}), rejected({"user_id": BEN})]
    )
    await store.add_exposures([exposure("r1"), exposure("r2", BEN), exposure("r3", **GUEST, replay={"at": NOON})])
    await store.merge(COOKIE, ANNA)
    found = await admin.export(store, ANNA, "erp")
    assert [row["event_id"] for row in found["events"]] == ["1", "3"]
    shown = {row["request_id"]: row for row in found["exposures"]}
    assert {name: row["replay"] for name, row in shown.items()} == {"r1": None, "r3": {"at": NOON}}
    assert [place["item_id"] for place in shown["r1"]["items"]] == ["kettle", "teapot"]
    assert (shown["r1"]["variant"], shown["r1"]["context"]) == ("b", {"device": "phone"})
    assert {row["item_id"] for row in found["person_items"]} == {"kettle", "alone"}
    assert [row["anonymous_id"] for row in found["identities"]] == [COOKIE]
    assert [row["anonymous_id"] for row in found["merges"]] == [COOKIE]
    bodies = [row["body"] for row in found["dead_letters"]]
    assert sorted(bodies, key=str) == sorted([{"user_id": ANNA}, {"anonymous_id": COOKIE}], key=str)


@pytest.mark.anyio
async def test_the_log_has_the_newest_first_and_names_nobody(store: Store) -> None:
    await store.upsert_items([Item("kettle", price=3.0)], "erp")
    await store.upsert_items([Item("kettle", price=4.0)], "erp")
    await store.merge(COOKIE, ANNA)
    await store.unmerge(COOKIE, "web")
    await admin.export(store, ANNA, None)
    await store.forget(ANNA, "app")
    lines = await admin.log(store, 9)
    said = [(line["key"], line["action"]) for line in lines]
    assert said == [
        ("app", "forget"), (None, "export"), ("web", "unmerge"), ("erp", "put item"), ("erp", "put item"),
    ]  # fmt: skip
    forget, export, unmerge, price, first = lines
    assert forget["what"] == export["what"] == unmerge["before"] == store.fingerprint(ANNA)
    assert (unmerge["what"], unmerge["after"]) == (store.fingerprint(COOKIE), store.fingerprint(COOKIE))
    assert (price["what"], price["before"]["price"], price["after"]["price"]) == ("kettle", 3.0, 4.0)
    assert (first["before"], first["after"]["price"]) == (None, 3.0)
    assert export["after"]["merges"] == 0
    assert not {ANNA, COOKIE} & set(json.dumps(lines).split('"'))
    assert await admin.log(store, 1) == lines[:1]
