"""The deadline of a request, and parts that a breaker leaves alone."""

import threading
import time
from typing import Any

import numpy as np
import pytest

from recsys.bundle import bundle
from recsys.bundle.bundle import Bundle
from recsys.bundle.index import Index
from recsys.contracts import EMPTY_HISTORY, NO_ROWS, FloatArray, Query
from recsys.recommend.circuit_breaker import CircuitBreaker, CircuitBreakers, Limits
from recsys.recommend.recommender import Recommender
from recsys.recommend.trace import RequestTrace
from recsys.sources import nearest
from tests.support import bundles
from tests.support.apps import until
from tests.support.queries import query, rows_of, sources_of

NOW = bundles.NOW.timestamp()
ANNA = set(bundles.HISTORIES["anna"])


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return bundle.load(bundles.write(tmp_path_factory.mktemp("deadline") / "bundle"))


# ---- the deadline


def test_after_the_deadline_no_optional_part_begins(shop: Bundle) -> None:
    for variant in ("als", "mixed", "als_recent"):
        answer = Recommender(shop, variant).recommend(query(shop, "anna", deadline=time.perf_counter()))
        assert sources_of(answer) == {"popular"}
        assert len(answer.slots) == 5
        assert not rows_of(answer) & {*ANNA, bundles.SOLD_OUT}
        assert (answer.fallback_reason, answer.degraded) == ("deadline", True)
        assert {"encoder als", "source als"} <= set(answer.failed)
    answer = Recommender(shop, "als").similar(3, query(shop, "anna", deadline=time.perf_counter()))
    assert (answer.fallback_reason, answer.failed, len(answer.slots)) == ("deadline", ("similar als",), 5)


def test_a_slow_part_uses_up_the_time_of_those_after_it(shop: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was found before stays in the answer."""
    search = Index.search

    def slow(*args: Any) -> Any:
        found = search(*args)
        while time.perf_counter() < asked.deadline:
            pass
        return found

    monkeypatch.setattr(Index, "search", slow)
    asked = query(shop, "anna", deadline=time.perf_counter() + 0.5)
    answer = Recommender(shop, "mixed").recommend(asked)
    assert sources_of(answer) == {"als"}
    assert answer.failed == ("source popular", "source random")
    assert (len(answer.slots), answer.fallback_reason) == (5, None)


def test_nothing_is_asked_again_for_more_after_the_deadline(shop: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second round would find every part too late, and lose what the first one found."""
    search, asked_for = Index.search, []

    def slow(self: Index, vector: FloatArray, n: int) -> Any:
        asked_for.append(n)
        found = search(self, vector, n)
        while time.perf_counter() < asked.deadline:
            pass
        return found

    monkeypatch.setattr(Index, "search", slow)
    monkeypatch.setattr(nearest, "EXACT_UP_TO", 0)  # or else so few items are scored without the index
    recommender = Recommender(shop, "als")
    recommender._candidates = 1
    only = np.zeros(bundles.N_ITEMS, dtype=np.bool_)
    only[[5, 10]] = True  # 5 is among the first seven for this user, 10 is not
    asked = query(shop, "anna", k=2, only=only, deadline=time.perf_counter() + 0.5)
    answer = recommender.recommend(asked)
    assert len(asked_for) == 1
    assert [(slot.row, slot.source) for slot in answer.slots] == [(5, "als"), (10, "popular")]


# ---- breakers


def test_a_broken_source_is_left_alone_and_comes_back(shop: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    breakers = CircuitBreakers(Limits(window=4, failures=2, cooldown_s=2.0), lambda: now[0])
    recommender = Recommender(shop, "als", breakers)
    calls = []

    def fail(*_: Any) -> Any:
        calls.append(now[0])
        raise RuntimeError("broken on purpose")

    with monkeypatch.context() as patch:
        patch.setattr(Index, "search", fail)
        for _ in range(10):
            answer = recommender.recommend(query(shop, "anna"))
            assert (answer.failed, answer.fallback_reason) == (("source als",), "part_failed")
            assert len(answer.slots) == 5
        assert len(calls) == 2  # the other eight did not ask
        assert not breakers.of("source als").closed
        now[0] = 2.0
        recommender.recommend(query(shop, "anna"))
        until(lambda: len(calls) == 3 and "source als again" not in {thread.name for thread in threading.enumerate()})
    now[0] = 5.0
    assert recommender.recommend(query(shop, "anna")).degraded  # it tries the source aside
    until(lambda: breakers.of("source als").closed)
    answer = recommender.recommend(query(shop, "anna"))
    assert (answer.failed, sources_of(answer)) == ((), {"als"})


def test_a_slow_source_is_left_alone_too(shop: Bundle) -> None:
    """But no rule: it is obeyed, however long it takes."""
    breakers = CircuitBreakers(Limits(window=4, failures=2, slow_s=1e-9), lambda: 0.0)
    recommender = Recommender(shop, "popular", breakers)
    for _ in range(2):
        assert not recommender.recommend(query(shop, "anna")).degraded
    answer = recommender.recommend(query(shop, "anna"))
    assert sources_of(answer) == {"static"}
    assert len(answer.slots) == 5
    assert not rows_of(answer) & {*ANNA, bundles.SOLD_OUT}


def test_a_stranger_is_answered_by_the_rungs_when_everything_is_left_alone(shop: Bundle) -> None:
    class AllOpen(CircuitBreakers):
        def of(self, part: str) -> CircuitBreaker:
            breaker = CircuitBreaker(part, Limits(failures=1, cooldown_s=float("inf")))
            breaker.failed()
            return breaker

    answer = Recommender(shop, "mixed", AllOpen()).recommend(Query(EMPTY_HISTORY, 5, NOW, exclude=NO_ROWS))
    assert sources_of(answer) == {"static"}
    assert len(answer.slots) == 5
    assert bundles.SOLD_OUT not in rows_of(answer)


def test_a_part_is_optional_unless_it_says_otherwise_and_a_step_removes_nothing() -> None:
    trace, breaker = RequestTrace(deadline=0.0), CircuitBreakers().of("part")
    assert trace.call_or_default(breaker, lambda: 1, 0) == 0
    assert (trace.late, trace.failed) == (True, ["part"])
    assert trace.call_or_default(breaker, lambda: 1, 0, optional=False) == 1
    trace.step("step", 3)
    assert (trace.steps[0].kept, trace.steps[0].removed) == (3, 0)
    trace.clock -= 2
    trace.step("two seconds later", 3)
    assert 2000 <= trace.steps[1].ms < 2001.9
