"""How much more often users with the same value of an attribute like an item than users in general do."""

import numpy as np
import numpy.typing as npt
import polars as pl

from recsys.contracts import FloatArray, IntArray

LEAST = 1e-9  # replaces a smoothing of 0, so that the lift of an item without likes is 1


class UserGroups:
    """Counts the users who like an item, by the value of one attribute. values: (n_users,) texts, null where unknown;
    owners, rows: (n_likes,) int32, the position of the user in `values` and the catalogue row of each like."""

    def __init__(self, values: pl.Series, owners: IntArray, rows: IntArray) -> None:
        texts = values.drop_nulls().unique().sort()
        self._codes = {text: code for code, text in enumerate(texts, 1)}
        codes = values.replace_strict(self._codes, default=0, return_dtype=pl.Int64).fill_null(0).to_numpy()
        liked = np.unique((owners.astype(np.int64) << 32 | rows)[codes[owners] > 0])
        of_like, rows_liked = codes[liked >> 32], liked & 0xFFFFFFFF
        # the code 0 stands for all values together
        self._keys, self._counts = np.unique(np.append(of_like << 32 | rows_liked, rows_liked), return_counts=True)
        self._sizes = np.bincount(of_like, minlength=len(texts) + 1)

    def lift(self, value: str | None, rows: IntArray, smoothing: float) -> FloatArray:
        """Return the lift of these rows, (m,) float32: the share of the item's likes that users with this value gave,
        divided by their share of all likes. `smoothing` further likes, of which they gave the usual share, are added to
        each item, so that few likes say little. 1 if the value is unknown."""
        code = 0 if value is None else self._codes.get(value, 0)
        if not code or not self._sizes[code]:
            return np.ones(len(rows), dtype=np.float32)
        usual, more = self._sizes[code] / self._sizes.sum(), max(smoothing, LEAST)
        lift: FloatArray = ((self._of(code, rows) / usual + more) / (self._of(0, rows) + more)).astype(np.float32)
        return lift

    def _of(self, code: int, rows: IntArray) -> npt.NDArray[np.int64]:
        wanted = code << 32 | rows.astype(np.int64)
        at = self._keys.searchsorted(wanted).clip(max=len(self._keys) - 1)
        return np.where(self._keys[at] == wanted, self._counts[at], 0)
