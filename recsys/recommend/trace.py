"""What one request collects on its way through the main path: its steps, and the parts it went on without."""

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
    """Keeps a part that keeps failing out of the way. A part is named as in `Slate.failed`: "source als", "ranker"."""

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
class RequestTrace:
    """One request: `clock` is the moment the current step began, `deadline` when no optional part may begin any more.

    Moments are those of `time.perf_counter()`. `failed` names the parts that raised, that the guard left alone, or that
    the deadline left out; `late` is True when it was the deadline at least once.
    """

    deadline: float = float("inf")
    guard: Guard | None = None
    steps: list[Step] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    late: bool = False
    clock: float = field(default_factory=perf_counter)

    def call_or_default(self, part: str, ask: Callable[[], T], otherwise: T, optional: bool = True) -> T:
        """Ask a part; `otherwise` stands in for one that raises or may not begin.

        One that is not optional, such as a rule, is asked after the deadline too, and may be slow.
        """
        began = perf_counter()
        late = optional and began >= self.deadline
        if late or not (self.guard is None or self.guard.allows(part)):
            self.late |= late
            self._name(part)
            return otherwise
        try:
            found = ask()
        except Exception:
            log.exception("%s failed; answering without it", part)
            if self.guard is not None:
                self.guard.failed(part)
            self._name(part)
            return otherwise
        if self.guard is not None:
            self.guard.succeeded(part, perf_counter() - began if optional else 0.0)
        return found

    def step(self, name: str, kept: int, removed: int = 0) -> None:
        """The current step is done."""
        now = perf_counter()
        self.steps.append(Step(name, kept, removed, (now - self.clock) * 1e3))
        self.clock = now

    def over(self) -> bool:
        """Has the deadline passed?"""
        return perf_counter() >= self.deadline

    def _name(self, part: str) -> None:
        if part not in self.failed:
            self.failed.append(part)
