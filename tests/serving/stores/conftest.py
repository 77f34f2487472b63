"""Both stores, each test with an empty one of its own."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import apsw
import psycopg
import pytest

from benchmarks.stores.servers import Postgres
from recsys.schemas.store_schema import SQLITE
from serving.stores import open_store
from serving.stores.migrations import migrate
from serving.stores.store import Store

Opened = Callable[[str], Awaitable[Store]]
Select = Callable[[str], list[tuple[Any, ...]]]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"{SQLITE}{tmp_path}/store/events.sqlite"


@pytest.fixture
def postgresql_url(postgres: Postgres) -> str:
    return postgres.emptied()


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest) -> str:
    """A database without tables."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture
def url(empty_url: str) -> str:
    migrate(empty_url)
    return empty_url


@pytest.fixture
async def opened() -> AsyncIterator[Opened]:
    """Opens stores, and closes them when the test has failed too: a pool left open keeps the loop from ending."""
    stores: list[Store] = []

    async def open_and_remember(url: str) -> Store:
        stores.append(await open_store(url))
        return stores[-1]

    yield open_and_remember
    for each in stores:
        await each.close()


@pytest.fixture
async def store(url: str, opened: Opened) -> Store:
    return await opened(url)


@pytest.fixture
def select(url: str) -> Select:
    """Read the tables as another program would, with the database's own driver."""

    def run(statement: str) -> list[tuple[Any, ...]]:
        if url.startswith(SQLITE):
            # not `sqlite3`: a second SQLite library in one process undoes the file locks of the first
            with closing(apsw.Connection(url.removeprefix(SQLITE))) as file:
                return file.execute(statement).fetchall()
        with psycopg.connect(url) as server:
            return server.execute(statement).fetchall()

    return run
