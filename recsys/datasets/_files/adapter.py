"""Reads your own files, such as exports of a database; `params.yaml` maps their columns.

    adapter:
      interactions:
        path: loans/*.csv.gz            # from the top of the repository, or in $RECSYS_DATA_DIR, or absolute
        columns: {user_id: reader, item_id: book, timestamp: borrowed}
        timestamp_format: "%d.%m.%Y %H:%M"
        event: loan                     # if the file has no column for it
      items: {path: books.csv, columns: {item_id: id, categories: subjects}, attributes: {image: cover, pages: pages}}
      users: {path: readers.csv, columns: {user_id: id}, attributes: [branch, age_group]}
      vectors: {path: covers.parquet, columns: {item_id: id, vector: embedding}}   # or a column `vector` of the items

A column that already has its canonical name (`recsys/data/schema.py`) need not be listed. Without `items`, the items
are those of the interactions. Columns that are in another file are looked up there; others can be computed:

      interactions:
        path: order_lines.csv
        joins: {orders: {path: orders.csv, separator: ";", on: order_id, key: id}}
        columns: {user_id: orders.customer, timestamp: orders.ordered_at, item_id: sku, value: price, quantity: pieces}
      items:
        path: products.csv
        joins: {prices: {path: prices.csv, on: sku}}
        computed: {euros: 'TRY_CAST("prices.cents" AS DOUBLE) / 100'}
        columns: {item_id: sku, price: euros}

Ids stay as they are written: `007` is not `7`. All other settings, such as encoding and quoting:
`recsys/datasets/_files/settings.py`. `dvc repro` notices a change of the files, see docs/data.md.
"""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl

from recsys.data.raw_tables import DERIVED, RAW, REJECT, FileLines, RawTables
from recsys.datasets._files import delimited, embed, json_lines, query, workbook
from recsys.datasets._files.cells import IDS, read_cells, swapped_dates
from recsys.datasets._files.settings import TIMES, VECTOR, Config, InteractionsFile, JoinedFile, TableFile, TextFile
from recsys.datasets._files.sources import FILE, LINE, OWN, REASON, TEXT, Parts, Source, as_utf8, find
from recsys.datasets._files.times import swapped
from recsys.errors import DataError, one_line
from recsys.output import file_hash

__all__ = ["Config", "fetch", "tables"]

EMBEDDED = "embedded.parquet"
JOIN_KEY, N_ROWS = "(key)", "(rows)"
HINTS = {
    **dict.fromkeys(("stray_quote", "unclosed_quote"), "set quote: none if quotes are inch marks, or escape"),
    "wrong_number_of_cells": "set separator or quote",
    "not_in_encoding": "set encoding, such as cp1252",
    "nul_byte": "set encoding, such as utf-16",
    **dict.fromkeys(("timestamp_unreadable", "first_seen emptied: unreadable"), "set timestamp_format"),
    "timestamp_names_a_zone": "leave the zone out of the text and set time_zone, or export with an offset",
    "timestamp_at_clock_change": "export in UTC or with an offset",
    "before_1990": "set timestamp_format, such as epoch_s or epoch_ms",
    "float_shaped": "set float_ids to whole or keep,",
    **dict.fromkeys(("padded", "invisible", "not_normal", "full_width"), "set odd_ids: normalise"),
    "garbled": "export again in an encoding that has every character, such as utf-8, or set encoding;",
    "id_missing": "set null_values if these are ids",
    **dict.fromkeys(("value_unreadable", "price emptied: unreadable"), "set decimal"),
    "categories emptied: unreadable": "set category_separator",
}


def fetch(config: Config, out: Path, seed: int) -> dict[str, Any]:
    """Write every line of the files into `out`, split into cells of text; `seed` has no effect.

    Raises:
        SourceUnreachableError: "loans.csv: no such file, looked at /srv/loans.csv and ...: correct the path ..."
        DataError: "loans.csv: empty file, expected interactions: replace it by one with at least one row"; "loans.csv:
            begins like UTF-16, and the setting is utf-8: set encoding: utf-16"
    """
    origin: dict[str, Any] = {"source": "own files"}
    for name, file in _files(config).items():
        sources = find(file.paths)
        parts = Parts(out / name)
        lines = [_read(source, file, parts, out / "text.partial") for source in sources if source.path.stat().st_size]
        if not lines:
            raise DataError(f"{file.label}: empty file, expected {name}: replace it by one with at least one row")
        content = json.dumps([dataclasses.asdict(one) for one in lines], indent=1, ensure_ascii=False)
        (out / f"{name}.json").write_text(content + "\n", encoding="utf-8")
        read = [source.path for source in sources]
        if any(source.kind == "sql" for source in sources) and (database := query.database_file(file.database)):
            read.append(database)
        origin[name] = [{"path": str(path.absolute()), "sha256": file_hash(path)} for path in read]
    if config.items is not None and config.embed is not None:
        items = _table("items", config.items, out, ["item_id"], _lines(out, "items"))
        kept = items.filter(pl.col(REJECT).is_null(), pl.col("item_id").is_not_null())
        columns = [name for name in ("item_id", "title", "text") if name in kept.collect_schema()]
        embed.write(kept.select(columns).collect(), config.embed, out / EMBEDDED)
    return origin


def tables(config: Config, raw: Path) -> RawTables:
    """Return the files' tables with canonical columns and parsed cells.

    Raises:
        DataError: "loans.csv: no column 'customer' (for user_id), the columns are 'reader', 'book': correct ..."
        DataError: "loans.csv: timestamp_format '%m/%d/%Y' does not fit, '%d/%m/%Y' does: correct ..."
        DataError: "orders: no column 'id' to join on, the columns are ...: correct adapter...."
    """
    file, lines = config.interactions, {name: _lines(raw, name) for name in _files(config)}
    needed = ["user_id", "item_id", "timestamp", *(["event"] if file.event is None else [])]
    interactions = _table("interactions", file, raw, needed, lines["interactions"])
    if config.items is None:
        named = interactions.filter(pl.col(REJECT).is_null()).select("item_id").drop_nulls().unique(maintain_order=True)
        items = named.with_columns(pl.lit(True).alias(DERIVED))
        items_file = file.label
    else:
        items = _table("items", config.items, raw, ["item_id"], lines["items"])
        items_file = config.items.label
    read = RawTables(interactions, items, file.label, items_file, files=lines, hints=HINTS)
    if config.users is not None:
        users = _table("users", config.users, raw, ["user_id"], lines["users"])
        read = dataclasses.replace(read, users=users, users_file=config.users.label)
    if config.vectors is not None:
        vectors = _table("vectors", config.vectors, raw, ["item_id", VECTOR], lines["vectors"])
        read = dataclasses.replace(read, vectors=vectors, vectors_file=config.vectors.label)
    elif config.embed is not None:
        vectors = pl.scan_parquet(raw / EMBEDDED)
        read = dataclasses.replace(read, vectors=vectors, vectors_file=Path(f"answers of {config.embed.model}"))
    elif VECTOR in items.collect_schema():
        vectors = items.filter(pl.col(VECTOR).is_not_null(), pl.col(REJECT).is_null()).select("item_id", VECTOR)
        read = dataclasses.replace(read, items=items.drop(VECTOR), vectors=vectors, vectors_file=items_file)
    return read


def _files(config: Config) -> dict[str, TextFile]:
    joined = {name: other for file in config.tables.values() for name, other in file.joins.items()}
    return {**config.tables, **joined}


def _read(source: Source, file: TextFile, parts: Parts, aside: Path) -> FileLines:
    if source.kind == "parquet":
        try:
            return FileLines(source.name, None, None, parts.sink(pl.scan_parquet(source.path), source), None, None)
        except pl.exceptions.PolarsError as error:
            reason = one_line(str(error), 200)
            raise DataError(f"{source.path}: not readable as parquet ({reason}): repair or replace it") from error
    names = {name: name for name in file.canonical} | file.sources
    if source.kind == "excel":
        return workbook.read(source, file, set(names.values()), parts)
    if source.kind == "sql":
        return query.read(source, file.database, set(names.values()), parts)
    with as_utf8(source.path, file.encoding, aside) as text:
        if source.kind == "json_lines":
            return json_lines.read(text, source, [names[id_] for id_ in IDS if id_ in names], parts)
        return delimited.read(text, source, file, names, parts)


def _lines(raw: Path, name: str) -> Sequence[FileLines]:
    path = raw / f"{name}.json"
    if not path.is_file():
        raise DataError(f"{raw}: no file {path.name!r}; run `dvc repro fetch`")
    return [FileLines(**one) for one in json.loads(path.read_text(encoding="utf-8"))]


def _table(name: str, file: TableFile, raw: Path, needed: list[str], lines: Sequence[FileLines]) -> pl.LazyFrame:
    """Return the mapped columns under canonical names, the whole row as `raw`, and `reject` for unreadable rows."""
    table = _scan(raw / name)
    for other, joined in file.joins.items():
        table = _join(table, name, other, joined, _scan(raw / other))
    table = _compute(table, name, file)
    found = [column for column in table.collect_schema() if column not in OWN]
    columns = {column: column for column in file.canonical if column in found or column in needed} | file.sources
    for column, source in columns.items():
        if source not in found:
            there = ", ".join(repr(other) for other in found)
            raise DataError(
                f"{file.label}: no column {source!r} (for {column}), the columns are {there:.400}:"
                f" correct adapter.{name}.columns, separator or header in params.yaml"
            )
    _check_dates(name, file, table, columns)
    values = {column: pl.col(source) for column, source in columns.items()}
    if isinstance(file, InteractionsFile) and file.event is not None:
        values["event"] = pl.lit(file.event)
    where = [] if _rows_are_lines(lines) else [FILE, LINE, TEXT]
    chosen = table.select(**values, **{REJECT: pl.col(REASON), RAW: pl.struct(*where, *found)})
    return read_cells(chosen, file)


def _compute(table: pl.LazyFrame, name: str, file: TableFile) -> pl.LazyFrame:
    """Append the computed columns."""
    for column, text in file.computed.items():
        try:
            table = table.with_columns(pl.sql_expr(text).alias(column))
            table.collect_schema()
        except pl.exceptions.PolarsError as error:
            raise DataError(
                f"{file.label}: column {column!r} cannot be computed ({one_line(str(error), 200)}):"
                f" correct adapter.{name}.computed in params.yaml"
            ) from error
    return table


def _join(table: pl.LazyFrame, of: str, name: str, file: JoinedFile, other: pl.LazyFrame) -> pl.LazyFrame:
    """Append the columns of `other`, named `name.column`, from its row with the same key: for each order line, for
    example, the customer and the time of its order. Equal rows of `other` count as one. of: name of the table.

    A row of `table` is refused, as `several_rows_in_<name>`, if there are different rows. Without one, an interaction
    is refused, as `no_row_in_<name>`; the columns of an item or a user stay empty.
    """
    other = other.filter(pl.col(REASON).is_null()).drop(*OWN)
    key = file.key or file.on
    for columns, wanted in ((table.collect_schema(), file.on), (other.collect_schema(), key)):
        if wanted not in columns:
            there = ", ".join(repr(column) for column in columns if column not in OWN)
            raise DataError(
                f"{name}: no column {wanted!r} to join on, the columns are {there:.400}:"
                f" correct adapter.{of}.joins.{name} in params.yaml"
            )
    own_key, its_key = (pl.col(column).cast(pl.String).str.strip_chars().alias(JOIN_KEY) for column in (file.on, key))
    rows = other.unique(maintain_order=True).with_columns(its_key)
    rows = rows.with_columns(pl.len().over(JOIN_KEY).alias(N_ROWS)).unique(JOIN_KEY, keep="first", maintain_order=True)
    rows = rows.rename({column: f"{name}.{column}" for column in other.collect_schema()})
    found = table.with_columns(own_key).join(rows, on=JOIN_KEY, how="left", maintain_order="left")
    none, several = pl.lit(f"no_row_in_{name}"), pl.lit(f"several_rows_in_{name}")
    lacks = pl.col(N_ROWS).is_null() & pl.lit(of == "interactions")
    fault = pl.when(lacks).then(none).when(pl.col(N_ROWS) > 1).then(several)
    return found.with_columns(pl.coalesce(REASON, fault).alias(REASON)).drop(JOIN_KEY, N_ROWS)


def _scan(folder: Path) -> pl.LazyFrame:
    parts = [pl.scan_parquet(path) for path in sorted(folder.glob("*.parquet"))]
    table = pl.concat(parts, how="diagonal_relaxed")
    return table.with_columns(pl.lit(None, OWN[own]).alias(own) for own in OWN if own not in table.collect_schema())


def _rows_are_lines(lines: Sequence[FileLines]) -> bool:
    """Return whether every row is one line of one file: then quarantine need not show file and line of a row."""
    return len(lines) == 1 and not lines[0].refused and lines[0].row_lines in (None, lines[0].rows)


def _check_dates(name: str, file: TableFile, table: pl.LazyFrame, columns: dict[str, str]) -> None:
    form, other = file.timestamp_format, swapped(file.timestamp_format)
    texts = [columns[column] for column in TIMES if table.collect_schema().get(columns.get(column, "")) == pl.String]
    for source in texts if form and other else []:
        if swapped_dates(table, source, str(form), str(other)):
            raise DataError(
                f"{file.label}: timestamp_format {form!r} does not fit column {source!r}, {other!r} does: correct"
                f" adapter.{name}.timestamp_format in params.yaml"
            )
