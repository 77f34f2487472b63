"""Turns ids into row numbers, and events into a sparse matrix; the only code that numbers ids."""

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy.sparse import csr_matrix

from recsys.contracts import IntArray


def numbered(events: pl.LazyFrame, *columns: str) -> tuple[pl.DataFrame, list[pl.Series]]:
    """Replace string columns by int32 positions in their sorted distinct values, which are returned too.

    The strings pass through in one streaming read and are never all in memory.
    """
    coded = (pl.col(column).cast(pl.Categorical(pl.Categories.random())) for column in columns)
    frame = events.with_columns(*coded).collect(engine="streaming")
    vocabularies = []
    for column in columns:
        distinct = frame[column].unique()
        values, numbers = distinct.cast(pl.String), distinct.to_physical().to_numpy()
        # values are numbered as they arrive, which differs from run to run: rank them
        order = values.arg_sort().to_numpy()
        rank = np.zeros(numbers.max(initial=0) + 1, dtype=np.int32)
        rank[numbers[order]] = np.arange(len(order), dtype=np.int32)
        frame = frame.with_columns(pl.Series(column, rank[frame[column].to_physical().to_numpy()]))
        vocabularies.append(values.gather(order))
    return frame, vocabularies


def csr(users: IntArray, items: IntArray, weights: npt.ArrayLike, shape: tuple[int, int]) -> csr_matrix:
    """(n_users, n_items) float32; the weights of equal pairs are summed. users, items, weights: (n_events,)."""
    return csr_matrix((np.asarray(weights, dtype=np.float32), (users, items)), shape=shape)
