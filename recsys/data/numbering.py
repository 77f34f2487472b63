"""Turns ids into row numbers; no other code assigns row numbers."""

import numpy as np
import polars as pl

from recsys.errors import DataError


def numbered(events: pl.LazyFrame, *columns: str) -> tuple[pl.DataFrame, list[pl.Series]]:
    """Replace each string in these columns by its position, int32, in the sorted distinct strings of the column; also
    return these sorted strings, one series per column. `events` is read once as a stream, never all strings at once."""
    coded = (pl.col(column).cast(pl.Categorical(pl.Categories.random())) for column in columns)
    frame = events.with_columns(*coded).collect(engine="streaming")
    vocabularies = []
    for column in columns:
        distinct = frame[column].unique()
        values, numbers = distinct.cast(pl.String), distinct.to_physical().to_numpy()
        # the first numbers follow the order of arrival, which differs between runs: renumber by rank
        order = values.arg_sort().to_numpy()
        rank = np.zeros(numbers.max(initial=0) + 1, dtype=np.int32)
        rank[numbers[order]] = np.arange(len(order), dtype=np.int32)
        frame = frame.with_columns(pl.Series(column, rank[frame[column].to_physical().to_numpy()]))
        vocabularies.append(values.gather(order))
    return frame, vocabularies


def not_in_items(item_id: str) -> DataError:
    """Return the error for an event with an item that the table of items does not have."""
    return DataError(f"interactions: item_id {item_id!r} is not in items: run `dvc repro prepare`")
