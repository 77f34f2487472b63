"""Diversity agrees with the definition, written out item by item."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.business_rules.diversity import Groups, likeness, mmr
from recsys.contracts import FloatArray

MEMBERS = {"a": [0, 1, 4], "b": [1, 2, 4], "c": [5]}
GROUPS = Groups({name: np.array(rows, dtype=np.int32) for name, rows in MEMBERS.items()}, 7)
ROWS = st.lists(st.integers(0, 6), max_size=7, unique=True).map(lambda rows: np.array(rows, dtype=np.int32))


def by_hand(like: FloatArray, k: int, diversity: float) -> list[int]:
    m = len(like)
    left, taken = list(range(m)), list[int]()
    while left and len(taken) < k:

        def worth(at: int) -> float:
            relevance = min(k, m) / (min(k, m) + at)
            return (1 - diversity) * relevance - diversity * max(
                (float(like[at, other]) for other in taken), default=0.0
            )

        taken.append(max(left, key=worth) if taken else left[0])
        left.remove(taken[-1])
    return taken


@given(
    m=st.integers(0, 12),
    k=st.integers(1, 15),
    diversity=st.sampled_from([0, 0.2, 0.5, 0.9, 1]),
    seed=st.integers(0, 99),
)
def test_mmr_is_its_definition(m: int, k: int, diversity: float, seed: int) -> None:
    drawn = np.random.default_rng(seed).random((m, m)).astype(np.float32)
    like = drawn + drawn.T
    assert mmr(like, k, diversity).tolist() == by_hand(like, k, diversity)


@given(rows=ROWS)
def test_groups_know_the_categories_of_each_item(rows: np.ndarray) -> None:
    assert [[GROUPS.names[code] for code in GROUPS.of(row)] for row in rows] == [
        [name for name in MEMBERS if row in MEMBERS[name]] for row in rows
    ]
    places, codes = GROUPS.pairs(rows)
    expected = [(at, code) for at, row in enumerate(rows) for code in GROUPS.of(row)]
    assert list(zip(places.tolist(), codes.tolist(), strict=True)) == expected


@given(rows=ROWS)
def test_likeness_is_the_cosine_or_the_categories_in_common(rows: np.ndarray) -> None:
    vectors = np.random.default_rng(0).standard_normal((7, 3)).astype(np.float32)
    vectors[[2, 4]] = 0  # the model does not know these
    like = likeness(rows, vectors, GROUPS)
    for i, first in enumerate(rows):
        for j, second in enumerate(rows):
            if {first, second} & {2, 4}:
                mine, other = set(GROUPS.of(first)), set(GROUPS.of(second))
                wanted = len(mine & other) / max(len(mine | other), 1)
            else:
                a, b = vectors[first], vectors[second]
                wanted = float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))
            assert like[i, j] == pytest.approx(wanted, abs=1e-6)
    without = likeness(rows, None, GROUPS)
    assert np.allclose(without, likeness(rows, np.zeros((7, 3), dtype=np.float32), GROUPS))


def test_a_shop_without_categories() -> None:
    assert Groups({}, 3).likeness(np.array([0, 2], dtype=np.int32)).tolist() == [[0, 0], [0, 0]]
