"""Exports lists to PostgreSQL: one table per version, and one view that shows the current version.

<name>              view: user_id, rank, item_id, score, source, bundle_id, variant
<name>_<version>    table; the current one and the one before are kept
<name>_versions     table: version, users (how many it holds), shown (when the view was last switched to it, or null)
"""

from typing import LiteralString

import polars as pl
import psycopg
from psycopg.rows import TupleRow
from psycopg.sql import SQL, Composed, Identifier

CREATE_TABLE: LiteralString = """
CREATE TABLE IF NOT EXISTS {table} (user_id text, rank int, item_id text, score real, source text, bundle_id text,
variant text, PRIMARY KEY (user_id, rank))"""
CREATE_VERSIONS: LiteralString = """
CREATE TABLE IF NOT EXISTS {versions} (version text PRIMARY KEY, users bigint NOT NULL, shown timestamptz)"""
# keeps the version shown before this one; a version that was never shown is an abandoned export
OUTDATED: LiteralString = """
DELETE FROM {versions} WHERE version <> %s AND version NOT IN
(SELECT version FROM {versions} WHERE version <> %s AND shown IS NOT NULL ORDER BY shown DESC LIMIT 1)
RETURNING version"""


class Table:
    """The target for PostgreSQL: adds each batch by COPY in a transaction; the last transaction replaces the view."""

    database: str = "PostgreSQL"
    errors: tuple[type[Exception], ...] = (psycopg.Error,)

    def __init__(self, url: str, name: str, version: str) -> None:
        self._name = name
        self._version = version
        self._connection = psycopg.connect(url, autocommit=True)

    def begin(self) -> int:
        with self._connection.transaction():
            self._run(CREATE_VERSIONS)
            self._run(CREATE_TABLE)
            self._run("INSERT INTO {versions} VALUES (%s, 0, NULL) ON CONFLICT DO NOTHING", self._version)
            found = self._run("SELECT users FROM {versions} WHERE version = %s", self._version).fetchone()
        return int(found[0]) if found else 0

    def write(self, rows: pl.DataFrame, done: int) -> None:
        with self._connection.transaction(), self._connection.cursor() as cursor:
            self._run("UPDATE {versions} SET users = %s WHERE version = %s", done, self._version)
            with cursor.copy(self._named("COPY {table} FROM STDIN", self._version)) as copy:
                for row in rows.iter_rows():
                    copy.write_row(row)

    def finish(self) -> None:
        with self._connection.transaction():
            self._run("CREATE OR REPLACE VIEW {view} AS SELECT * FROM {table}")
            self._run("UPDATE {versions} SET shown = now() WHERE version = %s", self._version)
            for (old,) in self._run(OUTDATED, self._version, self._version).fetchall():
                self._connection.execute(self._named("DROP TABLE IF EXISTS {table}", old))

    def close(self) -> None:
        self._connection.close()

    def _run(self, statement: LiteralString, *values: object) -> psycopg.Cursor[TupleRow]:
        return self._connection.execute(self._named(statement, self._version), values)

    def _named(self, statement: LiteralString, version: str) -> Composed:
        names = {"view": self._name, "versions": f"{self._name}_versions", "table": f"{self._name}_{version}"}
        return SQL(statement).format(**{name: Identifier(text) for name, text in names.items()})
