"""The circuit breaker against a model of it, and its states one by one."""

import logging
from functools import partial
from threading import Event, get_ident
from unittest.mock import Mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.recommend.circuit_breaker import CircuitBreaker, CircuitBreakers, Limits
from tests.support.apps import until

LIMITS = Limits(window=4, failures=2, slow_s=0.1, cooldown_s=10)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> CircuitBreaker:
    return CircuitBreaker("source als", LIMITS, clock)


def test_it_opens_when_enough_of_the_last_calls_were_bad(breaker: CircuitBreaker) -> None:
    breaker.failed()
    for _ in range(3):
        breaker.succeeded(0.01)
    assert breaker.closed
    breaker.succeeded(0.01)  # the first failure leaves the window
    breaker.failed()
    assert breaker.allows()
    breaker.failed()
    assert not breaker.allows()


def test_slow_counts_as_bad(breaker: CircuitBreaker, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        breaker.succeeded(0.2)
        breaker.succeeded(0.1)
        assert breaker.closed
        breaker.succeeded(0.2)
    assert not breaker.allows()
    assert caplog.messages == ["source als is slow; it is skipped, and tried once in 10 s"]


def test_a_call_that_hangs_counts_as_many_but_one_alone_opens_nothing(clock: Clock) -> None:
    breaker = CircuitBreaker("source als", Limits(window=20, failures=5, slow_s=0.1), clock)
    breaker.succeeded(60)
    assert breaker.closed
    breaker.succeeded(0.01)
    breaker.succeeded(0.11)
    assert not breaker.closed


def test_a_call_in_a_thread_is_made_once_at_a_time_and_closes_if_it_succeeds(
    breaker: CircuitBreaker, clock: Clock
) -> None:
    opened(breaker)
    held, began, callers = Event(), Event(), list[int]()

    def hangs() -> None:
        callers.append(get_ident())
        began.set()
        held.wait()
        raise RuntimeError("too late")

    breaker.call_in_thread(hangs)
    assert began.wait(30)
    breaker.call_in_thread(hangs)  # does nothing
    held.set()
    until(partial(well_again, breaker))
    assert len(callers) == 1
    assert callers != [get_ident()]


@pytest.mark.parametrize(("times", "closes"), [(1.5, True), (2.5, False)])
def test_a_call_in_a_thread_may_take_twice_as_long(
    breaker: CircuitBreaker, monkeypatch: pytest.MonkeyPatch, times: float, closes: bool
) -> None:
    opened(breaker)
    clock = iter([0.0, times * breaker.slow_s])
    monkeypatch.setattr("recsys.recommend.circuit_breaker.perf_counter", lambda: next(clock))
    breaker._call(lambda: None)
    assert breaker.closed is closes


def test_a_process_without_room_for_a_thread_leaves_the_breaker_open(
    breaker: CircuitBreaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened(breaker)
    with monkeypatch.context() as full:
        full.setattr("recsys.recommend.circuit_breaker.Thread.start", Mock(side_effect=RuntimeError))
        breaker.call_in_thread(lambda: None)
    assert not breaker.closed
    until(partial(well_again, breaker))


def well_again(breaker: CircuitBreaker) -> bool:
    breaker.call_in_thread(lambda: None)
    return breaker.closed


def opened(breaker: CircuitBreaker) -> None:
    breaker.failed()
    breaker.failed()
    assert not breaker.closed


def test_after_the_cooldown_one_request_tries_and_success_closes(breaker: CircuitBreaker, clock: Clock) -> None:
    opened(breaker)
    clock.now = 9.9
    assert not breaker.allows()
    clock.now = 10
    assert [breaker.allows() for _ in range(3)] == [True, False, False]
    breaker.succeeded(0.01)
    assert breaker.closed
    breaker.failed()  # what was before is forgotten
    assert breaker.allows()


def test_a_try_that_fails_opens_for_another_cooldown(breaker: CircuitBreaker, clock: Clock) -> None:
    opened(breaker)
    clock.now = 12
    assert breaker.allows()
    clock.now = 13
    breaker.failed()
    clock.now = 22.9
    assert not breaker.allows()
    clock.now = 23
    assert breaker.allows()


def test_a_try_that_never_comes_back_is_followed_by_another(breaker: CircuitBreaker, clock: Clock) -> None:
    opened(breaker)
    clock.now = 10
    assert breaker.allows()
    clock.now = 19
    assert not breaker.allows()
    clock.now = 20
    assert breaker.allows()


def test_parts_have_nothing_to_do_with_each_other(clock: Clock) -> None:
    breakers = CircuitBreakers(LIMITS, clock)
    breakers.of("ranker").succeeded(0)
    for _ in range(2):
        breakers.of("source als").failed()
    assert breakers.of("ranker").allows()
    assert not breakers.of("source als").allows()


def test_by_default_nothing_is_left_alone() -> None:
    """Offline every part is called, however slow it is: the same input gives the same lists."""
    breaker = CircuitBreakers().of("source als")
    for _ in range(100):
        breaker.failed()
        breaker.succeeded(1e9)
    assert breaker.allows()


@given(st.lists(st.tuples(st.sampled_from(["good", "slow", "bad"]), st.floats(0, 6)), max_size=60))
def test_whatever_happens(calls: list[tuple[str, float]]) -> None:
    """Open means: asked at most once in a cooldown. Never open without enough bad calls. A part that is well is asked
    again after one cooldown at the latest."""
    clock = Clock()
    breaker = CircuitBreaker("x", LIMITS, clock)
    outcomes: list[bool] = []  # of the calls since it closed last
    asked_at: float | None = None
    for how, pause in calls:
        clock.now += pause
        was_closed = breaker.closed
        if breaker.allows():
            if not was_closed:
                assert asked_at is not None
                assert clock.now >= asked_at + LIMITS.cooldown_s
            asked_at = clock.now
            if how == "bad":
                breaker.failed()
            elif how == "slow" or not breaker.all_good:  # what the main path notes, see `RequestTrace.call_or_default`
                breaker.succeeded(0.2 if how == "slow" else 0.0)
            outcomes.append(how != "good")
            if was_closed:
                assert breaker.closed == (sum(outcomes[-LIMITS.window :]) < LIMITS.failures)
            else:
                assert breaker.closed == (how == "good")
                outcomes = []
        else:
            assert asked_at is not None
            assert clock.now < asked_at + LIMITS.cooldown_s
    clock.now += LIMITS.cooldown_s
    assert breaker.allows()
