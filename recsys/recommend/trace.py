"""The trace of one request through the `Recommender`: its steps, and the parts that failed."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from time import perf_counter
from typing import NamedTuple, TypeVar

from recsys.recommend.circuit_breaker import CircuitBreaker

log = logging.getLogger(__name__)

T = TypeVar("T")


class Step(NamedTuple):
    """One step of the trace: how many items it kept and removed, and how many milliseconds it took."""

    name: str
    kept: int
    removed: int
    ms: float


@dataclass
class RequestTrace:
    """The trace of one request. clock: when the current step began; deadline: no optional part begins after it. Times
    are seconds of `time.perf_counter()`. failed: the parts that raised, whose breaker was open, or that were skipped
    because of the deadline; late: whether a part was skipped because of the deadline."""

    deadline: float = float("inf")
    steps: list[Step] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    late: bool = False
    clock: float = field(default_factory=perf_counter)

    def call_or_default(
        self, breaker: CircuitBreaker, call: Callable[[], T], default: T, *, optional: bool = True
    ) -> T:
        """Call a part and return its result; return `default` if it raises, its breaker is open or it is too late. A
        part that is not optional, such as a rule, is called after the deadline too, and never counts as slow. An
        optional part with an open breaker is tried in a thread of its own, so no request waits for it."""
        began = perf_counter()
        if optional and began >= self.deadline:
            self.late = True
        elif not breaker.closed and optional:
            if breaker.allows():
                breaker.call_in_thread(call)
        elif breaker.closed or breaker.allows():
            try:
                result = call()
            except Exception:
                log.exception("%s failed; answering without it", breaker.part)
                breaker.failed()
            else:
                seconds = perf_counter() - began if optional else 0.0
                if not breaker.all_good or seconds > breaker.slow_s:
                    breaker.succeeded(seconds)
                return result
        if breaker.part not in self.failed:
            self.failed.append(breaker.part)
        return default

    def step(self, name: str, kept: int, removed: int = 0) -> None:
        """End the current step: add it to the trace, with the time since the one before."""
        now = perf_counter()
        self.steps.append(Step(name, kept, removed, (now - self.clock) * 1e3))
        self.clock = now

    @property
    def why_missing(self) -> str | None:
        """The `fallback_reason` of an answer without a part: "deadline" or "part_failed"; None if none is missing."""
        return "deadline" if self.late else "part_failed" if self.failed else None
