"""The answer to one request made of a draft, the exposure made of an answer, and what a request costs."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from recsys.bundle.bundle import Bundle
from recsys.experiments.online.assignment import Assignment
from serving.api.schemas import Answer, RecommendRequest
from serving.engine.engine import Draft, Engine
from serving.engine.overlay import NOBODY
from serving.service import costs, finish
from serving.stores.protocol import Exposure

ASSIGNED = Assignment("home", "b", "anna", 0.25)


@pytest.fixture
def draft(hand_made: Bundle) -> Draft:
    return Engine(hand_made, "0").recommend(RecommendRequest(user_id="anna", k=3), "id", NOBODY)


def test_a_draft_becomes_the_answer_to_one_request(draft: Draft) -> None:
    draft.warnings.append("a warning")
    answer = finish.finished(draft, "r1", {"total": 1.23456}, ASSIGNED, next_cursor="next")
    assert (answer.request_id, answer.next_cursor, answer.warnings) == ("r1", "next", ["a warning"])
    assert (answer.items, answer.meta.timings_ms) == (draft.items, {"total": 1.235})
    said = answer.meta.experiment
    assert said is not None
    assert (said.name, said.variant, said.propensity, said.unit) == ("home", "b", 0.25, "anna")


@pytest.mark.parametrize(
    ("shed", "reason", "said"),
    [(True, "deadline", "shed"), (False, "deadline", "deadline"), (True, "no_history", "no_history")],
)
def test_what_was_cut_short_says_whether_it_was_to_shed_load(draft: Draft, shed: bool, reason: Any, said: str) -> None:
    draft.meta.fallback_reason = reason
    assert finish.finished(draft, "r1", {}, None, shed).meta.fallback_reason == said
    draft.meta.fallback_reason = reason
    assert finish.finished(draft, "r1", {}).meta.fallback_reason == reason


@pytest.fixture
def exposed(draft: Draft) -> Callable[..., Exposure]:
    def exposure(assignment: Assignment | None = None, **request: Any) -> Exposure:
        answer: Answer = finish.finished(draft, "r1", {"total": 7.0}, assignment)
        return finish.exposure(RecommendRequest(**request), answer, {"shed": False})

    return exposure


def test_an_exposure_is_of_the_user_the_visitor_or_the_request(exposed: Callable[..., Exposure]) -> None:
    def whose(found: Exposure) -> tuple[str, str | None, str | None]:
        return found.unit, found.user_id, found.anonymous_id

    assert whose(exposed(user_id="anna")) == ("anna", "anna", None)
    assert whose(exposed(user_id="anna", anonymous_id="cookie")) == ("anna", "anna", "cookie")
    assert whose(exposed(anonymous_id="cookie")) == ("cookie", None, "cookie")
    assert whose(exposed()) == ("r1", None, "r1")
    assert whose(exposed(ASSIGNED, anonymous_id="cookie")) == ("anna", None, "cookie")


def test_an_exposure_says_what_was_shown_and_why(exposed: Callable[..., Exposure], draft: Draft) -> None:
    found = exposed(ASSIGNED, user_id="anna", surface="home")
    assert abs(found.timestamp - time.time()) < 60
    assert (found.experiment, found.propensity, found.variant, found.surface) == ("home", 0.25, "als", "home")
    assert [(item.item_id, item.position) for item in found.items] == [
        (item.item_id, place) for place, item in enumerate(draft.items, 1)
    ]
    assert (found.context["arm"], found.context["teams"], found.context["latency_ms"]) == ("b", [], 7.0)
    draft.meta.experiment = None
    plain = exposed(user_id="anna")
    assert (plain.experiment, plain.propensity, plain.context["arm"]) == (None, 1.0, None)


def test_a_replay_keeps_what_was_asked_beyond_the_defaults(exposed: Callable[..., Exposure]) -> None:
    found = exposed(user_id="anna", k=7, surface="home", session=[], filter=None)
    assert found.replay is not None
    assert found.replay["request"] == {"k": 7, "surface": "home"}
    assert (found.replay["shed"], found.replay["timings_ms"]) == (False, {"total": 7.0})


def test_a_list_costs_by_its_places_reasons_and_what_was_given() -> None:
    def cost(**request: Any) -> float:
        return costs.of(RecommendRequest(**request))

    assert cost() == cost(k=1) == cost(k=10) == 1
    assert cost(k=60) == pytest.approx(2.0)
    given = [str(number) for number in range(100)]
    session = [{"item_id": "kettle"}] * 40
    assert cost(exclude_ids=given) == cost(candidates=given) == pytest.approx(1.5)
    assert cost(exclude_ids=given, candidates=given, session=session) == pytest.approx(2.2)
    assert cost(k=10, options={"explain": True}) == pytest.approx(15.0)


def test_rows_to_store_cost_little_after_the_first() -> None:
    assert costs.of_rows(1) == 1
    assert costs.of_rows(201) == pytest.approx(2.0)
