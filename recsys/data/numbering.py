"""Turns ids into row numbers; the only code that numbers ids."""

import numpy as np
import polars as pl


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
