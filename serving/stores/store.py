"""The store of the API, on SQLite or PostgreSQL. All methods raise StoreError, and nothing else, when it fails.

A write that raises it was not stored; one that raises UnknownOutcomeError may have been. Only a text that no store can
hold (a NUL, half of a surrogate pair) and an event without user_id and anonymous_id raise ValueError.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol, TypeVar

from recsys.schemas.channel import CLOCK, digest
from recsys.schemas.store_schema import POSTGRES, SQLITE, fingerprint
from serving.stores import reads, statements
from serving.stores.job import Job
from serving.stores.protocol import (
    FORGET_S,
    MAX_SEEN,
    Event,
    Exposure,
    Item,
    Outcome,
    PersonEvent,
    Rejected,
    StoreError,
)
from serving.stores.reads import Rows
from serving.stores.writes import Write, Writes

T = TypeVar("T")


class Database(Protocol):
    """The operations of a database; every method raises StoreError when it fails."""

    salt: str  # of the store's fingerprints, see `recsys/schemas/store_schema.py`
    remote: bool  # behind a network: a call that is cancelled may hang on

    async def read(self, statement: str, *values: Any) -> Rows:
        """Return the rows of a statement of `statements.py`."""
        ...

    async def write(self, job: Job[T]) -> T:
        """Return the result of the write when it is on disk; see `Job.result`."""
        ...

    async def erase(self) -> None:
        """Remove deleted rows from the files too."""
        ...

    async def close(self) -> None:
        """Finish the writes that have begun, then close."""
        ...


class Store:
    """The durable store. After `close` no other call may follow."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.salt = database.salt
        self._writes = Writes(self.salt)

    async def add_events(self, rows: Sequence[Event | Rejected]) -> list[Outcome]:
        """Store events, and refused ones in `dead_letters`, all or nothing; returns when all are durable.

        An event_id that exists is a duplicate if the content is equal, else OTHER_CONTENT: that event is stored in
        `dead_letters` too. A time that was only the time of arrival, in either, is not compared. An event of a
        forgotten user from before the forgetting is dropped and counts as a duplicate. If the connection to a remote
        database breaks during the commit, events that were stored count as duplicates.
        """
        _check_rows(rows)
        return await self._write(Job[list[Outcome]](self._writes.add_events, len(rows), events=rows))

    async def history(self, user_id: str | None, anonymous_id: str | None, limit: int) -> tuple[int, list[Event]]:
        """Return the newest `limit` events, oldest first, and a version that changes with them.

        Follows merges. With a user_id the anonymous_id is ignored. Version 0: no event. One indexed look-up.
        """
        return reads.history(await self._read(statements.HISTORY, user_id, anonymous_id, limit))

    async def seen(self, user_id: str | None, anonymous_id: str | None) -> dict[str, bool]:
        """Return item_id -> whether it was disliked, for at most `MAX_SEEN` items with an event. Follows merges."""
        return reads.seen(await self._read(statements.SEEN, user_id, anonymous_id, MAX_SEEN))

    async def add_exposures(self, batch: Sequence[Exposure]) -> None:
        """Store exposures durably; existing ones, and those of a user from before the forgetting, are left out."""
        _check_rows(batch)
        await self._write(Job[None](lambda: self._writes.add_exposures(batch), len(batch)))

    async def upsert_items(self, items: Sequence[Item], by: str | None = None) -> None:
        """Add items or change the fields that are not None; durable."""
        _check_rows(items)
        await self._write(Job[None](lambda: self._writes.upsert_items(items, by), len(items), alone=True))

    async def items_since(self, version: int) -> tuple[int, list[Item]]:
        """Return the items that changed after `version` (0: all), as they are now, and the next version to pass."""
        return reads.items(await self._read(statements.ITEMS, version), version)

    async def newest(self, since: float, before: tuple[float, str], limit: int) -> list[PersonEvent]:
        """Return the newest `limit` events received after `since`, newest first.

        before: (received, event_id) of the last event of the page before, to continue there.
        """
        return reads.newest(await self._read(statements.NEWEST, since, *before, limit))

    async def merge(self, anonymous_id: str, user_id: str, sent_by: str | None = None) -> int:
        """Merge a guest into a user: from now on their events are one history. Return how many events moved.

        If the guest changes its user by that, `merges` records the earlier one and sent_by, the API key.
        """
        _check_texts(anonymous_id, user_id)
        return await self._write(Job[int](lambda: self._writes.merge(anonymous_id, user_id, sent_by), alone=True))

    async def unmerge(self, anonymous_id: str, by: str | None = None) -> int | None:
        """Undo the last merge of a guest: its own events go back to their earlier owner. Return the number of events
        moved; None if there is no merge.
        """
        _check_texts(anonymous_id)
        return await self._write(Job[int | None](lambda: self._writes.unmerge(anonymous_id, by), alone=True))

    async def forget(self, user_id: str, by: str | None = None) -> dict[str, int]:
        """Delete events, exposures, dead letters and identities of this user or guest; returns rows deleted per table.

        For a guest who became a user: the guest's own events only. Events of others on the same device stay. Keeps
        only salted hashes, of the user_id and of the anonymous ids that were merged into it.
        """
        _check_texts(user_id)
        # not held back by the breaker of writing, because a person waits for it
        job = Job[dict[str, int]](lambda: self._writes.forget(user_id, by), alone=True, seconds=FORGET_S)
        deleted = await self.database.write(job)
        await self.database.erase()
        return deleted

    async def manage(self, action: Callable[[Writes], Write[T]]) -> T:
        """Run a function of `serving/stores/admin.py` with the store's `Writes`."""
        return await self._write(Job[T](lambda: action(self._writes)))

    async def forgotten(self, since: int = 0) -> tuple[int, frozenset[str]]:
        """Return the fingerprints of users forgotten after version `since`, and the next version to pass."""
        return reads.forgotten(await self._read(statements.FORGOTTEN, since), since)

    async def channel(self) -> Rows:
        """Return (the store's time, kind, number, since) of the changes of `recsys/schemas/channel.py` that count or
        will; without any, one row with the time.
        """
        clock = CLOCK[POSTGRES[0] if self.database.remote else SQLITE]
        return await self._read(statements.CHANNEL.replace("{clock}", clock.replace("clock_timestamp", "now")))

    async def change(self, kind: str, number: int) -> str:
        """Return the text of a change in the channel.

        Raises:
            StoreError: "channel: rules 3: its text is not the one of its hash; put it again"
        """
        rows = await self._read(statements.CHANGE, kind, number)
        if not rows or digest(rows[0][1]) != rows[0][0]:
            raise StoreError(f"channel: {kind} {number}: its text is not the one of its hash; put it again")
        return str(rows[0][1])

    def fingerprint(self, user_id: str) -> str:
        """Return the salted hash of a user_id, as `forgotten()` returns it."""
        return fingerprint(self.salt, user_id)

    async def ping(self) -> None:
        """Read a row, to check that the store works; StoreError says why not."""
        await self._read(statements.SALT)

    async def close(self) -> None:
        """Finish the writes that have begun, then close."""
        await self.database.close()

    async def _read(self, statement: str, *values: Any) -> Rows:
        return await self.database.read(statement, *values)

    async def _write(self, job: Job[T]) -> T:
        return await self.database.write(job)


def _check_rows(batch: Iterable[Event | Rejected | Exposure | Item]) -> None:
    """Refuse rows that no store can hold, before they join a transaction with the writes of other callers.

    Checked are whose an event is, and the texts of all rows but refused ones, which are escaped.

    Raises:
        ValueError: "event 'e1': neither user_id nor anonymous_id; send one of them", and see `_check_texts`.
    """
    found: list[str] = []
    for row in batch:
        if isinstance(row, Event) and row.user_id is None and row.anonymous_id is None:
            raise ValueError(f"event {row.event_id!r:.80}: neither user_id nor anonymous_id; send one of them")
        if not isinstance(row, Rejected):
            cells = [getattr(row, name) for name in row.__struct_fields__]
            found += [cell for cell in cells if isinstance(cell, str)]
    _check_texts(*found)


def _check_texts(*values: str) -> None:
    """Check texts: PostgreSQL stores no NUL, and neither database half of a surrogate pair.

    Raises:
        ValueError: "'a\\x00': a text with a NUL or half of a surrogate pair cannot be stored; send it without"
    """
    if not _storable("".join(values)):
        value = next(value for value in values if not _storable(value))
        raise ValueError(f"{value!r:.80}: a text with a NUL or half of a surrogate pair cannot be stored")


def _storable(value: str) -> bool:
    try:
        return b"\0" not in value.encode()
    except UnicodeEncodeError:
        return False
