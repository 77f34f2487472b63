"""How the main path goes on: low confidence, asking for more, caps in the fallback, live counts; and its trace."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from recsys.bundle import bundle
from recsys.bundle.bundle import Bundle
from recsys.bundle.calibration import Calibration, Curve
from recsys.contracts import EMPTY_HISTORY, PIN, BoolArray, Candidates, FloatArray, IntArray, Query, Slot
from recsys.recommend.recommender import Recommender, Slate
from recsys.sources.nearest import Nearest
from recsys.sources.random import Random
from tests.support import bundles
from tests.support.queries import query, rows_of, sources_of

ALS = Curve(bias=-2.0, score=0.5, rank=-0.25, known=0.1, scale=0.2, slots=100, wanted=9)
POPULAR = Curve(bias=-3.0, slots=50, wanted=2)
MEASURED = Calibration(horizon_days=7.5, curves={"als": {"als": ALS, "popular (fallback)": POPULAR}})


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    loaded = bundle.load(bundles.write(tmp_path_factory.mktemp("paths") / "bundle"))
    return replace(loaded, calibration=MEASURED)


def changed(shop: Bundle, name: str, **settings: Any) -> Bundle:
    """The shop with other settings of one variant."""
    variants = shop.manifest.variants
    variants = {**variants, name: variants[name].model_copy(update=settings)}
    return replace(shop, manifest=shop.manifest.model_copy(update={"variants": variants}))


def careful(shop: Bundle, least: float) -> Bundle:
    return changed(shop, "als", min_confidence=least)


def test_an_answer_that_its_variant_does_not_trust_is_what_is_popular(shop: Bundle) -> None:
    query = Query(shop.histories.of("anna"), 5, bundles.NOW.timestamp(), "anna")
    plain = Recommender(shop, "als").recommend(query)
    (best,) = MEASURED.of("als", plain.slots[:1], 1, len(query.history))
    assert best is not None
    assert Recommender(careful(shop, best * 0.99), "als").recommend(query).slots == plain.slots
    doubted = Recommender(careful(shop, best * 1.01), "als").recommend(query)
    assert doubted.fallback_reason == "low_confidence"
    assert not doubted.degraded
    assert [slot.source for slot in doubted.slots] == ["popular"] * 5
    assert all(slot.fallback for slot in doubted.slots)
    assert not {slot.row for slot in doubted.slots} & {*query.history.rows.tolist(), bundles.SOLD_OUT}


def test_without_a_measured_confidence_nothing_is_doubted(shop: Bundle) -> None:
    query = Query(shop.histories.of("anna"), 5, bundles.NOW.timestamp(), "anna")
    unmeasured = replace(careful(shop, 0.99), calibration=None)
    assert Recommender(unmeasured, "als").recommend(query).fallback_reason is None


def test_whoever_has_no_history_is_told_so_and_not_that_confidence_is_low(shop: Bundle) -> None:
    query = Query(EMPTY_HISTORY, 5, bundles.NOW.timestamp())
    assert Recommender(careful(shop, 0.99), "als").recommend(query).fallback_reason == "no_history"


class Rules:
    """Pins these rows, fills up to `room` places, boosts nothing."""

    def __init__(self, pinned: tuple[int, ...] = (), room: int = 99) -> None:
        self._pinned, self._room = pinned, room

    def keep(self, query: Query, rows: IntArray) -> BoolArray:
        return np.ones(len(rows), dtype=np.bool_)

    def adjust(self, query: Query, rows: IntArray, scores: FloatArray) -> FloatArray:
        return scores

    def pins(self, query: Query) -> IntArray:
        return np.array(self._pinned, dtype=np.int32)

    def depth(self, k: int) -> int:
        return k

    def room(self, slots: list[Slot], rows: IntArray, n: int) -> Any:
        return np.arange(len(rows))[: min(n, self._room - len(slots))]

    def arrange(self, query: Query, slots: list[Slot]) -> list[Slot]:
        return list({slot.row: slot for slot in slots}.values())[: self._room]


def steps(slate: Slate) -> dict[str, tuple[int, int]]:
    return {step.name: (step.kept, step.removed) for step in slate.trace}


def test_a_pinned_place_says_nothing_of_the_confidence(shop: Bundle) -> None:
    asked = query(shop, "anna")
    plain = Recommender(shop, "als").recommend(asked, Rules(pinned=(12,)))
    assert (plain.slots[0].source, plain.slots[0].score) == (PIN, 0.0)
    own = [slot for slot in plain.slots if slot.source != PIN]
    best, second = MEASURED.of("als", own[:1], 1, len(asked.history))[0], MEASURED.of("als", own[1:2], 2, 5)[0]
    assert best is not None
    assert second is not None
    between = (best + second) / 2
    trusted = Recommender(careful(shop, between), "als").recommend(asked, Rules(pinned=(12,)))
    assert trusted.slots == plain.slots
    doubted = Recommender(careful(shop, best * 1.01), "als").recommend(asked, Rules(pinned=(12,)))
    assert doubted.fallback_reason == "low_confidence"
    assert sources_of(doubted) == {PIN, "popular"}


def test_the_trace_has_a_step_for_pins_and_for_their_arrangement(shop: Bundle) -> None:
    slate = Recommender(shop, "als").recommend(query(shop, "anna"), Rules(pinned=(12, bundles.SOLD_OUT)))
    assert steps(slate)["pins"] == (1, 1)
    assert steps(slate)["arrange"] == (6, 0)
    doubled = Recommender(shop, "als").recommend(query(shop, "anna"), Rules(pinned=(4,)))
    assert steps(doubled)["arrange"] == (5, 1)


@pytest.mark.parametrize(("variant", "encoded"), [("als", 1), ("covisit", 1), ("both", 2), ("popular", 0)])
def test_only_what_a_variant_asks_is_encoded(shop: Bundle, variant: str, encoded: int) -> None:
    sources = [*shop.manifest.variants["als"].sources, *shop.manifest.variants["covisit"].sources]
    if variant == "both":
        shop, variant = changed(shop, "als", sources=[replace_share(each) for each in sources]), "als"
    assert steps(Recommender(shop, variant).recommend(query(shop, "anna")))["encode"] == (encoded, 0)


def replace_share(source: Any) -> Any:
    return source.model_copy(update={"share": 0.5})


def test_what_is_asked_of_a_source_makes_up_for_what_is_known_and_excluded(shop: Bundle) -> None:
    few = changed(shop, "newcomers", candidates=1)
    excluded = np.array([15, 16, 17], dtype=np.int32)
    slate = Recommender(few, "newcomers").recommend(query(shop, "anna", k=2, exclude=excluded))
    assert steps(slate)["source als"] == (2 + 5 + 3, 0)
    assert steps(slate)["source new"] == (1 + 5 + 3, 0)


def counted_calls(monkeypatch: pytest.MonkeyPatch, source: type) -> list[int]:
    """How many candidates each call of `propose` was asked for."""
    asked: list[int] = []
    propose: Callable[..., Candidates] = source.propose  # type: ignore[attr-defined]

    def counted(self: Any, query: Query, n: int) -> Candidates:
        asked.append(n)
        return propose(self, query, n)

    monkeypatch.setattr(source, "propose", counted)
    return asked


def test_where_the_first_candidates_may_not_be_shown_more_are_asked_for(
    shop: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = query(shop, "both", k=1)
    few = Recommender(changed(shop, "als", candidates=1), "als")
    best = few.recommend(query(shop, "both", k=12)).slots
    available = shop.catalogue.available.copy()
    available[[slot.row for slot in best[:6]]] = False
    calls = counted_calls(monkeypatch, Nearest)
    slate = few.recommend(replace(asked, available=available))
    assert calls == [4, 16]
    assert [slot.row for slot in slate.slots] == [best[6].row]
    assert slate.fallback_reason is None


def test_a_source_that_gave_all_it_has_is_not_asked_again(shop: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    known = counted_calls(monkeypatch, Nearest)
    few = Recommender(changed(shop, "als", candidates=23), "als")
    assert few.recommend(query(shop, "żółw/🐢", k=21)).fallback_reason == "too_few_candidates"
    assert known == [23], "it knows 22 items, of the 24 of the catalogue"
    drawn = counted_calls(monkeypatch, Random)
    everything = Recommender(changed(shop, "random", candidates=24), "random")
    assert len(everything.recommend(query(shop, "a stranger", k=24)).slots) == 23
    assert drawn == [24]


def test_the_caps_of_business_rules_hold_in_the_fallback_too(shop: Bundle) -> None:
    slate = Recommender(shop, "als").recommend(query(shop, "a stranger", k=5), Rules(room=2))
    assert len(slate.slots) == 2
    assert slate.shortfall is not None
    assert slate.shortfall.endswith("; the caps of the business rules leave out 21 more")


def test_similar_items_have_a_trace(shop: Bundle) -> None:
    slate = Recommender(shop, "als").similar(3, Query(EMPTY_HISTORY, 6, bundles.NOW.timestamp()))
    assert steps(slate)["source als"][0] >= 6


def test_without_live_counts_the_variant_that_was_trained_answers(shop: Bundle) -> None:
    both = changed(shop, "popular", without_live="als")
    asked = query(shop, "anna")
    slate = Recommender(both, "popular").recommend(asked)
    assert slate.variant == "als"
    assert slate.slots == Recommender(shop, "als").recommend(asked).slots
    assert rows_of(slate) <= set(bundles.KITCHEN)


class OneOfTheKitchen(Rules):
    """At most one item of the kitchen in a list."""

    def room(self, slots: list[Slot], rows: IntArray, n: int) -> Any:
        kitchen = np.isin(rows, bundles.KITCHEN)
        taken = any(slot.row in bundles.KITCHEN for slot in slots)
        return np.flatnonzero(~kitchen | ((np.cumsum(kitchen) == 1) & (not taken)))[:n]

    def arrange(self, query: Query, slots: list[Slot]) -> list[Slot]:
        first = next((slot.row for slot in slots if slot.row in bundles.KITCHEN), None)
        return [slot for slot in slots if slot.row not in bundles.KITCHEN or slot.row == first]


def test_the_fallback_fills_the_list_with_what_the_caps_leave_room_for(shop: Bundle) -> None:
    slate = Recommender(shop, "als").recommend(query(shop, "a stranger", k=9), OneOfTheKitchen())
    assert len(slate.slots) == 9
    assert len(rows_of(slate) & set(bundles.KITCHEN)) <= 1


def test_with_business_rules_more_are_asked_for_and_ordered(shop: Bundle) -> None:
    few = Recommender(changed(shop, "als", candidates=1), "als")
    best = few.recommend(query(shop, "both", k=12)).slots
    available = shop.catalogue.available.copy()
    available[[slot.row for slot in best[:6]]] = False
    slate = few.recommend(query(shop, "both", k=3, available=available), Rules())
    assert [slot.row for slot in slate.slots] == [slot.row for slot in best[6:9]]
    assert slate.fallback_reason is None
