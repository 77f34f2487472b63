"""Assigns a number to each category of a catalogue, for limits per category and for the similarity of items without a
vector.
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from recsys.contracts import NO_ROWS, FloatArray, IntArray

Codes = npt.NDArray[np.intp]


class Groups:
    """The categories of a catalogue. The code of a category is its position in `names`. members: for each category the
    rows of its items, (m,) int32; of_category: category -> these rows, as in `Catalogue.of_category`."""

    def __init__(self, of_category: Mapping[str, IntArray], n_items: int) -> None:
        self.names = list(of_category)
        self.members = [of_category[name] for name in self.names]
        rows = np.concatenate(self.members) if self.members else NO_ROWS
        codes = np.repeat(np.arange(len(self.members)), [len(rows) for rows in self.members])
        self._codes: Codes = codes[np.argsort(rows, kind="stable")]
        self._ends = np.cumsum(np.bincount(rows, minlength=n_items))

    def of(self, row: int) -> Codes:
        """Return the codes of an item's categories."""
        return self._codes[self._ends[row - 1] if row else 0 : self._ends[row]]

    def pairs(self, rows: IntArray) -> tuple[Codes, Codes]:
        """Return two arrays with one entry per category of each item: the item's position in `rows`, and the code."""
        starts = np.where(rows > 0, self._ends[rows - 1], 0)
        counts = self._ends[rows] - starts
        places = np.repeat(np.arange(len(rows)), counts)
        before = np.cumsum(counts) - counts
        return places, self._codes[np.arange(len(places)) + np.repeat(starts - before, counts)]

    def likeness(self, rows: IntArray) -> FloatArray:
        """Return the Jaccard similarity of the categories of m items, (m, m) float32; 0 for items without category."""
        places, codes = self.pairs(rows)
        mine, local = np.unique(codes, return_inverse=True)
        has = np.zeros((len(rows), len(mine)), dtype=np.float32)
        has[places, local] = 1
        both = has @ has.T
        sizes = has.sum(axis=1)
        either = sizes[:, None] + sizes[None, :] - both
        shared: FloatArray = (both / np.maximum(either, 1)).astype(np.float32, copy=False)
        return shared
