"""Reads the API's store, SQLite or PostgreSQL, for the pipeline, exports and experiments."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import apsw
import polars as pl
import psycopg

from recsys.errors import DataError, SourceUnreachableError, one_line
from recsys.schemas.store_schema import POSTGRES, SQLITE, URL_VARIABLE, fingerprint, named, select_from

BATCH_ROWS = 10_000

Rows = Iterator[tuple[Any, ...]]
Select = Callable[..., Rows]  # takes an SQL statement with $1, $2, ... and their values


@contextmanager
def snapshot(url: str) -> Iterator[Select]:
    """Open the store for reading; yield a function that runs SELECT statements, all on the state at the first one.

    Raises:
        SourceUnreachableError: "store/events.sqlite: no such file; set RECSYS_STORE_URL to the store of the API"
        DataError: "postgresql://...: the store cannot be read (connection refused); see docs/stores.md"
    """

    def streamed(statement: str, *values: Any) -> Rows:
        with psycopg.RawServerCursor(server, "rows") as cursor:
            cursor.itersize = BATCH_ROWS
            yield from cursor.execute(statement.encode(), values)

    try:
        if url.startswith(SQLITE):
            path = url.removeprefix(SQLITE)
            if not Path(path).is_file():
                raise SourceUnreachableError(f"{path}: no such file; set {URL_VARIABLE} to the store of the API")
            with closing(apsw.Connection(path, flags=apsw.SQLITE_OPEN_READONLY)) as file:
                file.execute("BEGIN")
                yield lambda statement, *values: file.execute(statement.replace("$", "?"), values)
        elif not url.startswith(POSTGRES):
            raise DataError(f"{named(url)}: expected sqlite:///path or postgresql://...; correct {URL_VARIABLE}")
        else:
            with psycopg.connect(url) as server:
                server.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
                yield streamed
    except (apsw.Error, psycopg.Error) as error:
        message = f"{named(url)}: the store cannot be read ({one_line(str(error))}); see docs/stores.md"
        raise DataError(message) from error


class Forgotten:
    """The users whose data were erased, as salted hashes of their ids; `version` grows with each erasure."""

    def __init__(self, select: Select) -> None:
        ((self._salt,),) = select(select_from("salt"))
        ((self.version,),) = select("SELECT coalesce(max(version), 0) FROM forgotten")
        self._moments: dict[str, float] = dict(select(select_from("forgotten", "fingerprint", "forgotten")))

    def moment(self, ids: pl.Series) -> pl.Series:
        """Return for each of these user ids when its data were last erased, UTC seconds, or null."""
        moments = {}
        if self._moments:
            for one in ids.drop_nulls().unique():
                moments[one] = self._moments.get(fingerprint(self._salt, one))
        return ids.replace_strict(moments, default=None, return_dtype=pl.Float64)
