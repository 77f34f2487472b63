"""The durable stores of events, exposures, items, identities and forgotten users. See `docs/stores.md`.

`open_store(url)` opens the store at a URL; `python -m serving.stores migrate` creates its tables.
"""

from recsys.recommend.circuit_breaker import CircuitBreakers
from recsys.schemas.store_schema import POSTGRES, SQLITE
from serving.stores.protocol import no_store
from serving.stores.store import LONG_SECONDS, Store

__all__ = ["open_store"]


async def open_store(url: str, answer_s: float = LONG_SECONDS, breakers: CircuitBreakers | None = None) -> Store:
    """Open `sqlite:///store/events.sqlite` (relative), `sqlite:////srv/events.sqlite`, or `postgresql://...`. For
    answer_s and breakers see `Store`.

    Raises:
        StoreError: "store/events.sqlite: its tables are of version 0, this code needs 1: run `python -m ...`"
    """
    if url.startswith(SQLITE):
        from serving.stores.sqlite import SqliteDatabase  # each driver only where it is used

        return Store(SqliteDatabase(url.removeprefix(SQLITE)), answer_s, breakers)
    if url.startswith(POSTGRES):
        from serving.stores.postgres import PostgresDatabase

        return Store(await PostgresDatabase.open(url), answer_s, breakers)
    raise no_store(url)
