"""Tables are made by a command, in one transaction; a store without them is refused, and its readers know them."""

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import apsw
import pytest

from recsys.errors import DataError
from recsys.experiments.analysis import log
from recsys.experiments.online.config import Arm, Experiment
from recsys.schemas.store_reader import snapshot
from recsys.schemas.store_schema import DEFAULT_URL, SQLITE, TABLES, fingerprint, named, select_from
from serving.settings import Settings
from serving.stores import migrations, open_store
from serving.stores.migrations import migrate
from serving.stores.protocol import StoreError
from serving.stores.store import Store
from tests.serving.stores.conftest import Opened, Select
from tests.serving.stores.examples import ANNA, NEW, event

pytestmark = pytest.mark.anyio

EVERY = list(range(1, migrations.WANTED + 1))
SECRET = "postgres:anna:secret@host"


def command(url: str, root: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "serving.stores", "migrate"],
        cwd=root, env={**os.environ, "RECSYS_STORE_URL": url}, capture_output=True, text=True, check=False,
    )  # fmt: skip


async def test_a_store_without_tables_is_refused_until_the_command_was_run(
    empty_url: str, root: Path, opened: Opened
) -> None:
    with pytest.raises(StoreError) as refusal:
        await open_store(empty_url)
    assert "\n" not in str(refusal.value)
    assert re.search(r"version 0, this code needs \d+: run `python -m serving.stores migrate`$", str(refusal.value)), (
        refusal.value
    )
    for said in (f"applied {', '.join(map(str, EVERY))}\n", "nothing to do\n"):
        done = command(empty_url, root)
        assert (done.returncode, done.stdout) == (0, said), done.stderr
    store = await opened(empty_url)
    assert await store.add_events([event("1")]) == [NEW]


async def test_a_file_of_another_program_has_no_tables_yet(sqlite_url: str) -> None:
    path = Path(sqlite_url.removeprefix(SQLITE))
    path.parent.mkdir()
    with closing(apsw.Connection(str(path))) as file:
        file.execute("CREATE TABLE theirs (a)")
    with pytest.raises(StoreError, match="its tables are of version 0, this code needs"):
        await open_store(sqlite_url)
    assert migrations.migrate(sqlite_url) == EVERY


def test_the_command_fails_with_one_line(root: Path) -> None:
    done = command("mysql://x", root)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: mysql://...: expected sqlite")
    assert done.stderr.count("\n") == 1


async def test_a_later_version_is_added_to_what_is_there(
    url: str, select: Select, monkeypatch: pytest.MonkeyPatch, opened: Opened
) -> None:
    old = await opened(url)
    await old.add_events([event("1")])
    more = [*migrations.MIGRATIONS, ["ALTER TABLE events ADD COLUMN device TEXT", "CREATE TABLE more (a TEXT)"]]
    monkeypatch.setattr(migrations, "MIGRATIONS", more)
    monkeypatch.setattr(migrations, "WANTED", len(more))
    with pytest.raises(StoreError, match=f"version {EVERY[-1]}, this code needs {len(more)}"):
        await open_store(url)
    assert migrations.migrate(url) == [len(more)]
    assert select("SELECT event_id, device FROM events") == [("1", None)]
    assert await old.add_events([event("2")]) == [NEW], "code of the version before goes on"
    assert len((await old.history(ANNA, None, 9))[1]) == 2


async def test_a_migration_that_fails_changes_nothing(
    url: str, select: Select, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrations, "MIGRATIONS", [*migrations.MIGRATIONS, ["CREATE TABLE more (a TEXT)", "nonsense"]])
    with pytest.raises(StoreError, match="syntax error"):
        migrations.migrate(url)
    assert select("SELECT max(version) FROM migrations") == [(EVERY[-1],)]
    with pytest.raises(Exception, match="more"):
        select("SELECT * FROM more")


async def test_two_migrations_at_once_are_one(empty_url: str) -> None:
    done = await asyncio.gather(*(asyncio.to_thread(migrations.migrate, empty_url) for _ in range(2)))
    assert sorted(done) == [[], EVERY]


@pytest.mark.parametrize("table", TABLES)
def test_every_column_that_readers_name_is_in_the_table(table: str, select: Callable[[str], list[Any]]) -> None:
    assert isinstance(select(select_from(table)), list)


async def test_the_hash_of_a_user_is_the_same_for_the_store_and_its_readers(store: Store, url: str) -> None:
    await store.forget("anna")
    with snapshot(url) as select:
        ((salt,),) = select(select_from("salt"))
        assert [row[0] for row in select(select_from("forgotten", "fingerprint"))] == [fingerprint(salt, "anna")]


def test_the_address_of_the_store_has_one_owner(root: Path) -> None:
    assert Settings().store_url == DEFAULT_URL
    found = subprocess.run(
        ["grep", "-rlE", r"sqlite:///store|sha256\(f\"\{.*salt", "--include=*.py", "recsys", "serving"],
        cwd=root, capture_output=True, text=True, check=True,
    )  # fmt: skip
    # and a docstring that shows the form of an address
    assert sorted(found.stdout.split()) == [
        "recsys/datasets/events.py",
        "recsys/schemas/store_schema.py",
        "serving/stores/__init__.py",
    ]


@pytest.mark.parametrize("url", [SECRET, f"mysql://{SECRET}", "sqlite://store.sqlite?key=secret", ""])
def test_another_address_is_refused_without_its_password(url: str) -> None:
    experiment = Experiment(arms={"a": Arm(variant="x", weight=0.5), "b": Arm(variant="y", weight=0.5)})
    assert "secret" not in named(url)
    with pytest.raises(StoreError, match=r"expected sqlite:///path or postgresql://") as by_the_store:
        migrate(url)
    with pytest.raises(DataError, match=r"expected sqlite:///path or postgresql://") as by_training, snapshot(url):
        pass
    with pytest.raises(DataError, match=r"expected sqlite:///path or postgresql://") as by_the_readout:
        log.read(url, "home", experiment)
    assert all("secret" not in str(caught.value) for caught in (by_the_store, by_training, by_the_readout))
