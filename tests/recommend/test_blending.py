"""Dealing slots by share, against the condition that defines it, and the ranked alternative."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.contracts import EMPTY_HISTORY, NO_CANDIDATES, Candidates, FloatArray, IntArray, Query, Slot
from recsys.recommend.blending import interleave_by_share, ranked, reserve_new_items

QUERY = Query(EMPTY_HISTORY, k=4, now=0.0)


def candidates(rows: list[int], scores: list[float] | None = None) -> Candidates:
    values = scores if scores is not None else [float(len(rows) - place) for place in range(len(rows))]
    return Candidates(np.array(rows, dtype=np.int32), np.array(values, dtype=np.float32))


@st.composite
def shares(draw: st.DrawFn) -> dict[str, float]:
    parts = draw(st.lists(st.integers(1, 20), min_size=1, max_size=5))
    return {f"source {place}": part / sum(parts) for place, part in enumerate(parts)}


@given(shares(), st.integers(1, 60))
def test_every_prefix_holds_each_source_s_share(wanted: dict[str, float], k: int) -> None:
    """No slot could move from one source to another and bring both closer to their shares."""
    proposals = {name: candidates(list(range(place * 100, place * 100 + k))) for place, name in enumerate(wanted)}
    labels = [slot.source for slot in interleave_by_share(proposals, wanted, k)]
    assert len(labels) == k
    for end in range(1, k + 1):
        given_to = {name: labels[:end].count(name) for name in wanted}
        assert max((given_to[name] - 0.5) / wanted[name] for name in wanted) <= 1e-9 + min(
            (given_to[name] + 0.5) / wanted[name] for name in wanted
        )


@given(st.integers(1, 99), st.integers(1, 60))
def test_two_sources_are_never_a_whole_slot_off(percent: int, k: int) -> None:
    wanted = {"a": percent / 100, "b": 1 - percent / 100}
    proposals = {"a": candidates(list(range(k))), "b": candidates(list(range(100, 100 + k)))}
    labels = [slot.source for slot in interleave_by_share(proposals, wanted, k)]
    for end in range(1, k + 1):
        assert abs(labels[:end].count("a") - wanted["a"] * end) < 1


@given(
    st.dictionaries(st.sampled_from("abcd"), st.lists(st.integers(0, 30), unique=True, max_size=15), min_size=1),
    st.integers(1, 40),
)
def test_nothing_twice_nothing_lost_and_each_source_in_its_order(proposed: dict[str, list[int]], k: int) -> None:
    proposals = {name: candidates(rows) for name, rows in proposed.items()}
    slots = interleave_by_share(proposals, dict.fromkeys(proposed, 1 / len(proposed)), k)
    rows = [slot.row for slot in slots]
    union = {row for rows_of_one in proposed.values() for row in rows_of_one}
    assert len(rows) == len(set(rows)) == min(k, len(union))
    for name, own in proposed.items():
        mine = [slot.row for slot in slots if slot.source == name]
        assert mine == sorted(mine, key=own.index)


def test_what_an_exhausted_source_leaves_goes_to_the_others() -> None:
    slots = interleave_by_share(
        {"short": candidates([1]), "long": candidates([2, 3, 4, 5])}, {"short": 0.75, "long": 0.25}, 5
    )
    assert [(slot.row, slot.source) for slot in slots] == [
        (1, "short"),
        (2, "long"),
        (3, "long"),
        (4, "long"),
        (5, "long"),
    ]


def test_a_shared_item_counts_for_the_source_whose_turn_it_was() -> None:
    slots = interleave_by_share({"a": candidates([7, 8]), "b": candidates([7, 9])}, {"a": 0.5, "b": 0.5}, 4)
    assert [(slot.row, slot.source) for slot in slots] == [(7, "a"), (9, "b"), (8, "a")]


def test_slots_carry_the_score_of_their_source() -> None:
    slots = interleave_by_share({"a": candidates([7], [0.25]), "b": candidates([8], [-3.0])}, {"a": 0.5, "b": 0.5}, 2)
    assert [slot.score for slot in slots] == [0.25, -3.0]


def test_nothing_proposed_gives_no_slots() -> None:
    assert interleave_by_share({"a": NO_CANDIDATES}, {"a": 1.0}, 3) == []
    assert interleave_by_share({"a": NO_CANDIDATES, "b": candidates([1])}, {"a": 0.9, "b": 0.1}, 3)[0].source == "b"


class BySum:
    """Ranks by the sum of the sources' scores and remembers what it was shown."""

    def rank(self, query: Query, rows: IntArray, scores: FloatArray) -> FloatArray:
        self.rows, self.scores = rows, scores
        return np.nansum(scores, axis=0, dtype=np.float32)


def test_a_ranker_orders_the_union_and_sees_who_proposed_what() -> None:
    ranker = BySum()
    slots = ranked(QUERY, {"a": candidates([5, 2], [3.0, 1.0]), "b": candidates([2, 9], [4.0, 2.0])}, ranker, 4)
    assert [(slot.row, slot.score, slot.source) for slot in slots] == [(2, 5.0, "a"), (5, 3.0, "a"), (9, 2.0, "b")]
    assert ranker.rows.tolist() == [2, 5, 9]
    np.testing.assert_array_equal(ranker.scores, [[1.0, 3.0, np.nan], [4.0, np.nan, 2.0]])


@pytest.mark.parametrize("k", [1, 2, 9])
def test_a_ranked_list_is_cut_at_k(k: int) -> None:
    slots = ranked(Query(EMPTY_HISTORY, k=k, now=0.0), {"a": candidates([1, 2, 3])}, BySum(), k)
    assert [slot.row for slot in slots] == [1, 2, 3][:k]


def test_a_ranker_with_nothing_to_rank() -> None:
    assert ranked(QUERY, {"a": NO_CANDIDATES, "b": NO_CANDIDATES}, BySum(), 4) == []


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
def test_a_ranker_that_scores_an_item_as_no_number_is_refused(odd: float) -> None:
    class Odd:
        def rank(self, query: Query, rows: IntArray, scores: FloatArray) -> FloatArray:
            return np.where(rows == 2, np.float32(odd), np.float32(1)).astype(np.float32)

    with pytest.raises(ValueError, match="the ranker scored 1 of 3 items as NaN or inf"):
        ranked(QUERY, {"a": candidates([1, 2, 3])}, Odd(), 1)  # even if the list would not hold it


@given(st.integers(1, 100), st.integers(1, 30))
def test_new_items_get_their_share_of_many_queries(percent: int, k: int) -> None:
    """The share is exact on average: 400 users, one standard error is below 0.025 places."""
    share, new = percent / 100, candidates(list(range(1000, 1100)))
    old = [Slot(row, 1.0, "a") for row in range(k)]
    places = []
    for user in range(400):
        answer = reserve_new_items(old, new, "new", share, Query(EMPTY_HISTORY, k=k, now=0.0, user_id=str(user)))
        assert len({slot.row for slot in answer[:k]}) == k
        places.append(sum(slot.source == "new" for slot in answer[:k]))
    assert set(places) <= {int(share * k), int(share * k) + 1}
    assert np.mean(places) == pytest.approx(share * k, abs=0.1)


def test_new_items_come_last_and_not_twice() -> None:
    old = [Slot(row, 1.0, "a") for row in (1, 2, 3, 4, 5)]
    answer = reserve_new_items(old, candidates([2, 9]), "new", 0.5, Query(EMPTY_HISTORY, k=4, now=0.0))
    assert [slot.row for slot in answer] == [1, 3, 2, 9, 4, 5]


@given(st.floats(0, 1), st.integers(1, 45), st.text(max_size=5))
def test_every_ten_places_hold_their_share_of_new_items_at_the_end(share: float, k: int, user: str) -> None:
    """So the first ten of a list of twenty are worth as much as a list of ten."""
    old, new = [Slot(row, 1.0, "a") for row in range(100)], candidates(list(range(200, 300)))
    query = Query(EMPTY_HISTORY, k=k, now=0.0, user_id=user)
    fresh = [slot.source == "new" for slot in reserve_new_items(old, new, "new", share, query)[:k]]
    for end in [*range(10, k, 10), k]:
        assert abs(sum(fresh[:end]) - share * end) < 1 + 1e-9
        assert fresh[(end - 1) // 10 * 10 : end] == sorted(fresh[(end - 1) // 10 * 10 : end])
    short = reserve_new_items(old, new, "new", share, Query(EMPTY_HISTORY, k=10, now=0.0, user_id=user))[:10]
    if k >= 10:
        assert short == reserve_new_items(old, new, "new", share, query)[:10]


def test_without_new_items_nothing_changes() -> None:
    old = [Slot(row, 1.0, "a") for row in (1, 2, 3)]
    assert reserve_new_items(old, NO_CANDIDATES, "new", 0.5, Query(EMPTY_HISTORY, k=3, now=0.0)) == old
