"""The type of the business rules that the recommender applies to a query."""

from typing import Protocol

import numpy as np
import numpy.typing as npt

from recsys.contracts import BoolArray, FloatArray, IntArray, Query, Slot


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
