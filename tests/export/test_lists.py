"""What is exported: under the rules of the API, without who is forgotten, never in part; and the command is killed."""

import asyncio
import json
import signal
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from recsys.contracts import Query
from recsys.errors import ParamsError, RecsysError
from recsys.export import lists as export
from recsys.export.lists import Lists
from recsys.recommend.recommender import Recommender
from recsys.schemas import channel
from recsys.schemas.store_schema import DEFAULT_URL
from serving.stores import open_store
from tests.support import bundles
from tests.support.apps import new_store
from tests.support.exports import K, expected, read_file, target, two_bundles


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> list[Recommender]:
    return two_bundles(tmp_path_factory.mktemp("export"))


def test_the_rules_of_the_house_count_and_make_another_version(two: list[Recommender], tmp_path: Path) -> None:
    rules = tmp_path / "rules.yaml"
    plain = export.lists(two[0].bundle, None, K, rules, DEFAULT_URL)
    rules.write_text('block: {items: ["kitchen-4"]}')
    ruled = export.lists(two[0].bundle, None, K, rules, DEFAULT_URL)
    assert plain.version == Lists(two[0], K).version != ruled.version
    found = {}
    for name, lists in (("plain", plain), ("ruled", ruled)):
        lists.write(export.open_target(str(tmp_path / f"{name}.csv"), "lists", lists.version))
        found[name] = {row[2] for row in read_file(tmp_path / f"{name}.csv")}
    assert "kitchen-4" in found["plain"]
    assert "kitchen-4" not in found["ruled"]


def test_with_the_channel_its_rules_count_and_those_of_the_file_do_not(
    two: list[Recommender], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules, store = tmp_path / "rules.yaml", new_store(tmp_path)
    rules.write_text('block: {items: ["kitchen-4"]}')
    from_file = export.lists(two[0].bundle, None, K, rules, store)
    monkeypatch.setenv(channel.VARIABLE, "store")
    assert export.lists(two[0].bundle, None, K, rules, store).version == Lists(two[0], K).version, "nothing was put"
    channel.put(store, "rules", rules.read_text())
    rules.unlink()
    assert export.lists(two[0].bundle, None, K, rules, store).version == from_file.version


def test_a_line_for_each_user_as_personalize_writes(two: list[Recommender], tmp_path: Path) -> None:
    out = tmp_path / "lists.jsonl"
    Lists(two[0], K).write(target(two[0], str(out), "lists"), batch_users=3)
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert out.read_text().startswith('{"input":{"userId":"anna"},"output":{"recommendedItems":["')
    assert all(line.keys() == {"input", "output", "error"} and line["error"] is None for line in lines)
    found = [
        (line["input"]["userId"], rank, item)
        for line in lines
        for rank, item in enumerate(line["output"]["recommendedItems"], 1)
    ]
    assert sorted(found) == [row[:3] for row in expected(two[0])]
    now = two[0].bundle.manifest.trained_until.timestamp()
    slots = two[0].recommend(Query(two[0].bundle.histories.of("anna"), K, now, user_id="anna")).slots
    assert lines[0]["output"]["scores"] == pytest.approx([slot.score for slot in slots], rel=1e-6)


@pytest.mark.parametrize("kind", ["csv", "parquet", "jsonl"])
def test_the_files_of_all_shards_are_the_whole_without_a_user_in_two(
    two: list[Recommender], tmp_path: Path, kind: str
) -> None:
    def lines(name: str) -> list[str]:
        path = tmp_path / f"{name}.{kind}"
        text = pl.read_parquet(path).write_csv() if kind == "parquet" else path.read_text()
        return text.splitlines()[kind != "jsonl" :]

    def run(name: str, *shard: int) -> None:
        part = (shard[0], shard[1]) if shard else None
        lists = Lists(two[0], K, shard=part or (1, 1))
        lists.write(export.open_target(str(tmp_path / f"{name}.{kind}"), "lists", lists.version, part), batch_users=2)

    run("whole")
    run("whole", 1, 1)
    assert lines("whole-1-of-1") == lines("whole") != []
    for number in (3, 1, 2):
        run("lists", number, 3)
    parts = [lines(f"lists-{number}-of-3") for number in (1, 2, 3)]
    assert sorted(line for part in parts for line in part) == sorted(lines("whole"))
    assert len([part for part in parts if part]) > 1
    assert len(list(tmp_path.iterdir())) == 5, "a file for each, and nothing beside them"
    written = (tmp_path / f"lists-2-of-3.{kind}").read_bytes()
    run("lists", 2, 3)
    assert (tmp_path / f"lists-2-of-3.{kind}").read_bytes() == written


def test_a_shard_does_not_disturb_another_that_was_stopped(two: list[Recommender], tmp_path: Path) -> None:
    stopped = export.open_target(str(tmp_path / "lists.csv"), "lists", "v", (1, 2))
    stopped.begin()
    lists = Lists(two[0], K, shard=(2, 2))
    lists.write(export.open_target(str(tmp_path / "lists.csv"), "lists", lists.version, (2, 2)))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lists-1-of-2.csv.v.partial", "lists-2-of-2.csv"]


@pytest.mark.parametrize("text", ["0/8", "9/8", "1", "1/0", "-1/2", "a/b", "1/2/3", "1.5/2", " 1/2", "²/3"])
def test_a_bad_shard_is_one_line(text: str) -> None:
    with pytest.raises(ParamsError, match=r"^--shard '.*': expected I/N, the part I of N of the users, such as 1/8 to"):
        export.shard_of(text)


def test_the_command_writes_a_shard(two: list[Recommender], tmp_path: Path, root: Path) -> None:
    folder, start = bundles.write(tmp_path / "bundle"), [sys.executable, "-m", "recsys.cli", "export"]
    command = [*start, str(tmp_path / "lists.csv"), "--k", str(K), "--bundle", str(folder), "--shard", "2/3"]
    subprocess.run(command, cwd=root, capture_output=True, check=True)
    users = {row[0] for row in read_file(tmp_path / "lists-2-of-3.csv")}
    ids = two[0].bundle.histories.users
    assert users == {ids.external_id(at) for at in ids.shard(2, 3).tolist()}


def test_a_forgotten_user_gets_no_list_and_has_none_any_more(two: list[Recommender], tmp_path: Path) -> None:
    store, out = new_store(tmp_path), tmp_path / "lists.parquet"

    def users() -> set[str]:
        lists = export.lists(two[0].bundle, None, K, tmp_path / "none", store)
        lists.write(export.open_target(str(out), "lists", lists.version), batch_users=3)
        return {row[0] for row in read_file(out)}

    async def forget() -> None:
        opened = await open_store(store)
        await opened.forget("anna")
        await opened.close()

    before = users()
    asyncio.run(forget())
    assert users() == before - {"anna"} != before
    assert b"anna" not in out.read_bytes()


def test_a_list_made_without_a_part_is_not_written(two: list[Recommender], tmp_path: Path) -> None:
    broken = Recommender(two[0].bundle)

    class Raising:
        def propose(self, query: Query, n: int) -> None:
            raise ValueError("broken")

    broken._sources["als"] = (Raising(), broken._sources["als"][1])  # type: ignore[assignment]
    with pytest.raises(RecsysError, match="variant 'als': source als failed for user 'anna'; a list without it"):
        Lists(broken, K).write(target(broken, str(tmp_path / "lists.csv"), "lists"))
    assert not (tmp_path / "lists.csv").exists()


def test_the_command_can_be_killed_and_run_again(two: list[Recommender], tmp_path: Path, root: Path) -> None:
    """Killed for real, in the middle: batches of one user, and the last one is waited for."""
    folder = bundles.write(tmp_path / "bundle")
    out = tmp_path / "lists.parquet"
    code = "from recsys.export import lists as export; export.Lists.write.__defaults__ = (1,); " + (
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
    assert read_file(out) == expected(two[0])
    files = ["bundle", "bundle.model", "bundle.pairs", "lists.parquet"]
    assert sorted(path.name for path in tmp_path.iterdir()) == files
