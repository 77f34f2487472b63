"""Units of time: every module counts seconds since 1970 in UTC, tables hold Datetime columns."""

import numpy as np
import polars as pl


def epoch_seconds(timestamps: pl.Series) -> "np.ndarray[tuple[int, ...], np.dtype[np.float64]]":
    """Datetimes -> (n,) float64 UTC seconds since 1970."""
    return timestamps.dt.epoch("us").to_numpy().astype(np.float64) / 1e6
