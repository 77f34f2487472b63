"""The tables are made by a command, in one transaction, and a store without them is refused."""

import asyncio
import os
import re
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import apsw
import pytest

from recsys.schemas.store_schema import SQLITE
from serving.stores import migrations, open_store
from serving.stores.protocol import StoreError
from tests.serving.stores.conftest import Opened, Select
from tests.serving.stores.examples import ANNA, NEW, event

pytestmark = pytest.mark.anyio

EVERY = list(range(1, migrations.WANTED + 1))


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
