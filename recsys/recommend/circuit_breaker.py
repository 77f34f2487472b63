"""A circuit breaker: stops calling a part for a while after it kept failing or being slow.

    closed     the part is called
    open       it is not, for `cooldown_s` seconds
    half-open  then one request tries it: if that goes well the breaker closes, else it opens again

Own code: pybreaker and circuitbreaker open after failures in a row, this one counts slow calls too, among the last
`window` calls. A Python thread cannot be interrupted, so the request that calls a slow part waits for it; with an open
breaker that is one request in `cooldown_s` seconds.
"""

import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Limits:
    """Opens at `failures` calls of the last `window` that raised or took longer than `slow_s`."""

    window: int = 20
    failures: int = 5
    slow_s: float = 0.05
    cooldown_s: float = 2.0


NEVER_OPENS = Limits(window=1, failures=2)


class CircuitBreaker:
    """The state of one part, such as "source als". `clock` counts seconds and never goes back.

    closed: every request may call the part; all_good: none of the last calls failed or was slow, so a good call need
    not be recorded. Plain attributes, because every call of a part reads them.
    """

    def __init__(self, part: str, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self.part = part
        self.closed = self.all_good = True
        self.slow_s = limits.slow_s
        self._limits = limits
        self._clock = clock
        self._bad: deque[bool] = deque(maxlen=limits.window)
        self._open_until = 0.0

    def allows(self) -> bool:
        """Return whether this request may call the part; while open, one request in `cooldown_s` seconds may.

        If that request never reports its result, another one tries after the next pause.
        """
        if self.closed:
            return True
        now = self._clock()
        if now < self._open_until:
            return False
        self._open_until = now + self._limits.cooldown_s
        return True

    def succeeded(self, seconds: float) -> None:
        """Record that the part answered; a slow answer counts as a failure."""
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
        self._note_bad("fails")

    def _note_bad(self, how: str) -> None:
        self._bad.append(True)
        self.all_good = False
        if self.closed and sum(self._bad) >= self._limits.failures:
            self.closed = False
            log.error("%s %s; it is left alone and tried every %g s", self.part, how, self._limits.cooldown_s)
        if not self.closed:
            self._open_until = self._clock() + self._limits.cooldown_s


class CircuitBreakers:
    """One breaker for each part, shared by all that call the part; by default none of them ever opens."""

    def __init__(self, limits: Limits = NEVER_OPENS, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits = limits
        self._clock = clock
        self._of: dict[str, CircuitBreaker] = {}

    def of(self, part: str) -> CircuitBreaker:
        """Return the breaker of a part. Callers look it up once, when they are built."""
        breaker = self._of.get(part)
        if breaker is None:
            breaker = self._of[part] = CircuitBreaker(part, self._limits, self._clock)
        return breaker
