"""Checks the table of items: its columns, its required values, and that it has the ids of the id table."""

import numpy as np
import polars as pl

from recsys.bundle._checks.arrays import LARGEST
from recsys.bundle.catalogue import COLUMNS, CONTENT, Catalogue

MAY_BE_NULL = {"text", "price", "first_seen", "attributes"}


def fault(catalogue: Catalogue, n_items: int) -> str | None:
    """Return the fault of the table as text, None if it is valid. n_items: the count in the manifest."""
    frame = catalogue.frame
    if frame.height != n_items:
        return f"has {frame.height} items, the manifest says {n_items}"
    for name, dtype in COLUMNS.items():
        if name not in frame.columns:
            if name in CONTENT:
                continue
            return f"has no column {name!r}"
        column = frame[name]
        if column.dtype != dtype and not (name == "row" and column.dtype.is_integer()):
            return f"its column {name!r} is {column.dtype}, expected {dtype}"
        if name not in MAY_BE_NULL and column.null_count():
            return f"its column {name!r} has an empty cell"
    if why := _in_cells(frame):
        return why
    if not np.array_equal(frame["row"].to_numpy(), np.arange(n_items)):
        return f"its column 'row' is not 0 to {n_items - 1} in order"
    for counts in (catalogue.popularity, catalogue.recent):
        if n_items and not (counts.min() >= 0 and counts.max() <= LARGEST):  # NaN fails both
            return f"its columns 'popularity' and 'recent' hold a value outside of 0 to {LARGEST:g}"
    if not catalogue.ids.holds(frame["item_id"]):
        return "its column 'item_id' differs from the ids in the folder items"
    return None


def _in_cells(frame: pl.DataFrame) -> str | None:
    if "categories" in frame.columns and frame["categories"].explode(empty_as_null=False).null_count():
        return "its column 'categories' has an empty category"
    texts = frame["attributes"].drop_nulls().str.json_path_match("$")
    if not texts.str.starts_with("{").fill_null(False).all():
        return "its column 'attributes' has a cell that is no JSON object"
    return None
