"""The type of the business rules that the recommender applies to a query, and the guard that calls them: if they fail,
the answer is made without them, but blocked items stay out."""

from collections.abc import Callable
from functools import partial
from time import perf_counter
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from recsys.contracts import NO_ROWS, BoolArray, FloatArray, IntArray, Query, Slot
from recsys.recommend.circuit_breaker import CircuitBreaker, CircuitBreakers
from recsys.recommend.trace import RequestTrace

ASK_AGAIN_SECONDS = 1.0

T = TypeVar("T")


class SlateRules(Protocol):
    """The shop's business rules, applied after those of the variant: blocks, boosts, pins, caps, diversity.

    rows: (m,) int32, catalogue rows of candidates. keep: see `recsys.contracts.Rule`. adjust: returns `scores`, (m,)
    float32, higher is better, with the boosts; the same array object if none applies. pins: (p,) int32, catalogue rows
    with a fixed position; those that may be shown are passed to `arrange` as slots of the source `PIN`. depth: number
    of ordered slots that `arrange` needs for an answer of k items. room: rows are best first; returns the positions in
    `rows`, ascending, of up to n items that can be added to `slots` within the caps (most items of a category).
    arrange: takes ordered slots, returns the answer, best first; it may leave out and reorder slots, not add any.
    """

    def keep(self, query: Query, rows: IntArray) -> BoolArray: ...

    def adjust(self, query: Query, rows: IntArray, scores: FloatArray) -> FloatArray: ...

    def pins(self, query: Query) -> IntArray: ...

    def depth(self, k: int) -> int: ...

    def room(self, slots: list[Slot], rows: IntArray, n: int) -> npt.NDArray[np.intp]: ...

    def arrange(self, query: Query, slots: list[Slot]) -> list[Slot]: ...


class SlateRulesGuard:
    """The state of a recommender for `GuardedSlateRules` between requests: circuit breakers, and which items the rules
    did not block when they last answered. allowed: (n_items,) bool, all False before the first answer; asked: when the
    rules were last called, seconds of `perf_counter`."""

    def __init__(self, n_items: int, breakers: CircuitBreakers) -> None:
        self.block, self.boost, self.pin, self.cap = (
            breakers.of(f"business rules {kind}") for kind in ("block", "boost", "pin", "cap")
        )
        self.allowed: BoolArray = np.zeros(n_items, dtype=np.bool_)
        self.asked = float("-inf")


class GuardedSlateRules:
    """Wraps the `SlateRules` of one request so that it does not raise if they do."""

    def __init__(self, rules: SlateRules, trace: RequestTrace, guard: SlateRulesGuard) -> None:
        self._rules = rules
        self._trace = trace
        self._guard = guard

    def keep(self, query: Query, rows: IntArray) -> BoolArray:
        """Return which rows, (m,), are not blocked: (m,) bool; while the rules fail, by their last answer."""
        guard = self._guard
        if perf_counter() - guard.asked > ASK_AGAIN_SECONDS:
            every = np.arange(len(guard.allowed), dtype=np.int32)
            guard.allowed = self._call(guard.block, partial(self._rules.keep, query, every), guard.allowed)
            guard.asked = perf_counter()
        return self._call(guard.block, partial(self._rules.keep, query, rows), guard.allowed[rows])

    def adjust(self, query: Query, rows: IntArray, scores: FloatArray) -> FloatArray:
        return self._call(self._guard.boost, partial(self._rules.adjust, query, rows, scores), scores)

    def pins(self, query: Query) -> IntArray:
        return self._call(self._guard.pin, partial(self._rules.pins, query), NO_ROWS)

    def depth(self, k: int) -> int:
        return self._call(self._guard.cap, partial(self._rules.depth, k), k)

    def room(self, slots: list[Slot], rows: IntArray, n: int) -> npt.NDArray[np.intp]:
        return self._call(self._guard.cap, partial(self._rules.room, slots, rows, n), np.arange(len(rows)))

    def arrange(self, query: Query, slots: list[Slot]) -> list[Slot]:
        return self._call(self._guard.cap, partial(self._rules.arrange, query, slots), slots)

    def _call(self, breaker: CircuitBreaker, call: Callable[[], T], default: T) -> T:
        return self._trace.call_or_default(breaker, call, default, optional=False)
