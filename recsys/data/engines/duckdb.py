"""The engine `duckdb`: SQL statements that use at most `MEMORY`, and the disk for what exceeds it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import polars as pl

from recsys.data.numbering import not_in_items
from recsys.errors import DataError, one_line

MEMORY = "400MiB"


def frequent(parts: Path, key: list[str], above: int, work: Path) -> pl.DataFrame:
    """Implement `Engine.frequent`."""
    columns, found = ", ".join(key), work / "frequent.parquet"
    with _connected(work) as database:
        database.execute(
            f"""COPY (SELECT {columns} FROM read_parquet('{_quoted(parts)}/*.parquet')
                GROUP BY {columns} HAVING count(*) > {above}) TO '{_quoted(found)}' (FORMAT parquet)"""
        )
    return pl.read_parquet(found)


def n_distinct(table: Path, key: list[str], work: Path) -> int:
    """Implement `Engine.n_distinct`."""
    found = f"SELECT DISTINCT {', '.join(key)} FROM read_parquet('{_quoted(table)}')"
    with _connected(work) as database:
        return int(database.execute(f"SELECT count(*) FROM ({found})").fetchall()[0][0])


def ordered(interactions: Path, item_ids: pl.Series, work: Path) -> tuple[pl.LazyFrame, pl.Series]:
    """Implement `Engine.ordered`."""
    items, users, rows = (work / f"{name}.parquet" for name in ("items", "users", "rows"))
    item_ids.alias("item_id").to_frame().write_parquet(items)
    with _connected(work) as database:
        database.execute(
            f"""CREATE VIEW events AS
                    SELECT * FROM read_parquet('{_quoted(interactions)}', file_row_number = true);
                CREATE TABLE items AS
                    SELECT item_id, file_row_number::INTEGER AS item_row
                    FROM read_parquet('{_quoted(items)}', file_row_number = true);
                CREATE TABLE users AS
                    SELECT user_id, (row_number() OVER (ORDER BY user_id) - 1)::INTEGER AS user_row
                    FROM (SELECT DISTINCT user_id FROM events);
                COPY (SELECT user_id FROM users ORDER BY user_row) TO '{_quoted(users)}' (FORMAT parquet)"""
        )
        unknown = "SELECT min(item_id) FROM events ANTI JOIN items USING (item_id) HAVING count(*) > 0"
        for (item_id,) in database.execute(unknown).fetchall():
            raise not_in_items(item_id)
        database.execute(
            f"""COPY (
                    SELECT user_row, item_row, timestamp, event, value::FLOAT AS value, weight::FLOAT AS weight
                    FROM events JOIN users USING (user_id) JOIN items USING (item_id)
                    ORDER BY user_row, timestamp, item_row, file_row_number
                ) TO '{_quoted(rows)}' (FORMAT parquet, COMPRESSION lz4_raw)"""
        )
    return pl.scan_parquet(rows), pl.read_parquet(users)["user_id"]


@contextmanager
def _connected(work: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    try:
        with duckdb.connect(config={"memory_limit": MEMORY, "temp_directory": str(work / "spilled")}) as database:
            yield database
    except duckdb.Error as error:
        raise DataError(f"engine: duckdb: {one_line(str(error))}") from error


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")
