"""Lists written ahead: the same as the main path gives, resumable, and switched in one step, in every target."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl
import psycopg
import pytest
import redis

from benchmarks.servers import Postgres
from recsys import bundle, export
from recsys.contracts import Query
from recsys.datasets.events import DEFAULT_URL
from recsys.errors import ParamsError, RecsysError
from recsys.export import Lists
from recsys.recommender import Recommender
from serving.stores import open_store
from tests import bundles
from tests.apps import new_store

K = 4
Rows = list[tuple[str, int, str, str, str]]  # user_id, rank, item_id, source, bundle_id
Read = Callable[[], Rows]


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> list[Recommender]:
    """The hand-made bundle, and one in which the tastes of kitchen and garden are exchanged."""
    folder = tmp_path_factory.mktemp("export")
    folders = bundles.write(folder / "a"), bundles.write(folder / "b", bundles.vectors()[:, [1, 0, 2]] * 2)
    return [Recommender(bundle.load(each)) for each in folders]


@pytest.fixture(params=["parquet", "csv", "postgresql", "redis"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, str, Read]]:
    """Where to write to, under which name, and how a reader finds what is there."""
    name = f"lists_{os.getpid()}_{time.monotonic_ns() % 10**9}"
    if request.param in ("parquet", "csv"):
        path = tmp_path / f"lists[1].{request.param}"
        yield str(path), name, lambda: _read_file(path)
    elif request.param == "postgresql":
        url = request.getfixturevalue("postgres").url()
        yield url, name, lambda: _read_postgresql(url, name)
    else:
        url = request.getfixturevalue("redis_url")
        yield url, name, lambda: _read_redis(url, name)


def _read_file(path: Path) -> Rows:
    frame = pl.read_csv(path.read_bytes()) if path.suffix == ".csv" else pl.read_parquet(path.read_bytes())
    assert frame.columns == list(export.SCHEMA)
    return sorted(frame.select("user_id", "rank", "item_id", "source", "bundle_id").rows())


def _read_postgresql(url: str, name: str) -> Rows:
    with psycopg.connect(url) as connection:
        found = connection.execute(f'SELECT user_id, rank, item_id, source, bundle_id FROM "{name}"').fetchall()
    return sorted(found)


def _read_redis(url: str, name: str) -> Rows:
    with redis.Redis.from_url(url, decode_responses=True) as client:
        start = f"{name}:{client.get(f'{name}:current')}:user:"
        lists = {key.removeprefix(start): json.loads(client.get(key)) for key in client.scan_iter(match=f"{start}*")}
    return sorted(
        (user_id, rank, item["item_id"], item["source"], item["bundle_id"])
        for user_id, listed in lists.items()
        for rank, item in enumerate(listed, 1)
    )


def expected(recommender: Recommender) -> Rows:
    made = recommender.bundle
    rows: Rows = []
    for user_id in bundles.HISTORIES:
        query = Query(made.histories.of(user_id), K, made.manifest.trained_until.timestamp(), user_id=user_id)
        for rank, slot in enumerate(recommender.recommend(query).slots, 1):
            item_id = made.catalogue.ids.external_id(slot.row)
            rows.append((user_id, rank, item_id, slot.source, made.manifest.bundle_id))
    return sorted(rows)


def target(recommender: Recommender, to: str, name: str) -> export.Target:
    return export.open_target(to, name, Lists(recommender, K).version)


class Stopping:
    """A target that is gone after some batches, as when the process is killed between two of them."""

    def __init__(self, inner: export.Target, batches: int) -> None:
        self.inner = inner
        self.left = batches
        self.begin, self.close = inner.begin, inner.close

    def write(self, rows: pl.DataFrame, done: int) -> None:
        if self.left == 0:
            raise KeyboardInterrupt
        self.left -= 1
        self.inner.write(rows, done)

    def finish(self) -> None:
        raise KeyboardInterrupt


def test_every_user_gets_what_the_main_path_gives(two: list[Recommender], place: tuple[str, str, Read]) -> None:
    to, name, read = place
    assert Lists(two[0], K).write(target(two[0], to, name), batch_users=3) == len(bundles.HISTORIES)
    assert read() == expected(two[0])
    assert {"anna", "żółw/🐢", "newcomer"} <= {row[0] for row in read()}


def test_a_stopped_run_goes_on_where_it_stopped(
    two: list[Recommender], place: tuple[str, str, Read], capsys: pytest.CaptureFixture[str]
) -> None:
    to, name, read = place
    with pytest.raises(KeyboardInterrupt):
        Lists(two[0], K).write(Stopping(target(two[0], to, name), batches=2), batch_users=3)
    capsys.readouterr()
    Lists(two[0], K).write(target(two[0], to, name), batch_users=2)
    assert "8 users, 6 of them are there already" in capsys.readouterr().err
    assert read() == expected(two[0])


def test_readers_see_the_old_lists_until_the_new_ones_are_whole(
    two: list[Recommender], place: tuple[str, str, Read]
) -> None:
    to, name, read = place
    old, new = two
    Lists(old, K).write(target(old, to, name), batch_users=3)
    with pytest.raises(KeyboardInterrupt):
        Lists(new, K).write(Stopping(target(new, to, name), batches=100), batch_users=3)
    assert read() == expected(old)
    Lists(new, K).write(target(new, to, name), batch_users=3)
    assert read() == expected(new) != expected(old)


def test_who_reads_the_old_file_reads_it_to_its_end(two: list[Recommender], tmp_path: Path) -> None:
    path = tmp_path / "lists.csv"
    Lists(two[0], K).write(target(two[0], str(path), "lists"))
    content = path.read_bytes()
    with path.open("rb") as reader:
        start = reader.read(1)
        Lists(two[1], K).write(target(two[1], str(path), "lists"))
        assert start + reader.read() == content != path.read_bytes()


def test_back_to_the_version_before(two: list[Recommender], place: tuple[str, str, Read]) -> None:
    to, name, read = place
    for recommender in (*two, *two):
        Lists(recommender, K).write(target(recommender, to, name), batch_users=3)
        assert read() == expected(recommender)


def test_other_versions_do_not_pile_up_in_postgresql(two: list[Recommender], postgres: Postgres) -> None:
    url = postgres.new_database()
    for k in (1, 2, 3, 4):
        Lists(two[0], k).write(export.open_target(url, "piled", Lists(two[0], k).version))
    with psycopg.connect(url) as connection:
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE tablename LIKE 'piled%'").fetchall()
    wanted = {"piled_versions", *(f"piled_{Lists(two[0], k).version}" for k in (3, 4))}
    assert {table for (table,) in tables} == wanted


def test_other_versions_expire_in_redis_and_the_current_one_does_not(two: list[Recommender], redis_url: str) -> None:
    name = "expiring"
    for k in (1, 2, 1):
        Lists(two[0], k).write(export.open_target(redis_url, name, Lists(two[0], k).version))
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        for k in (1, 2):
            keys = list(client.scan_iter(match=f"{name}:{Lists(two[0], k).version}:user:*"))
            assert len(keys) == len(expected(two[0])) / K
            assert {client.ttl(key) > 0 for key in keys} == {k == 2}


def test_a_list_made_without_a_part_is_not_written(two: list[Recommender], tmp_path: Path) -> None:
    broken = Recommender(two[0].bundle)

    class Raising:
        def propose(self, query: Query, n: int) -> None:
            raise ValueError("broken")

    broken._sources["als"] = Raising()  # type: ignore[assignment]
    with pytest.raises(RecsysError, match="variant 'als': source als failed for user 'anna'; a list without it"):
        Lists(broken, K).write(target(broken, str(tmp_path / "lists.csv"), "lists"))
    assert not (tmp_path / "lists.csv").exists()


def test_the_rules_of_the_house_count_and_make_another_version(two: list[Recommender], tmp_path: Path) -> None:
    rules = tmp_path / "rules.yaml"
    plain = export.lists(two[0], K, rules, DEFAULT_URL)
    rules.write_text('block: {items: ["kitchen-4"]}')
    ruled = export.lists(two[0], K, rules, DEFAULT_URL)
    assert plain.version == Lists(two[0], K).version != ruled.version
    found = {}
    for name, lists in (("plain", plain), ("ruled", ruled)):
        lists.write(export.open_target(str(tmp_path / f"{name}.csv"), "lists", lists.version))
        found[name] = {row[2] for row in _read_file(tmp_path / f"{name}.csv")}
    assert "kitchen-4" in found["plain"]
    assert "kitchen-4" not in found["ruled"]


def test_a_forgotten_user_gets_no_list_and_has_none_any_more(two: list[Recommender], tmp_path: Path) -> None:
    store, out = new_store(tmp_path), tmp_path / "lists.parquet"

    def users() -> set[str]:
        lists = export.lists(two[0], K, tmp_path / "none", store)
        lists.write(export.open_target(str(out), "lists", lists.version), batch_users=3)
        return {row[0] for row in _read_file(out)}

    async def forget() -> None:
        opened = await open_store(store)
        await opened.forget("anna")
        await opened.close()

    before = users()
    asyncio.run(forget())
    assert users() == before - {"anna"} != before
    assert b"anna" not in out.read_bytes()


@pytest.mark.parametrize(
    ("to", "name", "message"),
    [
        ("lists.json", "lists", "'lists.json': an export goes to a file .parquet or .csv, or to postgresql://"),
        ("lists.csv", "a'b", '--name "a\'b": wanted up to 30 letters, digits, _ or -'),
        ("lists.csv", "a" * 31, "wanted up to 30 letters"),
    ],
)
def test_what_cannot_be_written_to_is_refused(to: str, name: str, message: str) -> None:
    with pytest.raises(ParamsError, match=message.replace("(", "\\(")):
        export.open_target(to, name, "v")


@pytest.mark.parametrize("to", ["postgresql:///postgres?host={}", "unix://{}/nobody"])
def test_a_server_that_is_not_there_is_one_line(two: list[Recommender], to: str, tmp_path: Path) -> None:
    with pytest.raises(RecsysError, match="readers see what they saw before, run the export again") as refused:
        Lists(two[0], K).write(export.open_target(to.format(tmp_path), "lists", "v"))
    assert "\n" not in str(refused.value)


def test_the_command_can_be_killed_and_run_again(two: list[Recommender], tmp_path: Path, root: Path) -> None:
    """Killed for real, in the middle: batches of one user, and the last one is waited for."""
    folder = bundles.write(tmp_path / "bundle")
    out = tmp_path / "lists.parquet"
    code = "from recsys import export; export.Lists.write.__defaults__ = (1,); " + (
        "import time; write = export.Files.write; "
        "export.Files.write = lambda *a: (write(*a), time.sleep(0.2)); from recsys.cli import app; app()"
    )
    command = [sys.executable, "-c", code, "export", str(out), "--k", str(K), "--bundle", str(folder)]
    with subprocess.Popen(command, cwd=root, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("export: 2 users"):
                process.send_signal(signal.SIGKILL)
    assert not out.exists()
    done = subprocess.run(
        [sys.executable, "-m", "recsys.cli", *command[3:]], cwd=root, capture_output=True, text=True, check=True
    )
    assert "8 users, 0 of them" not in done.stderr
    assert done.stdout == f"8 users, bundle {two[0].bundle.manifest.bundle_id}, variant als\n"
    assert _read_file(out) == expected(two[0])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bundle", "bundle.model", "lists.parquet"]
