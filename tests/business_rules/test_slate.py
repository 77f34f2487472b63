"""What business rules do, one at a time; `tests/business_rules/test_slate_promises.py` holds what all of them
keep together.
"""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import polars as pl
import pytest

from recsys.bundle import bundle
from recsys.bundle.bundle import Bundle
from recsys.business_rules import slate
from recsys.business_rules.schema import Rules
from recsys.business_rules.slate import CompiledSlateRules
from recsys.contracts import EMPTY_HISTORY, PIN, Query
from recsys.recommend.recommender import Recommender, Slate
from tests.support import bundles

NOW = bundles.NOW.timestamp()


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return bundle.load(bundles.write(tmp_path_factory.mktemp("shaping") / "bundle"))


def shape(shop: Bundle, **content: Any) -> CompiledSlateRules:
    made, missing = slate.compiled(Rules.model_validate(content), shop)
    assert missing == []
    return made


def ask(shop: Bundle, wishes: CompiledSlateRules, user_id: str = "anna", k: int = 6, variant: str = "als") -> Slate:
    history = shop.histories.of(user_id)
    return Recommender(shop, variant).recommend(Query(history, k, NOW, user_id), wishes)


def rows_of(answer: Slate) -> list[int]:
    return [slot.row for slot in answer.slots]


def test_without_a_wish_the_answer_is_the_one_without_a_shape(shop: Bundle) -> None:
    for variant in shop.manifest.variants:
        plain = Recommender(shop, variant).recommend(Query(shop.histories.of("anna"), 6, NOW, "anna"))
        assert ask(shop, shape(shop), variant=variant).slots == plain.slots


def test_a_boost_moves_up_and_shows_and_the_score_stays_the_model_s(shop: Bundle) -> None:
    garden = {*bundles.GARDEN, bundles.ODD}
    plain = ask(shop, shape(shop), "both", k=20)
    assert not set(rows_of(plain)[:12]) <= garden
    answer = ask(shop, shape(shop, boost=[{"filter": 'category = "garden"', "factor": 3}]), "both", k=10)
    assert set(rows_of(answer)) < garden
    scores = {slot.row: slot.score for slot in plain.slots}
    assert [(slot.score, slot.boost) for slot in answer.slots] == [(scores[row], 3) for row in rows_of(answer)]
    assert {slot.boost for slot in plain.slots} == {1}


def test_what_is_buried_comes_last_also_where_scores_are_negative(shop: Bundle) -> None:
    wishes = shape(shop, bury=[{"filter": 'category = "kitchen"', "factor": 0}])
    rows = np.array([0, 10, 1, 11], dtype=np.int32)
    adjusted = wishes.adjust(Query(EMPTY_HISTORY, 4, NOW), rows, np.array([-1, -2, -3, -4], dtype=np.float32))
    assert adjusted.tolist() == [-4, -2, -4, -4]
    first = rows_of(ask(shop, wishes, "a stranger", k=4))
    assert not set(first) & {*bundles.KITCHEN}


def test_scores_that_no_wish_touches_stay_the_very_same_array(shop: Bundle) -> None:
    wishes = shape(shop, boost=[{"filter": 'category = "garden"', "factor": 2}])
    scores = np.ones(2, dtype=np.float32)
    assert wishes.adjust(Query(EMPTY_HISTORY, 2, NOW), np.array([0, 1], dtype=np.int32), scores) is scores


def test_pins_stand_where_they_are_wished_and_who_forbids_wins(shop: Bundle) -> None:
    pins = [
        {"item": "garden-15", "position": 3},
        {"item": "garden-16", "position": 1},
        {"item": "kitchen-0", "position": 2},  # anna has it
        {"item": "sold-out", "position": 4},
        {"item": "garden-17", "position": 5},  # blocked
        {"item": "garden-18", "position": 9},  # not on this page
    ]
    wishes = shape(shop, pin=pins, block={"items": ["garden-17"]})
    answer = ask(shop, wishes)
    pinned = {at: slot.row for at, slot in enumerate(answer.slots, start=1) if slot.source == PIN}
    assert pinned == {1: 16, 3: 15}
    trace = {step.name: step for step in answer.trace}
    assert (trace["pins"].kept, trace["pins"].removed) == (2, 3)
    assert answer.fallback_reason is None


def test_a_pin_keeps_its_place_when_the_fallback_fills_the_list(shop: Bundle) -> None:
    answer = ask(shop, shape(shop, pin=[{"item": "garden-15", "position": 4}]), "a stranger")
    assert [slot.source for slot in answer.slots] == ["popular"] * 3 + [PIN] + ["popular"] * 2


def test_two_pins_of_one_place_stand_side_by_side(shop: Bundle) -> None:
    pins = [{"item": "garden-15", "position": 2}, {"item": "garden-16", "position": 2}]
    assert rows_of(ask(shop, shape(shop, pin=pins)))[1:3] == [15, 16]


def test_a_pin_has_its_time_and_its_surfaces(shop: Bundle) -> None:
    since, until = datetime(2026, 11, 27, tzinfo=UTC), datetime(2026, 11, 30, tzinfo=UTC)
    pin = {"item": "garden-15", "position": 1, "since": since, "until": until, "surfaces": ["home"]}
    wishes = shape(shop, pin=[pin])
    start, end = since.timestamp(), until.timestamp()
    for now, surface, stands in [
        (start - 1, "home", False),
        (start, "home", True),
        (end - 1, "home", True),
        (end, "home", False),
        (start, "basket", False),
        (start, None, False),
    ]:
        assert (rows_of(ask(shop, wishes.at(now, surface)))[0] == 15) == stands


def test_a_cap_is_kept_and_the_list_still_full(shop: Bundle) -> None:
    answer = ask(shop, shape(shop, cap={"categories": {"kitchen": 2}}), k=10)
    assert len([row for row in rows_of(answer) if row in bundles.KITCHEN]) == 2
    assert len(answer.slots) == 10
    assert rows_of(answer)[:2] == rows_of(ask(shop, shape(shop)))[:2]


def test_a_cap_has_its_surfaces(shop: Bundle) -> None:
    wishes = shape(shop, cap={"categories": {"kitchen": 2}, "surfaces": ["home"]})
    for surface, shown in [("home", 2), ("category", 6), (None, 6)]:
        rows = rows_of(ask(shop, wishes.at(NOW, surface), k=6))
        assert len([row for row in rows if row in bundles.KITCHEN]) == shown


def test_a_cap_on_every_category_leaves_a_shortfall_that_says_so(shop: Bundle) -> None:
    wishes = shape(shop, cap={"every_category": 3, "categories": {"garden > tools": 1}})
    answer = ask(shop, wishes, "a stranger", k=20)
    # three of the kitchen, one with tools and the odd one of the garden, two that have no category
    assert len(answer.slots) == 7
    assert answer.shortfall == (
        "only 7 of 24 items may be shown here, 20 were asked for; the caps of the business rules leave out 16 more"
    )


def test_a_cap_looks_beyond_the_first_popular_items(shop: Bundle) -> None:
    order = np.argsort(-shop.catalogue.recent, kind="stable")
    names: list[list[str]] = [["a"]] * bundles.N_ITEMS
    for row in order[20:]:
        names[row] = ["b"]
    frame = shop.catalogue.frame.with_columns(categories=pl.Series(names, dtype=pl.List(pl.String)))
    other = replace(shop, catalogue=replace(shop.catalogue, frame=frame))
    answer = ask(other, shape(other, cap={"categories": {"a": 1}}), "a stranger", k=2)
    assert sorted(names[row][0] for row in rows_of(answer)) == ["a", "b"]


def test_a_cap_looks_beyond_the_first_candidates_before_the_fallback_answers(shop: Bundle) -> None:
    plain = rows_of(ask(shop, shape(shop), "both", k=20))
    names: list[list[str]] = [["a"]] * bundles.N_ITEMS
    names[plain[15]] = ["b"]
    frame = shop.catalogue.frame.with_columns(categories=pl.Series(names, dtype=pl.List(pl.String)))
    other = replace(shop, catalogue=replace(shop.catalogue, frame=frame))
    answer = ask(other, shape(other, cap={"categories": {"a": 1}}), "both", k=2)
    assert rows_of(answer) == [plain[0], plain[15]]
    assert answer.fallback_reason is None


def test_diversity_brings_in_what_is_unlike_and_keeps_the_best(shop: Bundle) -> None:
    plain = rows_of(ask(shop, shape(shop), k=4))
    mixed = rows_of(ask(shop, shape(shop).at(NOW, diversity=0.7), k=4))
    assert set(plain) <= set(bundles.KITCHEN)
    assert mixed[0] == plain[0]
    assert set(mixed) & {*bundles.GARDEN, bundles.ODD}
    assert rows_of(ask(shop, shape(shop, diversity=0.7), k=4)) == mixed
    assert rows_of(ask(shop, shape(shop, diversity=0.7).at(NOW, diversity=0.0), k=4)) == plain


def test_diversity_of_a_list_without_a_model_goes_by_categories(shop: Bundle) -> None:
    for user_id in ("anna", "a stranger"):
        shown = rows_of(ask(shop, shape(shop, diversity=0.9), user_id, k=4, variant="popular"))
        groups = [tuple(names) for names in shop.catalogue.frame["categories"].gather(shown).to_list()]
        assert len(set(groups)) >= 3


def test_new_items_keep_their_share_beside_pins_and_diversity(shop: Bundle) -> None:
    als = shop.manifest.variants["als"].model_copy(update={"new_item_share": 0.2})
    variants = {**shop.manifest.variants, "als_new": als}
    other = replace(shop, manifest=shop.manifest.model_copy(update={"variants": variants}))
    pins = [{"item": "garden-15", "position": 1}, {"item": "garden-16", "position": 2}]
    wishes = shape(other, pin=pins, diversity=0.1)
    sources = [slot.source for slot in ask(other, wishes, k=10, variant="als_new").slots]
    assert sources.count("new") == [
        slot.source for slot in ask(other, shape(other), k=10, variant="als_new").slots
    ].count("new")
    assert sources.count("new") >= 2
    assert sources[:2] == [PIN, PIN]


def test_similar_items_are_not_capped_but_never_blocked(shop: Bundle) -> None:
    wishes = shape(shop, cap={"every_category": 1}, diversity=1, block={"items": ["kitchen-4"]})
    answer = Recommender(shop, "als").similar(3, Query(EMPTY_HISTORY, 6, NOW), wishes)
    assert len(answer.slots) == 6
    assert set(rows_of(answer)) <= set(bundles.KITCHEN) - {3, 4}


def test_what_the_catalogue_does_not_have_is_named(shop: Bundle) -> None:
    content = {
        "block": {"items": ["kitchen-0", "lamp"], "categories": ["garden", "sea"]},
        "cap": {"categories": {"sky": 1}},
        "boost": [{"filter": 'price < 3 and not category in ("kitchen", "moon")', "factor": 2}],
        "bury": [{"filter": "attributes.stars < 2 or attributes.kg > 9", "factor": 0.5}],
        "pin": [{"item": "vase", "position": 1}],
    }
    made, missing = slate.compiled(Rules.model_validate(content), shop)
    assert missing == [
        "block.items: 'lamp'",
        "pin.0.item: 'vase'",
        "block.categories: 'sea'",
        "cap.categories: 'sky'",
        "boost.0.filter: 'moon'",
        "bury.0.filter: 'attributes.kg'",
        "bury.0.filter: 'attributes.stars'",
    ]
    assert made.allowed is not None
    assert np.flatnonzero(~made.allowed).tolist() == [0, *bundles.GARDEN, bundles.ODD]  # the rest still counts
