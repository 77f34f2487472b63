"""A circuit breaker: a part that keeps failing, or keeps being slow, is left alone for a while.

    closed     the part is asked
    open       it is not, for `cooldown_s` seconds
    half-open  then one request tries it: if that goes well the breaker closes, else it opens again

A Python thread cannot be interrupted, so the request that meets a slow part waits for it. The breaker sees to it that
few requests do: once open, one in `cooldown_s` seconds.
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


class Breaker:
    """The state of one part. `clock` counts seconds and never goes back."""

    def __init__(self, part: str, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self._part = part
        self._limits = limits
        self._clock = clock
        self._bad: deque[bool] = deque(maxlen=limits.window)
        self._open_until: float | None = None

    @property
    def closed(self) -> bool:
        """True while every request may ask the part."""
        return self._open_until is None

    def allows(self) -> bool:
        """May this request ask the part? Once the part has cooled down, one request may; the next waits as long again.

        The request that may try need not come back: another one tries after the next pause.
        """
        if self._open_until is None:
            return True
        now = self._clock()
        if now < self._open_until:
            return False
        self._open_until = now + self._limits.cooldown_s
        return True

    def succeeded(self, seconds: float) -> None:
        """The part answered; slowly counts as badly."""
        self._note(seconds > self._limits.slow_s, "is slow")

    def failed(self) -> None:
        """The part raised."""
        self._note(True, "fails")

    def _note(self, bad: bool, how: str) -> None:
        if self._open_until is not None:
            if bad:
                self._open_until = self._clock() + self._limits.cooldown_s
            else:
                self._open_until = None
                self._bad.clear()
                log.warning("%s answers again", self._part)
            return
        self._bad.append(bad)
        if bad and sum(self._bad) >= self._limits.failures:
            self._open_until = self._clock() + self._limits.cooldown_s
            log.error("%s %s; it is left alone and tried every %g s", self._part, how, self._limits.cooldown_s)


class Breakers:
    """One breaker for each part that was ever asked; what `Recommender` takes as its guard."""

    def __init__(self, limits: Limits | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits = limits or Limits()
        self._clock = clock
        self._parts: dict[str, Breaker] = {}

    def allows(self, part: str) -> bool:
        """False while the part is left alone."""
        return self._of(part).allows()

    def succeeded(self, part: str, seconds: float) -> None:
        """The part answered, and took so long."""
        self._of(part).succeeded(seconds)

    def failed(self, part: str) -> None:
        """The part raised."""
        self._of(part).failed()

    def left_alone(self) -> list[str]:
        """The parts that not every request may ask now."""
        return sorted(part for part, breaker in self._parts.items() if not breaker.closed)

    def _of(self, part: str) -> Breaker:
        found = self._parts.get(part)
        if found is None:
            found = self._parts[part] = Breaker(part, self._limits, self._clock)
        return found
