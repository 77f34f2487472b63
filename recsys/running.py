"""What one request collects on its way through the main path: its steps, and the parts that failed."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from time import perf_counter
from typing import Protocol, TypeVar

log = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True)
class Step:
    """One line of the trace: what a step kept and removed, and how long it took."""

    name: str
    kept: int
    removed: int
    ms: float


class Guard(Protocol):
    """Keeps a part that keeps failing out of the way. A part is named as in `Answer.failed`: "source als", "ranker"."""

    def allows(self, part: str) -> bool:
        """False while the part is to be left alone."""
        ...

    def succeeded(self, part: str, seconds: float) -> None:
        """The part answered, and took so long."""
        ...

    def failed(self, part: str) -> None:
        """The part raised."""
        ...


@dataclass
class Run:
    """One request: `clock` is the moment the current step began, `deadline` when no optional part may begin any more.

    Moments are those of `time.perf_counter()`.
    """

    deadline: float = float("inf")
    guard: Guard | None = None
    steps: list[Step] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    clock: float = field(default_factory=perf_counter)

    def attempt(self, part: str, ask: Callable[[], T], otherwise: T) -> T:
        """Ask an optional part. One that may not begin or raises counts as failed, and `otherwise` takes its place."""
        if self.clock >= self.deadline or not (self.guard is None or self.guard.allows(part)):
            self._name(part)
            return otherwise
        began = perf_counter()
        try:
            found = ask()
        except Exception:  # noqa: BLE001 (the answer goes on without the part)
            self.fail(part)
            return otherwise
        if self.guard is not None:
            self.guard.succeeded(part, perf_counter() - began)
        return found

    def step(self, name: str, kept: int, removed: int = 0) -> None:
        """The current step is done."""
        now = perf_counter()
        self.steps.append(Step(name, kept, removed, (now - self.clock) * 1e3))
        self.clock = now

    def fail(self, part: str) -> None:
        """The part raised: log it, go on without it. To be called where the exception is caught."""
        log.exception("%s failed; answering without it", part)
        if self.guard is not None:
            self.guard.failed(part)
        self._name(part)

    def _name(self, part: str) -> None:
        if part not in self.failed:
            self.failed.append(part)
