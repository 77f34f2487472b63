"""Reads the rows of an SQL query, the text of a .sql file, into numbered Parquet files, each cell as text."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import NullPool, create_engine, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError

from recsys.data.raw_tables import FileLines
from recsys.datasets._files.delimited import unique_names
from recsys.datasets._files.records import Cells, Record
from recsys.datasets._files.sources import BATCH_ROWS, Parts, Source
from recsys.errors import DataError, SourceUnreachableError, one_line

URL_VARIABLE = "RECSYS_DATABASE_URL"
OPTIONS = {"stream_results": True, "yield_per": BATCH_ROWS, "no_parameters": True}  # a % in the query stays as it is


def read(source: Source, database: str | None, mapped: set[str], parts: Parts) -> FileLines:
    """Write the rows of the query to `parts`, return their counts. mapped: names of used columns. Raises as `rows`
    does."""
    with rows(source.path, database) as (columns, found):
        names = unique_names(source.name, list(columns), mapped)
        records = (Record(number, 1, "", cells) for number, cells in enumerate(found, start=1))
        return parts.write(names, records, source)


@contextmanager
def rows(path: Path, database: str | None) -> Iterator[tuple[list[str], Iterator[Cells]]]:
    """Run the query in the file `path`; yield the names of its columns, and its rows as text. Nothing is committed.
    database: url, such as sqlite:///shop.sqlite; None: environment variable RECSYS_DATABASE_URL.

    Raises:
        DataError: "orders.sql: a query needs a database: set database, such as sqlite:///shop.sqlite, or ..."
        DataError: "orders.sql: cannot be run on sqlite:///shop.sqlite (no such table: orders): correct the query ..."
        SourceUnreachableError: "shop.sqlite: no such file; correct database"
    """
    url = database or os.environ.get(URL_VARIABLE)
    if not url:
        example = "sqlite:///shop.sqlite"
        raise DataError(f"{path}: a query needs a database: set database, such as {example}, or {URL_VARIABLE}")
    if (file := database_file(url)) is not None and not file.is_file():  # SQLite would create it
        raise SourceUnreachableError(f"{file}: no such file; correct database, or {URL_VARIABLE}")
    try:
        with create_engine(url, poolclass=NullPool).connect() as connection:
            found = connection.exec_driver_sql(path.read_text(encoding="utf-8"), execution_options=OPTIONS)
            if not found.returns_rows:
                raise DataError(f"{path}: the statement returns no rows, expected a SELECT")
            yield list(found.keys()), ([_text(value) for value in row] for row in found)
    except (SQLAlchemyError, ImportError, UnicodeDecodeError) as error:
        why = error.orig if isinstance(error, DBAPIError) else error
        where = "" if isinstance(error, ArgumentError) else f" on {make_url(url)!r}"  # without its password
        reason = one_line(str(why), 200)
        raise DataError(f"{path}: cannot be run{where} ({reason}): correct the query, or database") from error


def database_file(database: str | None) -> Path | None:
    """Return the file of an SQLite database; None for a database on a server."""
    name = (database or os.environ.get(URL_VARIABLE, "")).partition("sqlite:///")[2]
    return Path(name) if name else None


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value or None
    if isinstance(value, bool | int | float | list | dict):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)
