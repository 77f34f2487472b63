"""The house's wishes, asked so that one that fails costs its effect and never the answer; what is blocked stays so."""

from dataclasses import dataclass
from functools import partial
from time import perf_counter

import numpy as np
import numpy.typing as npt

from recsys.contracts import NO_ROWS, BoolArray, FloatArray, IntArray, Query, SlateRules, Slot
from recsys.recommend.trace import RequestTrace

ASK_AGAIN_SECONDS = 1.0


@dataclass
class LastKnownBlocklist:
    """What the house last allowed of all items, (n_items,) bool: none until it has answered once."""

    allowed: BoolArray
    asked: float = float("-inf")


class GuardedSlateRules:
    """A `SlateRules` for one request that does not raise, whatever the one it asks does."""

    def __init__(self, shape: SlateRules, run: RequestTrace, memory: LastKnownBlocklist) -> None:
        self._shape = shape
        self._run = run
        self._memory = memory

    def keep(self, query: Query, rows: IntArray) -> BoolArray:
        """What the house allows; while it cannot be asked, what it allowed within the second before that."""
        if perf_counter() - self._memory.asked > ASK_AGAIN_SECONDS:
            every = np.arange(len(self._memory.allowed), dtype=np.int32)
            self._memory.allowed = self._keep(query, every, self._memory.allowed)
            self._memory.asked = perf_counter()
        return self._keep(query, rows, self._memory.allowed[rows])

    def adjust(self, query: Query, rows: IntArray, scores: FloatArray) -> FloatArray:
        """Scores with what the house boosts and buries."""
        ask = partial(self._shape.adjust, query, rows, scores)
        return self._run.call_or_default("house boost", ask, scores, optional=False)

    def pins(self, query: Query) -> IntArray:
        """Rows that want a fixed place."""
        return self._run.call_or_default("house pin", partial(self._shape.pins, query), NO_ROWS, optional=False)

    def depth(self, k: int) -> int:
        """How many ordered slots `arrange` wants."""
        return self._run.call_or_default("house cap", partial(self._shape.depth, k), k, optional=False)

    def room(self, slots: list[Slot], rows: IntArray, n: int) -> npt.NDArray[np.intp]:
        """Which rows may join the slots under the caps."""
        ask = partial(self._shape.room, slots, rows, n)
        return self._run.call_or_default("house cap", ask, np.arange(len(rows)), optional=False)

    def arrange(self, query: Query, slots: list[Slot]) -> list[Slot]:
        """Ordered slots -> the answer."""
        return self._run.call_or_default("house cap", partial(self._shape.arrange, query, slots), slots, optional=False)

    def _keep(self, query: Query, rows: IntArray, otherwise: BoolArray) -> BoolArray:
        return self._run.call_or_default(
            "house block", partial(self._shape.keep, query, rows), otherwise, optional=False
        )
