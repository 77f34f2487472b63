"""A circuit breaker: stops calling a part of the recommender for a while when it keeps failing or being slow.

    closed     the part is called
    open       the part is not called for `cooldown_s` seconds
    half-open  then it is called once: if that succeeds the breaker closes, else it opens again

It is our own because pybreaker and circuitbreaker open after failures in a row; this one counts failures and slow calls
among the last `window` calls, and after the cooldown it can make the call in a thread of its own (`call_in_thread`). A
Python thread cannot be interrupted, so otherwise a request would wait for a part that is still slow, and every request
of the worker behind it.
"""

import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from threading import Thread
from time import perf_counter

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Limits:
    """The limits of a breaker: it opens when `failures` of the last `window` calls raised or took more than `slow_s`
    seconds, for `cooldown_s` seconds. A call that took n times `slow_s` counts as n failures, at most as one too few:
    so two calls of a part that hangs are enough, and a machine that stood still once opens nothing."""

    window: int = 20
    failures: int = 5
    slow_s: float = 0.05
    cooldown_s: float = 2.0


ASIDE = 2.0  # times as long as in a request: a thread of its own takes turns with the event loop

NEVER_OPENS = Limits(window=1, failures=2)


class CircuitBreaker:
    """The breaker of one part, such as "source als". clock: returns seconds and never goes back. closed: every request
    may call the part; all_good: none of the last calls failed or was slow, so a successful call need not be recorded.
    They are plain attributes because every call of a part reads them."""

    def __init__(self, part: str, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self.part = part
        self.closed = self.all_good = True
        self.slow_s = limits.slow_s
        self._limits = limits
        self._clock = clock
        self._bad: deque[float] = deque(maxlen=limits.window)  # of each call: as how many failures it counts
        self._open_until = 0.0
        self._thread: Thread | None = None

    def allows(self) -> bool:
        """Return whether the part may be called; while open, it may once in `cooldown_s` seconds. If that call never
        reports a result, another one may follow `cooldown_s` seconds later."""
        if self.closed:
            return True
        now = self._clock()
        if now < self._open_until:
            return False
        self._open_until = now + self._limits.cooldown_s
        return True

    def succeeded(self, seconds: float) -> None:
        """Record that the part answered after so many seconds; a slow answer counts as a failure."""
        if seconds > self.slow_s:
            self._note_bad("is slow", max(1, min(seconds / self.slow_s, self._limits.failures - 1)))
        elif self.closed:
            self._bad.append(0)
            self.all_good = not any(self._bad)
        else:
            self.closed = self.all_good = True
            self._bad.clear()
            log.warning("%s answers again", self.part)

    def failed(self) -> None:
        """Record that the part raised an error."""
        self._note_bad("fails")

    def call_in_thread(self, call: Callable[[], object]) -> None:
        """Call the part in a thread of its own and record the result; do nothing while such a call is under way. There
        a call is slow after twice `slow_s`."""
        if self._thread is None or not self._thread.is_alive():
            self._thread = Thread(target=self._call, args=(call,), name=f"{self.part} again", daemon=True)
            try:
                self._thread.start()
            except RuntimeError:  # the process may have no more threads, or memory for one
                log.exception("%s cannot be tried again", self.part)
                self.failed()

    def _call(self, call: Callable[[], object]) -> None:
        began = perf_counter()
        try:
            call()
        except Exception:
            log.exception("%s still fails", self.part)
            self.failed()
        else:
            self.succeeded((perf_counter() - began) / ASIDE)

    def _note_bad(self, how: str, failures: float = 1) -> None:
        self._bad.append(failures)
        self.all_good = False
        if self.closed and sum(self._bad) >= self._limits.failures:
            self.closed = False
            log.error("%s %s; it is skipped, and tried once in %g s", self.part, how, self._limits.cooldown_s)
        if not self.closed:
            self._open_until = self._clock() + self._limits.cooldown_s


class CircuitBreakers:
    """The breakers of all parts, by the name of the part; with the default limits they never open."""

    def __init__(self, limits: Limits = NEVER_OPENS, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits = limits
        self._clock = clock
        self._of: dict[str, CircuitBreaker] = {}

    def of(self, part: str) -> CircuitBreaker:
        """Return the breaker of a part. Callers look it up once, when they are built."""
        return self._of.setdefault(part, CircuitBreaker(part, self._limits, self._clock))
