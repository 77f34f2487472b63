"""What of a list is this user's own, and when a list that its own sources filled counts as a fallback all the same."""

from dataclasses import replace

import numpy as np
import pytest

from recsys.bundle import bundle
from recsys.bundle.bundle import Bundle
from recsys.contracts import EMPTY_HISTORY, BoolArray, FloatArray, IntArray, Query
from recsys.experiments.online.config import Explore
from recsys.recommend.recommender import Recommender, Slate
from serving.engine.drawn_lists import explored, interleaved
from tests.support import bundles
from tests.support.queries import query

NOW = bundles.NOW.timestamp()


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return bundle.load(bundles.write(tmp_path_factory.mktemp("personalised") / "bundle"))


def ask(shop: Bundle, variant: str, user_id: str, k: int = 5) -> Slate:
    return Recommender(shop, variant).recommend(query(shop, user_id, k))


@pytest.mark.parametrize(
    ("variant", "user_id", "reason", "share"),
    [
        ("als", "anna", None, 1.0),
        ("als", "a stranger", "no_history", 0.0),
        ("als", "only new", "history_unknown_to_models", 0.0),
        ("mixed", "a stranger", "no_history", 0.0),  # its own sources fill the list, and none of them knows anything
        ("mixed", "only new", "history_unknown_to_models", 0.0),
        ("popular", "anna", None, 0.0),  # is not meant to know anything
        ("popular", "a stranger", None, 0.0),
        ("random", "a stranger", None, 0.0),
    ],
)
def test_a_list_without_a_place_of_the_user_s_own_is_a_fallback(
    shop: Bundle, variant: str, user_id: str, reason: str | None, share: float
) -> None:
    slate = ask(shop, variant, user_id)
    assert (slate.fallback_reason, slate.personalised_share) == (reason, share)


def test_a_list_of_new_items_alone_is_a_fallback_whatever_is_known_of_the_user(shop: Bundle) -> None:
    everything_else = np.array([*bundles.KITCHEN, *bundles.GARDEN, bundles.ODD], dtype=np.int32)
    one = replace(query(shop, "anna", 1), exclude=everything_else)
    lists = [Recommender(shop, "newcomers").recommend(replace(one, seed=seed)) for seed in range(20)]
    slate = next(slate for slate in lists if slate.slots[0].source == "new")  # chance rounds .3 of one place
    assert (slate.fallback_reason, slate.personalised_share) == ("too_few_candidates", 0.0)


def test_a_place_is_the_user_s_own_by_who_proposed_its_item_not_by_whose_turn_it_was(shop: Bundle) -> None:
    slate = ask(shop, "mixed", "anna", k=10)
    assert slate.fallback_reason is None
    candidates = set(slate.candidates["als"].rows.tolist())
    own = {slot.row for slot in slate.slots if slot.row in candidates}
    assert {slot.row for slot in slate.slots if slot.source == "als"} <= own == slate.personalised


def test_of_a_stranger_s_list_the_chosen_categories_are_the_stranger_s_own(shop: Bundle) -> None:
    chosen = Query(EMPTY_HISTORY, 12, NOW, categories=("kitchen",))
    slate = Recommender(shop, "popular").recommend(chosen)
    kitchen = {slot.row for slot in slate.slots} & {*bundles.KITCHEN, bundles.SOLD_OUT}
    assert slate.personalised == kitchen
    assert 0 < len(kitchen) < 12
    assert Recommender(shop, "mixed").recommend(chosen).fallback_reason is None
    unknown = Query(EMPTY_HISTORY, 12, NOW, categories=("nothing",))
    assert Recommender(shop, "mixed").recommend(unknown).fallback_reason == "no_history"


class ByTeam:
    """Orders by the scores of the sources, and says that a team likes the items in even rows more."""

    def rank(self, query: Query, rows: IntArray, scores: FloatArray) -> FloatArray:
        best: FloatArray = np.nanmax(scores, axis=0)
        return best

    def raised(self, query: Query, rows: IntArray) -> BoolArray:
        return rows % 2 == 0 if "team" in query.attributes else np.zeros(len(rows), dtype=bool)


def test_a_stranger_s_list_is_no_fallback_where_the_ranker_used_an_attribute(shop: Bundle) -> None:
    stranger = Query(EMPTY_HISTORY, 10, NOW, attributes={"team": "red"})
    recommender = Recommender(shop, "mixed", ranker=ByTeam())
    slate = recommender.recommend(stranger)
    ranked = {slot.row for slot in slate.slots if slot.source != "new"}  # places of new items were not ranked
    assert slate.personalised == {row for row in ranked if row % 2 == 0}
    assert slate.fallback_reason is None
    assert recommender.recommend(replace(stranger, attributes={"age": "30"})).fallback_reason == "no_history"
    assert Recommender(shop, "mixed").recommend(stranger).fallback_reason == "no_history"
    late = recommender.recommend(replace(stranger, deadline=0.0))
    assert (late.fallback_reason, late.personalised_share) == ("deadline", 0.0)


def test_what_an_arm_draws_keeps_whose_it_is(shop: Bundle) -> None:
    als, popular = Recommender(shop, "als"), Recommender(shop, "popular")
    asked = query(shop, "anna")
    slate, _ = explored(
        als, asked, None, als.recommend(asked), Explore(places=2, epsilon=1.0, pool=5, max_share=1.0), "x"
    )
    assert {slot.source for slot in slate.slots} == {"als", "explore"}
    assert slate.personalised_share == 1.0
    dealt, teams = interleaved(popular, asked, None, als.recommend(asked), "x")
    assert set(teams) == {"a", "b"}
    assert dealt.fallback_reason is None
    assert dealt.personalised == {slot.row for slot, team in zip(dealt.slots, teams, strict=True) if team == "a"}
    stranger = query(shop, "a stranger")
    dealt, _ = interleaved(als, stranger, None, popular.recommend(stranger), "x")
    assert (dealt.fallback_reason, dealt.personalised_share) == ("no_history", 0.0)


def test_places_for_new_items_are_chosen_by_the_user_s_taste_or_are_not(shop: Bundle) -> None:
    """This bundle has no content model: the newest items are the same for everybody."""
    slate = ask(shop, "newcomers", "anna", k=10)
    new = {slot.row for slot in slate.slots if slot.source == "new"}
    assert new
    assert not new & slate.personalised & set(bundles.NEW)
    assert np.isclose(slate.personalised_share or 0.0, 1 - len(new - slate.personalised) / 10)
