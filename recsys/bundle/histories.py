"""Writes and reads the histories of all users: flat, memory-mapped arrays, oldest event first.

users/        the user ids, see `id_table.py`       offsets.npy (n_users + 1,) int64: where a user's events begin
rows.npy      (n_events,) int32                     weights.npy (n_events,) float32
times.npy     (n_events,) float64 UTC seconds
"""

from functools import lru_cache
from pathlib import Path

import numpy as np
import polars as pl

from recsys.bundle import id_table
from recsys.contracts import EMPTY_HISTORY, History, epoch_seconds
from recsys.output import read_array

REMEMBERED = 4096  # histories in the cache, with their vectors: about 10 MB


def write(interactions: pl.DataFrame, user_ids: pl.Series, folder: Path) -> None:
    """Write the histories of all users. user_ids: the user's id at the position `user_row`. interactions: user_row,
    item_row, timestamp, weight, sorted by (user_row, timestamp)."""
    id_table.write(user_ids, folder / "users")
    counts = np.bincount(interactions["user_row"].to_numpy(), minlength=len(user_ids))
    np.save(folder / "offsets.npy", np.concatenate([[0], np.cumsum(counts)]).astype(np.int64))
    np.save(folder / "rows.npy", interactions["item_row"].cast(pl.Int32).to_numpy())
    np.save(folder / "weights.npy", interactions["weight"].cast(pl.Float32).to_numpy())
    np.save(folder / "times.npy", epoch_seconds(interactions["timestamp"]))


class Histories:
    """Reads the files of `write`; a history is read from disk when it is requested, and then cached."""

    def __init__(self, folder: Path) -> None:
        self.users = id_table.IdTable(folder / "users")
        self._offsets = read_array(folder / "offsets.npy")
        self._rows = read_array(folder / "rows.npy")
        self._weights = read_array(folder / "weights.npy")
        self._times = read_array(folder / "times.npy")
        self._remembered = lru_cache(REMEMBERED)(self._read)

    def of(self, user_id: str) -> History:
        """Return a user's history; it is empty for a user that the bundle does not contain."""
        position = self.users.position(user_id)
        return EMPTY_HISTORY if position is None else self.at(position)

    def at(self, position: int) -> History:
        """Return the history of the user at this position of the id table; recent results are cached."""
        return self._remembered(position)

    def _read(self, position: int) -> History:
        part = slice(int(self._offsets[position]), int(self._offsets[position + 1]))
        return History(self._rows[part], self._weights[part], self._times[part])
