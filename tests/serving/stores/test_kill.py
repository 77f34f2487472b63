"""Three writers killed with -9 on each store; `benchmarks/stores/kill.py` kills a hundred."""

from pathlib import Path

from benchmarks.stores import kill, servers


def test_nothing_acknowledged_is_lost_and_nothing_is_twice_in_a_file(tmp_path: Path) -> None:
    judge(kill.kill(f"sqlite:///{tmp_path}/events.sqlite", 3, tmp_path))


def test_nothing_acknowledged_is_lost_and_nothing_is_twice_on_a_server(
    postgres: servers.Postgres, tmp_path: Path
) -> None:
    judge(kill.kill(postgres.emptied(), 3, tmp_path))


def judge(found: dict[str, int]) -> None:
    assert found["acknowledged"] > 10
    assert (found["lost"], found["refused_but_stored"], found["duplicated"], found["miscounted"]) == (0, 0, 0, 0)
