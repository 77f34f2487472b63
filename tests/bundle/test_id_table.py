"""The table of ids agrees with a dict, both ways, whatever the ids are."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.bundle import id_table

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


def table(external: Iterable[str], folder: Path) -> id_table.IdTable:
    id_table.write(external, folder)
    return id_table.IdTable(folder)


@given(known=st.lists(TEXT, unique=True, max_size=50), asked=st.lists(TEXT, max_size=10))
def test_agrees_with_a_dict(tmp_path_factory: pytest.TempPathFactory, known: list[str], asked: list[str]) -> None:
    made = table(known, tmp_path_factory.mktemp("ids"))
    expected = {external: position for position, external in enumerate(known)}
    assert len(made) == len(known)
    for external in [*known, *asked]:
        assert made.position(external) == expected.get(external)
    assert [made.external_id(position) for position in range(len(known))] == known
    wanted = [expected[external] for external in asked if external in expected]
    assert made.positions(asked).tolist() == wanted


@given(known=st.lists(TEXT, unique=True, max_size=50), of=st.integers(1, 9))
def test_an_id_is_in_one_shard_which_follows_from_it_alone(
    tmp_path_factory: pytest.TempPathFactory, known: list[str], of: int
) -> None:
    made = table(known, tmp_path_factory.mktemp("ids"))
    shards = [made.shard(number, of).tolist() for number in range(1, of + 1)]
    assert sorted(position for shard in shards for position in shard) == list(range(len(known)))
    for number, shard in enumerate(shards, 1):
        assert shard == sorted(shard)
        for position in shard[:2]:
            assert table([known[position]], tmp_path_factory.mktemp("one")).shard(number, of).tolist() == [0]


def test_shards_are_about_equal_and_those_of_the_release_before(tmp_path: Path) -> None:
    made = table([f"u{number}" for number in range(8000)], tmp_path)
    assert all(900 < len(made.shard(number, 8)) < 1100 for number in range(1, 9))
    assert made.shard(2, 8)[:5].tolist() == [11, 22, 28, 46, 49]


def test_two_ids_of_one_hash_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(id_table, "_hash", lambda text: len(text))
    made = table(["aa", "bb", "c", "dd"], tmp_path)
    assert [made.position(external) for external in ("aa", "bb", "c", "dd", "ee", "")] == [0, 1, 2, 3, None, None]


def test_positions_are_int32_also_when_none_is_known(tmp_path: Path) -> None:
    made = table(["a"], tmp_path)
    assert made.positions(["x"]).dtype == made.positions(["a"]).dtype == np.int32
    assert made.positions([]).tolist() == []


def test_an_empty_table(tmp_path: Path) -> None:
    made = table([], tmp_path)
    assert len(made) == 0
    assert made.position("a") is None
