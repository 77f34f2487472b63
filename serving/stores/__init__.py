"""The durable stores of events, exposures, items, identities and forgotten users. See `docs/stores.md`.

`open_store(url)` opens the store at a URL; `python -m serving.stores migrate` creates its tables.
"""

from recsys.schemas.store_schema import POSTGRES, SQLITE
from serving.stores.protocol import no_store
from serving.stores.store import Store

__all__ = ["open_store"]


async def open_store(url: str) -> Store:
    """Open `sqlite:///store/events.sqlite` (relative), `sqlite:////srv/events.sqlite`, or `postgresql://...`.

    Raises:
        StoreError: "store/events.sqlite: its tables are of version 0, this code needs 1: run `python -m ...`"
    """
    if url.startswith(SQLITE):
        from serving.stores.sqlite import SqliteDatabase  # each driver only where it is used

        return Store(SqliteDatabase(url.removeprefix(SQLITE)))
    if url.startswith(POSTGRES):
        from serving.stores.postgres import PostgresDatabase

        return Store(await PostgresDatabase.open(url))
    raise no_store(url)
