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
    """The line counts of a text file: lines = header + row_lines + refused; a row can have several lines.

    For a file that has no lines, such as Parquet, only `rows` is known.
    """

    file: str
    lines: int | None
    header: int | None
    rows: int
    row_lines: int | None
    refused: int | None


@dataclass(frozen=True)
class RawTables:
    """The rows that an adapter read: all of them, in a fixed order, under canonical column names, not yet validated.

    interactions: user_id, item_id, timestamp, event and, if known, value and weight (else that of `event_weights`);
    items: item_id and, if known, title, text, categories, price, available, first_seen, attributes (else a neutral
    value).
    Numbers may be text: what is no number rejects its row. Times are Datetime or Date, UTC without a zone, or whole
    microseconds since 1970. Other dtypes that cannot stand for the canonical one (`recsys/data/schema.py`) are refused.

    Optional columns in either table: `reject`, str or null, the reason why the adapter itself refuses the row (like
    `cancelled`); `raw`, a struct with the row as it was found, which quarantine shows in place of the columns above;
    `notes`, str, what the adapter changed in the row, a line each (like `price emptied`), which the report counts. In
    items: `derived`, bool, the item is only named by interactions; it is kept if one of those is.

    interactions_file and items_file name where the rows stood, for error messages. `latest` is the last moment an event
    can have happened, UTC; None means the moment at which `prepare` runs. files: the lines of text files, by table.
    hints: end of a reason -> advice for the message that stops a run. distinct: equal rows are not copies of each
    other, because the source has an id for each.
    """

    interactions: pl.LazyFrame
    items: pl.LazyFrame
    interactions_file: Path
    items_file: Path
    latest: datetime | None = None
    files: Mapping[str, Sequence[FileLines]] = field(default_factory=dict)
    hints: Mapping[str, str] = field(default_factory=dict)
    distinct: bool = False


class Adapter(Protocol):
    """The three names that every file in `recsys/datasets` defines.

    Config: pydantic model of the section `datasets.<name>.adapter`, frozen and closed to unknown keys.
    fetch: writes the raw files into the empty folder `out`; the same config and seed give the same bytes. Returns what
        to note about their origin, ready for JSON, or None if the adapter made the data itself.
    tables: reads the files of `fetch`. Both raise DataError with one line when they cannot.
    """

    Config: type[BaseModel]

    def fetch(self, config: Any, out: Path, seed: int) -> dict[str, Any] | None: ...

    def tables(self, config: Any, raw: Path) -> RawTables: ...


def noted(table: pl.LazyFrame, values: dict[str, pl.Expr], note: str, about: pl.Expr) -> pl.LazyFrame:
    """Set the columns to `values`, and append `note` and `about` to the NOTES of the rows where `about` is not null."""
    notes = pl.concat_str(NOTES, pl.lit(note) + about, separator="\n", ignore_nulls=True)
    return table.with_columns(**values, **{NOTES: notes})
