"""Every rung of the ladder, by breaking what is above it: sources, rules, business rules."""

from typing import Any

import numpy as np
import pytest

from recsys.bundle import bundle
from recsys.bundle.bundle import Bundle
from recsys.contracts import BoolArray, FloatArray, IntArray, Query, Slot
from recsys.recommend import fallback, slate_rules
from recsys.recommend.recommender import Recommender
from recsys.rules.available import Available
from recsys.rules.seen import Seen
from recsys.sources.nearest import Nearest
from recsys.sources.popular import Popular
from recsys.sources.random import Random
from tests.support import bundles
from tests.support.queries import query, rows_of, sources_of

NOW = bundles.NOW.timestamp()
ANNA = set(bundles.HISTORIES["anna"])


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return bundle.load(bundles.write(tmp_path_factory.mktemp("ladder") / "bundle"))


def broken(*_: Any) -> Any:
    raise RuntimeError("broken on purpose")


# ---- the rungs


def test_one_rung_after_another_and_every_answer_is_full(shop: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    """Full, without the broken source, popular, static; never an item that is sold out, excluded or known."""
    recommender = Recommender(shop, "mixed")
    asked = query(shop, "anna", exclude=np.array([4], dtype=np.int32))
    found = [recommender.recommend(asked)]
    monkeypatch.setattr(Nearest, "propose", broken)
    found.append(recommender.recommend(asked))
    monkeypatch.setattr(Random, "propose", broken)
    found.append(Recommender(shop, "als").recommend(asked))
    monkeypatch.setattr(Popular, "propose", broken)
    found.append(recommender.recommend(asked))
    assert [sources_of(answer) for answer in found] == [
        {"als", "popular", "random"},
        {"popular", "random"},
        {"popular"},
        {"static"},
    ]
    assert [answer.degraded for answer in found] == [False, True, True, True]
    assert found[-1].failed == ("source als", "source popular", "source random")
    for answer in found:
        assert len(rows_of(answer)) == 5
        assert answer.shortfall is None
        assert not rows_of(answer) & {*ANNA, bundles.SOLD_OUT, 4}


def test_the_popular_rung_prefers_the_chosen_categories(shop: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Nearest, "propose", broken)
    answer = Recommender(shop, "als").recommend(query(shop, "ben", categories=("kitchen",)))
    assert sources_of(answer) == {"popular"}
    assert rows_of(answer) <= set(bundles.KITCHEN)


def test_the_trace_says_how_long_the_list_is_after_the_fallback(shop: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Nearest, "propose", broken)
    last = Recommender(shop, "als").recommend(query(shop, "anna")).trace[-1]
    assert (last.name, last.kept, last.removed) == ("fallback", 5, 0)


# ---- rules that fail


def test_a_rule_that_fails_forbids_what_it_forbade_when_the_bundle_was_loaded(
    shop: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    recommender = Recommender(shop, "als")
    monkeypatch.setattr(Available, "keep", broken)
    answer = recommender.recommend(query(shop, "anna", k=17))
    assert answer.failed == ("rule available",)
    assert len(rows_of(answer)) == 17
    assert not rows_of(answer) & {*ANNA, bundles.SOLD_OUT}


def test_what_sells_out_while_the_rule_fails_is_not_shown(shop: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    recommender, available = Recommender(shop, "als"), shop.catalogue.available.copy()
    monkeypatch.setattr(Available, "keep", broken)
    best = recommender.recommend(query(shop, "anna", available=available)).slots[0].row
    available[best] = False
    assert best not in rows_of(recommender.recommend(query(shop, "anna", k=16, available=available)))


def test_when_seen_fails_items_repeat_and_nothing_forbidden_leaks(
    shop: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    recommender = Recommender(shop, "als")
    monkeypatch.setattr(Seen, "keep", broken)
    answer = recommender.recommend(query(shop, "everything", k=23))
    assert answer.failed == ("rule seen",)
    assert rows_of(answer) == set(range(bundles.N_ITEMS)) - {bundles.SOLD_OUT}


def test_a_rule_that_answers_nonsense_counts_as_failed(shop: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    recommender = Recommender(shop, "als")
    monkeypatch.setattr(Available, "keep", lambda *_: np.ones(3, dtype=np.bool_))
    answer = recommender.recommend(query(shop, "anna"))
    assert (answer.failed, len(answer.slots)) == (("rule available",), 5)
    assert bundles.SOLD_OUT not in rows_of(answer)


# ---- business rules that fail


class Shop:
    """Blocks row 5, pins row 6, at most two slots; `broken` names the methods that raise."""

    def __init__(self) -> None:
        self.broken: set[str] = set()

    def _may_fail(self, name: str) -> None:
        if name in self.broken:
            raise RuntimeError("broken on purpose")

    def keep(self, query: Query, rows: IntArray) -> BoolArray:
        self._may_fail("keep")
        return rows != 5

    def adjust(self, query: Query, rows: IntArray, scores: FloatArray) -> FloatArray:
        self._may_fail("adjust")
        return scores

    def pins(self, query: Query) -> IntArray:
        self._may_fail("pins")
        return np.array([6], dtype=np.int32)

    def depth(self, k: int) -> int:
        self._may_fail("depth")
        return 2 * k

    def room(self, slots: list[Slot], rows: IntArray, n: int) -> Any:
        self._may_fail("room")
        return np.arange(len(rows))[:n]

    def arrange(self, query: Query, slots: list[Slot]) -> list[Slot]:
        self._may_fail("arrange")
        return list({slot.row: slot for slot in slots}.values())


KINDS = {"adjust": "boost", "pins": "pin", "depth": "cap", "arrange": "cap", "room": "cap", "keep": "block"}


@pytest.mark.parametrize(("method", "kind"), KINDS.items())
@pytest.mark.parametrize("user_id", ["anna", "a stranger"])
def test_a_business_rule_that_fails_costs_its_effect_alone(shop: Bundle, method: str, kind: str, user_id: str) -> None:
    rules, recommender = Shop(), Recommender(shop, "als")
    before = recommender.recommend(query(shop, user_id, k=10), rules)
    assert 5 not in rows_of(before)
    assert 6 in rows_of(before)
    rules.broken = {method}
    answer = recommender.recommend(query(shop, user_id, k=10), rules)
    assert answer.failed in ((f"business rules {kind}",), ())  # `room` is asked for fallbacks only
    assert len(answer.slots) == 10
    assert 5 not in rows_of(answer)


def test_business_rules_that_never_said_what_they_block_let_nothing_pass(shop: Bundle) -> None:
    rules = Shop()
    rules.broken = {"keep"}
    answer = Recommender(shop, "als").recommend(query(shop, "anna"), rules)
    assert answer.slots == ()
    assert "business rules block" in answer.failed


def test_a_block_that_changes_counts_within_a_second_even_if_the_rules_then_fail(
    shop: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slate_rules, "ASK_AGAIN_SECONDS", 0.0)
    rules, recommender = Shop(), Recommender(shop, "als")
    monkeypatch.setattr(rules, "keep", lambda _, rows: rows != 7)
    recommender.recommend(query(shop, "anna"), rules)
    monkeypatch.setattr(rules, "keep", broken)
    rows = rows_of(recommender.recommend(query(shop, "anna", k=17), rules))
    assert 7 not in rows
    assert 5 in rows


@pytest.mark.parametrize("chunk", [1, 2, 5])
def test_judged_in_parts_the_list_is_the_same(shop: Bundle, monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    recommender = Recommender(shop, "als")
    whole = recommender.recommend(query(shop, "newcomer", 12))
    assert {slot.fallback for slot in whole.slots} == {True}
    monkeypatch.setattr(fallback, "CHUNK", chunk)
    assert recommender.recommend(query(shop, "newcomer", 12)).slots == whole.slots
