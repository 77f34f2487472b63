"""The output of a data set's adapter, which `prepare` validates: raw tables with canonical column names."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

import polars as pl
from pydantic import BaseModel

REJECT = "reject"
RAW = "raw"
NOTES = "notes"
DERIVED = "derived"


@dataclass(frozen=True)
class FileLines:
    """The line counts of a file. lines = header + row_lines (lines of rows; a row may have several) + refused.

    For a file without lines, such as Parquet, only `rows` is not None.
    """

    file: str
    lines: int | None
    header: int | None
    rows: int
    row_lines: int | None
    refused: int | None


@dataclass(frozen=True)
class RawTables:
    """All rows that an adapter read, in a fixed order, under canonical column names, not yet validated.

    interactions: user_id, item_id, timestamp, event, and optionally value and weight (default: from `event_weights`).
    items: item_id, and optionally title (default: the id), text, categories (default: empty), available (default: yes),
    price, first_seen, attributes (default: null). Numbers may be text; a text that is no number rejects its row. Times
    are Datetime or Date, UTC without a zone, or whole microseconds since 1970. A dtype that cannot be cast to
    `recsys/data/schema.py` is an error.

    Optional columns of both tables: `reject`, str or null, the adapter's reason to reject the row (like `cancelled`);
    `raw`, a struct of the row's original cells, which quarantine shows instead of the columns above; `notes`, str, one
    line for each change that the adapter made (such as `price emptied`), which the report counts. Of items: `derived`,
    bool, the item occurs only in interactions; it is kept if one of these is kept.

    users: user_id and attributes, None without; vectors: item_id and vector, a list of float32, None without; both with
    the same optional columns. interactions_file, items_file, users_file, vectors_file: the files of the rows, for
    messages. latest: the last possible time of an event, UTC; None: the time at which `prepare` runs. files: line
    counts, by table. hints: see `report.check`. distinct: equal rows are different events, because each has an id in
    the source.
    """

    interactions: pl.LazyFrame
    items: pl.LazyFrame
    interactions_file: Path
    items_file: Path
    latest: datetime | None = None
    files: Mapping[str, Sequence[FileLines]] = field(default_factory=dict)
    hints: Mapping[str, str] = field(default_factory=dict)
    distinct: bool = False
    users: pl.LazyFrame | None = None
    users_file: Path = Path()
    vectors: pl.LazyFrame | None = None
    vectors_file: Path = Path()


class Adapter(Protocol):
    """The three names that every file in `recsys/datasets` defines.

    Config: pydantic model of the section `datasets.<name>.adapter`, frozen, which refuses unknown keys.
    fetch: writes the raw files into the empty folder `out`; the same config and seed give the same bytes. Returns their
        origin for `provenance.json`, or None if the adapter generated the data.
    tables: reads the files of `fetch`. Both raise DataError with a message of one line.
    """

    Config: type[BaseModel]

    def fetch(self, config: Any, out: Path, seed: int) -> dict[str, Any] | None: ...

    def tables(self, config: Any, raw: Path) -> RawTables: ...


def noted(table: pl.LazyFrame, values: dict[str, pl.Expr], note: str, about: pl.Expr) -> pl.LazyFrame:
    """Set the columns to `values`; where `about` is not null, append the line `note` + `about` to the column NOTES."""
    notes = pl.concat_str(NOTES, pl.lit(note) + about, separator="\n", ignore_nulls=True)
    return table.with_columns(**values, **{NOTES: notes})
