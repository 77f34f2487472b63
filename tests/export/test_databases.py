"""Lists written ahead: the same as the main path gives, resumable, and switched in one step, in every target."""

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl
import psycopg
import pytest
import redis

from benchmarks.stores.servers import Postgres
from recsys.errors import ParamsError, RecsysError
from recsys.export import lists
from recsys.export.lists import Lists
from recsys.recommend.recommender import Recommender
from tests.support import bundles
from tests.support.exports import K, Rows, expected, read_file, read_postgresql, read_redis, target, two_bundles

Read = Callable[[], Rows]


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> list[Recommender]:
    return two_bundles(tmp_path_factory.mktemp("export"))


@pytest.fixture(params=["parquet", "csv", "postgresql", "redis"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, str, Read]]:
    """Where to write to, under which name, and how a reader finds what is there."""
    name = f"lists_{os.getpid()}_{time.monotonic_ns() % 10**9}"
    if request.param in ("parquet", "csv"):
        path = tmp_path / f"lists[1].{request.param}"
        yield str(path), name, lambda: read_file(path)
    elif request.param == "postgresql":
        url = request.getfixturevalue("postgres").url()
        yield url, name, lambda: read_postgresql(url, name)
    else:
        url = request.getfixturevalue("redis_url")
        yield url, name, lambda: read_redis(url, name)


class Stopping:
    """A target that is gone after some batches, as when the process is killed between two of them."""

    def __init__(self, inner: lists.Target, batches: int) -> None:
        self.inner = inner
        self.left = batches
        self.begin, self.close = inner.begin, inner.close
        self.database, self.errors = inner.database, inner.errors

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
    assert "8 users, 6 of them already written" in capsys.readouterr().err
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
        Lists(two[0], k).write(lists.open_target(url, "piled", Lists(two[0], k).version))
    with psycopg.connect(url) as connection:
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE tablename LIKE 'piled%'").fetchall()
    wanted = {"piled_versions", *(f"piled_{Lists(two[0], k).version}" for k in (3, 4))}
    assert {table for (table,) in tables} == wanted


def test_other_versions_expire_in_redis_and_the_current_one_does_not(two: list[Recommender], redis_url: str) -> None:
    name = "expiring"
    for k in (1, 2, 1):
        Lists(two[0], k).write(lists.open_target(redis_url, name, Lists(two[0], k).version))
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        for k in (1, 2):
            keys = list(client.scan_iter(match=f"{name}:{Lists(two[0], k).version}:user:*"))
            assert len(keys) == len(expected(two[0])) / K
            assert {client.ttl(key) > 0 for key in keys} == {k == 2}


@pytest.mark.parametrize(
    ("to", "name", "message"),
    [
        ("lists.json", "lists", "'lists.json': an export goes to a file .parquet, .csv or .jsonl, or to postgresql://"),
        ("lists.csv", "a'b", '--name "a\'b": expected up to 30 letters, digits, _ or -'),
        ("lists.csv", "a" * 31, "expected up to 30 letters"),
    ],
)
def test_what_cannot_be_written_to_is_refused(to: str, name: str, message: str) -> None:
    with pytest.raises(ParamsError, match=message.replace("(", "\\(")):
        lists.open_target(to, name, "v")


@pytest.mark.parametrize("to", ["postgresql://host/db", "redis://host", "unix:///socket"])
def test_a_database_has_no_shards(to: str) -> None:
    with pytest.raises(ParamsError, match=r"^--shard: a database lets readers see all new lists at once; write"):
        lists.open_target(to, "lists", "v", (1, 2))


@pytest.mark.parametrize("to", ["postgresql:///postgres?host={}", "unix://{}/nobody"])
def test_a_server_that_is_not_there_is_one_line(two: list[Recommender], to: str, tmp_path: Path) -> None:
    with pytest.raises(RecsysError, match="readers still see the earlier lists, run the export again") as refused:
        Lists(two[0], K).write(lists.open_target(to.format(tmp_path), "lists", "v"))
    assert "\n" not in str(refused.value)
