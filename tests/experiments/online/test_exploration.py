"""Propensities are exact: they add up, and the frequencies of many draws agree with them."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.contracts import Slot
from recsys.experiments.online.config import Explore
from recsys.experiments.online.exploration import explore

SLOTS = [Slot(row, 1.0 - row / 100, "als") for row in range(30)]


@given(
    st.integers(0, 30),
    st.integers(1, 12),
    st.floats(0, 1),
    st.integers(1, 12),
    st.integers(2, 40),
    st.floats(0, 1),
    st.integers(0, 2**31 - 1),
)
def test_probabilities_of_every_place_add_up(
    n: int, k: int, epsilon: float, places: int, pool: int, budget: float, seed: int
) -> None:
    settings = Explore(epsilon=epsilon, places=places, pool=pool, max_share=budget)
    found = explore(SLOTS[:n], k, settings, seed)
    rows = [slot.row for slot in found.slots]
    assert len(rows) == len(set(rows)) == min(n, k)
    for slot, propensity, choices in zip(found.slots, found.propensities, found.choices, strict=True):
        assert sum(choices.values()) == pytest.approx(1, abs=1e-9)
        assert choices[slot.row] == propensity
    random_share = sum(1 - max(choices.values()) for choices in found.choices) if epsilon < 0.5 else 0
    assert random_share <= budget * max(len(rows), 1) + 1e-9


def test_frequencies_agree_with_propensities() -> None:
    settings = Explore(epsilon=0.4, places=2, pool=6, max_share=1)
    draws = [explore(SLOTS, 5, settings, seed) for seed in range(20_000)]
    for place in (3, 4):
        counts = Counter(found.slots[place].row for found in draws)
        for row, probability in draws[0].choices[place].items():
            assert counts[row] / len(draws) == pytest.approx(probability, abs=0.015)


def test_an_own_item_keeps_its_source_and_a_drawn_one_says_so() -> None:
    settings = Explore(epsilon=1.0, places=1, pool=4, max_share=1)
    found = explore(SLOTS, 3, settings, seed=1)
    assert [slot.source for slot in found.slots] == ["als", "als", "explore"]
    assert found.propensities[:2] == [1.0, 1.0]
    assert found.propensities[2] == pytest.approx(1 / 4)
