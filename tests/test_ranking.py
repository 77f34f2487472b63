"""The one top-k: equal scores stand in the order of their positions, whatever k is."""

import math
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.ranking import top_k

FEW_VALUES = st.sampled_from([-math.inf, -1.0, 0.0, -0.0, 0.5, 1.0, math.inf, math.nan])  # so that many are equal


def slow(scores: Sequence[float], k: int) -> list[int]:
    keys = [(math.isnan(score), 0 if math.isnan(score) else -score, at) for at, score in enumerate(scores)]
    return [at for _, _, at in sorted(keys)[:k]]


@given(st.lists(FEW_VALUES, max_size=12), st.integers(0, 14))
def test_it_is_the_sorted_list_cut_short(scores: list[float], k: int) -> None:
    assert top_k(np.array(scores, dtype=np.float32), k).tolist() == slow(scores, k)


MATRICES = st.integers(0, 4).flatmap(lambda n: st.lists(st.tuples(*[FEW_VALUES] * n), min_size=1, max_size=4))


@given(MATRICES, st.integers(0, 5))
def test_each_row_of_a_matrix_is_ranked_for_itself(scores: list[tuple[float, ...]], k: int) -> None:
    found = top_k(np.array(scores, dtype=np.float32).reshape(len(scores), -1), k)
    assert found.tolist() == [slow(row, k) for row in scores]


@pytest.mark.parametrize("k", [1, 10, 500, 999])
def test_a_longer_list_begins_as_the_shorter_one(k: int) -> None:
    scores = np.random.default_rng(0).integers(0, 5, 1000).astype(np.float32)
    assert top_k(scores, k).tolist() == top_k(scores, 1000)[:k].tolist()


def test_nobody_else_picks_the_best_by_parts(root: Path) -> None:
    found = subprocess.run(
        ["grep", "-rlE", r"argpartition|np\.partition|log2\(np\.arange", "--include=*.py", "recsys", "serving"],
        cwd=root, capture_output=True, text=True, check=True,
    )  # fmt: skip
    limit_of_many = "recsys/rankers/_learned/blends.py"
    assert sorted(found.stdout.split()) == [limit_of_many, "recsys/ranking.py"]
