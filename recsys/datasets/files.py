"""Your own CSV or Parquet files: say in `params.yaml` which of their columns is which; no code.

    adapter:
      interactions:
        path: loans.csv                 # from the top of the repository, or in $RECSYS_DATA_DIR, or absolute
        columns: {user_id: reader, item_id: book, timestamp: borrowed}
        timestamp_format: "%d.%m.%Y %H:%M"
        event: loan                     # if the file has no column for it
      items: {path: books.csv, columns: {item_id: id, categories: subjects}}

A column that already has its canonical name (`recsys/data/schema.py`) need not be listed. Without `items`, the items
are those of the interactions. CSV is UTF-8 with a header; ids stay as they are written, `007` is not `7`. After a
change of the files themselves run `dvc repro --force fetch`: DVC does not watch what lies outside the pipeline.
"""

import os
import shutil
from pathlib import Path
from typing import Any

import dataframely as dy
import polars as pl
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from recsys.data.download import LOCAL_FOLDER
from recsys.data.raw_tables import RAW, REJECT, RawTables
from recsys.data.schema import Interactions, Items
from recsys.errors import DataError, SourceUnreachableError

EPOCHS = {"epoch_s": 1_000_000, "epoch_ms": 1_000, "epoch_us": 1}
YES_NO = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


class TableFile(BaseModel):
    """One file. columns: canonical name to the file's; separator: between the columns of a CSV.

    timestamp_format: as for strptime, or epoch_s, epoch_ms, epoch_us; without it text is ISO 8601. Without a zone: UTC.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: Path
    columns: dict[str, str] = Field(default_factory=dict)
    separator: str = Field(",", min_length=1, max_length=1)
    timestamp_format: str | None = None

    @field_validator("path")
    @classmethod
    def _known_suffix(cls, path: Path) -> Path:
        if path.suffix not in (".csv", ".parquet"):
            raise ValueError("wanted a name that ends with .csv or .parquet")
        return path


class InteractionsFile(TableFile):
    """event: what every row is, for a file that has no column for it."""

    event: str | None = None

    @field_validator("columns")
    @classmethod
    def _known_columns(cls, columns: dict[str, str]) -> dict[str, str]:
        return _known(columns, Interactions)

    @model_validator(mode="after")
    def _one_event(self) -> "InteractionsFile":
        if self.event is not None and "event" in self.columns:
            raise ValueError("both `event` and `columns.event` are given, wanted one of them")
        return self


class ItemsFile(TableFile):
    """category_separator: between the categories of one item, where they are text."""

    category_separator: str = Field("|", min_length=1)

    @field_validator("columns")
    @classmethod
    def _known_columns(cls, columns: dict[str, str]) -> dict[str, str]:
        return _known(columns, Items)


class Config(BaseModel):
    """The files; `items` may be left out."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    interactions: InteractionsFile
    items: ItemsFile | None = None


def fetch(config: Config, out: Path, seed: int) -> dict[str, Any]:
    """Copy the files into `out` as interactions.* and items.*; the seed plays no part.

    Raises:
        SourceUnreachableError: "loans.csv: no such file, looked at /srv/loans.csv and ...: correct the path ..."
        DataError: "loans.csv: empty file, wanted a header and rows"
    """
    origin = {"source": "own files"}
    for name, file in _files(config).items():
        found = _find(file.path)
        if not found.stat().st_size:
            raise DataError(f"{file.path}: empty file, wanted {name}: give a file with at least one row")
        shutil.copyfile(found, _copy(out, name, file))
        origin[name] = str(found.absolute())
    return origin


def tables(config: Config, raw: Path) -> RawTables:
    """Rename the columns and read times, yes or no, and lists of categories, which CSV holds as text.

    Raises:
        DataError: "loans.csv: no column 'customer' (for user_id), the columns are 'reader', 'book': correct ..."
    """
    file = config.interactions
    needed = ["user_id", "item_id", "timestamp", *(["event"] if file.event is None else [])]
    interactions = _read("interactions", file, raw, Interactions, needed)
    if file.event is not None:
        interactions = interactions.with_columns(event=pl.lit(file.event))
    if config.items is None:
        items = interactions.select("item_id").drop_nulls().unique(maintain_order=True)
        return RawTables(interactions, items, file.path, file.path)
    items = _read("items", config.items, raw, Items, ["item_id"])
    if items.collect_schema().get("categories") == pl.String:
        parts = pl.col("categories").str.split(config.items.category_separator)
        cleaned = parts.list.eval(pl.element().str.strip_chars())
        items = items.with_columns(categories=cleaned.list.eval(pl.element().filter(pl.element() != "")))
    return RawTables(interactions, items, file.path, config.items.path)


def _known(columns: dict[str, str], schema: type[dy.Schema]) -> dict[str, str]:
    known = list(schema.columns())
    for name in columns:
        if name not in known:
            raise ValueError(f"no canonical column {name!r}, wanted some of {', '.join(known)}")
    return columns


def _files(config: Config) -> dict[str, TableFile]:
    return {"interactions": config.interactions} | ({"items": config.items} if config.items else {})


def _copy(raw: Path, name: str, file: TableFile) -> Path:
    return raw / f"{name}{file.path.suffix}"


def _find(path: Path) -> Path:
    places = [path, Path(os.environ[LOCAL_FOLDER]) / path] if LOCAL_FOLDER in os.environ else [path]
    for place in places:
        if place.is_file():
            return place
    looked = " and ".join(str(place.absolute()) for place in places)
    raise SourceUnreachableError(
        f"{path}: no such file, looked at {looked}: correct the path in params.yaml or set {LOCAL_FOLDER}"
    )


def _read(name: str, file: TableFile, raw: Path, schema: type[dy.Schema], needed: list[str]) -> pl.LazyFrame:
    """Canonical columns as far as the file has them, the whole row as `raw`, and `reject` where a text says nothing."""
    path = _copy(raw, name, file)
    if not path.is_file():
        raise DataError(f"{raw}: no file {path.name!r}; fetch the raw data first")
    try:
        if path.suffix == ".csv":
            table = pl.scan_csv(path, infer_schema=False, separator=file.separator)
        else:
            table = pl.scan_parquet(path)
        found = table.collect_schema()
    except pl.exceptions.PolarsError as error:
        reason = " ".join(str(error).split())
        raise DataError(
            f"{file.path}: not readable as {path.suffix[1:]} ({reason:.200}): mend or replace it"
        ) from error
    columns = {name: name for name in schema.columns() if name in found or name in needed} | file.columns
    for column, source in columns.items():
        if source not in found:
            there = ", ".join(repr(other) for other in found)
            raise DataError(
                f"{file.path}: no column {source!r} (for {column}), the columns are {there}:"
                f" correct datasets.files.adapter.{name}.columns in params.yaml"
            )
    values = {column: _value(column, source, found[source], file) for column, source in columns.items()}
    unread = [
        pl.when(pl.col(source).is_not_null() & values[column].is_null()).then(pl.lit(f"{column}_unreadable"))
        for column, source in columns.items()
        if column in ("timestamp", "first_seen", "available")
    ]
    return table.select(**values, **{REJECT: pl.coalesce(*unread, pl.lit(None, pl.String)), RAW: pl.struct(pl.all())})


def _value(column: str, source: str, dtype: pl.DataType, file: TableFile) -> pl.Expr:
    text = pl.col(source)
    if column in ("timestamp", "first_seen"):
        return _time(source, dtype, file.timestamp_format)
    if dtype == pl.String and column == "available":
        return text.str.strip_chars().str.to_lowercase().replace_strict(YES_NO, default=None, return_dtype=pl.Boolean)
    if dtype == pl.String and column in ("value", "weight", "price"):
        return text.str.strip_chars()
    return text


def _time(source: str, dtype: pl.DataType, form: str | None) -> pl.Expr:
    """Microseconds, UTC; null where the text does not fit the format."""
    value = pl.col(source)
    if form in EPOCHS:
        return (value.cast(pl.Float64, strict=False) * EPOCHS[form]).round().cast(pl.Int64, strict=False)
    if dtype != pl.String:
        return value
    text = value.str.strip_chars()
    if form is not None:
        return _parsed(text, form)
    text = text.str.replace("T", " ", literal=True).str.replace(r"Z$", "+00:00")
    return pl.coalesce(
        _parsed(text, "%Y-%m-%d %H:%M:%S%.f"),
        _parsed(text, "%Y-%m-%d %H:%M:%S%.f%:z"),
        _parsed(text, "%Y-%m-%d %H:%M"),
        text.str.to_date("%Y-%m-%d", strict=False).cast(pl.Datetime("us", "UTC")),
    )


def _parsed(text: pl.Expr, form: str) -> pl.Expr:
    return text.str.to_datetime(form, time_unit="us", time_zone="UTC", strict=False)
