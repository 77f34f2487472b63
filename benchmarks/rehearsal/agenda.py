"""The queue of the simulation: actions in the order of their times."""

import heapq
from collections.abc import Callable
from itertools import count

from benchmarks.rehearsal.clock import Clock

Action = Callable[[], None]


class Agenda:
    """Runs actions in the order of their times, and sets the clock to each."""

    def __init__(self, clock: Clock) -> None:
        self._clock, self._numbers = clock, count()
        self._queue: list[tuple[float, int, Action]] = []

    def at(self, when: float, action: Action) -> None:
        """Plan an action, UTC seconds; actions of the same time run in the order they were planned."""
        heapq.heappush(self._queue, (when, next(self._numbers), action))

    def every(self, seconds: float, begin: float, end: float, action: Action) -> None:
        """Plan an action again and again."""

        def again(when: float) -> None:
            action()
            if when + seconds < end:
                self.at(when + seconds, lambda: again(when + seconds))

        self.at(begin, lambda: again(begin))

    def stop(self) -> None:
        """Forget everything that is planned."""
        self._queue.clear()

    def run(self) -> None:
        """Run everything that is planned, and what is planned meanwhile."""
        while self._queue:
            when, _, action = heapq.heappop(self._queue)
            self._clock.set(when)
            action()
