"""A circuit breaker: stops calling a part of the recommender for a while when it keeps failing or being slow.

    closed     the part is called
    open       the part is not called for `cooldown_s` seconds
    half-open  then one request calls it: if that succeeds the breaker closes, else it opens again

It is our own because pybreaker and circuitbreaker open after failures in a row; this one counts failures and slow calls
among the last `window` calls. A Python thread cannot be interrupted, so the request that calls a slow part waits for
it; with an open breaker that is one request in `cooldown_s` seconds.
"""

import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Limits:
    """The limits of a breaker: it opens when `failures` of the last `window` calls raised or took more than `slow_s`
    seconds, for `cooldown_s` seconds."""

    window: int = 20
    failures: int = 5
    slow_s: float = 0.05
    cooldown_s: float = 2.0


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
        self._bad: deque[bool] = deque(maxlen=limits.window)
        self._open_until = 0.0

    def allows(self) -> bool:
        """Return whether this request may call the part; while open, one request in `cooldown_s` seconds may. If that
        request never reports a result, another one may call the part `cooldown_s` seconds later."""
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
            self._note_bad("is slow")
        elif self.closed:
            self._bad.append(False)
            self.all_good = not any(self._bad)
        else:
            self.closed = self.all_good = True
            self._bad.clear()
            log.warning("%s answers again", self.part)

    def failed(self) -> None:
        """Record that the part raised an error."""
        self._note_bad("fails")

    def _note_bad(self, how: str) -> None:
        self._bad.append(True)
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
