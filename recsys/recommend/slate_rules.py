"""The type of the business rules that the recommender applies to a query."""

from typing import Protocol

import numpy as np
import numpy.typing as npt

from recsys.contracts import BoolArray, FloatArray, IntArray, Query, Slot


class SlateRules(Protocol):
    """The shop's business rules, applied after those of the variant: blocks, boosts, pins, caps, diversity.

    keep: see `Rule`. adjust: scores (m,) float32 of these rows, higher is better -> the scores with boosts, or the same
    array object if no boost applies. pins: (p,) int32 rows with a fixed position; those that may be shown are passed to
    `arrange` as slots of the source `PIN`. depth: how many ordered slots `arrange` needs for an answer of k.
    room: positions in `rows` (best first) of at most n items that the caps allow besides these slots, ascending.
    arrange: ordered slots -> the answer, best first; it may leave out and reorder slots, not add any.
    """

    def keep(self, query: Query, rows: IntArray) -> BoolArray: ...

    def adjust(self, query: Query, rows: IntArray, scores: FloatArray) -> FloatArray: ...

    def pins(self, query: Query) -> IntArray: ...

    def depth(self, k: int) -> int: ...

    def room(self, slots: list[Slot], rows: IntArray, n: int) -> npt.NDArray[np.intp]: ...

    def arrange(self, query: Query, slots: list[Slot]) -> list[Slot]: ...
