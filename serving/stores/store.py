"""The store of the API, on SQLite or PostgreSQL. Every method raises StoreError when the database fails.

A write that raises it stored nothing; one that raises its subclass UnknownOutcomeError may have stored all its rows.
The API has checked the rows, see `serving/api/`; a write with a row that the database refuses fails alone, with its
error.

A read that exceeds its timeout is abandoned. After a burst of requests the event loop is late with everything, also
with answers of the store that came in time, so a timeout that it notices late is not held against the store. A write
has its own limits, see `serving/stores/job.py`. While a circuit breaker is open, every call fails at once: answers are
computed without the store, events are refused with 503, and nothing waits in a queue. Background tasks poll the store,
so they mostly notice first that it works again.
"""

import asyncio
from collections.abc import Sequence
from time import perf_counter
from typing import Any, Protocol, TypeVar

from recsys.recommend.circuit_breaker import CircuitBreaker, CircuitBreakers, Limits
from recsys.schemas.channel import CLOCK, digest
from recsys.schemas.store_schema import POSTGRES, SQLITE, fingerprint
from serving.stores import reads, statements
from serving.stores.job import Job, abandon_after
from serving.stores.protocol import (
    FORGET_S,
    MAX_SEEN,
    BusyError,
    Event,
    Exposure,
    Item,
    Outcome,
    PersonEvent,
    Rejected,
    StoreError,
)
from serving.stores.reads import Rows
from serving.stores.statements import HISTORY, SEEN
from serving.stores.writes import Write, Writes

T = TypeVar("T")

LIMITS = Limits(window=20, failures=5, cooldown_s=1.0)  # of the API's breakers
LONG_SECONDS = 5.0  # timeout of reads that no answer waits for
LATE = 1.2  # times its timeout: a read that was given up later than that was given up by a busy process


class Database(Protocol):
    """The operations of a database; every method raises StoreError when it fails."""

    salt: str  # secret of this store, with which it hashes ids, see `recsys/schemas/store_schema.py`
    remote: bool  # whether it is behind a network, where a cancelled call may take long to end

    async def read(self, statement: str, *values: Any) -> Rows:
        """Run a statement of `statements.py` with these values of $1, $2, ..., and return its rows."""
        ...

    async def write(self, job: Job[T]) -> T:
        """Return the result of the write once it is on disk. Raises as `Job.result` does."""
        ...

    async def erase(self) -> None:
        """Remove the content of deleted rows from the database's files."""
        ...

    async def close(self) -> None:
        """Finish the writes that have begun, then close."""
        ...


class Store:
    """The durable store. Do not use it after `close`. answer_s: seconds that an answer waits for a user's history;
    breakers: of reading and writing; by default they never open."""

    def __init__(
        self, database: Database, answer_s: float = LONG_SECONDS, breakers: CircuitBreakers | None = None
    ) -> None:
        self.database, self._answer_s = database, answer_s
        breakers = breakers or CircuitBreakers()
        self.reading, self.writing = breakers.of("reading the store"), breakers.of("writing to the store")
        self._reading, self._writing = _BreakerGuard(self.reading), _BreakerGuard(self.writing)
        self.salt = database.salt
        self._writes = Writes(self.salt)

    async def add_events(self, rows: Sequence[Event | Rejected]) -> list[Outcome]:
        """Store events, and refused ones in `dead_letters`, all or nothing. Return an outcome for each row.

        An event whose event_id is stored already is a DUPLICATE if its content is equal; otherwise it is OTHER_CONTENT,
        and also goes to `dead_letters`. Times are part of it only if the client sent one in both requests. An event of
        a forgotten user from before the forgetting is dropped as a DUPLICATE. If the connection to a remote database
        breaks during the commit, the write is repeated, and events that were stored at the first try are DUPLICATE too.
        """
        return await self._write(Job[list[Outcome]](self._writes.add_events, len(rows), events=rows))

    async def history(self, user_id: str | None, anonymous_id: str | None, limit: int) -> tuple[int, list[Event]]:
        """Return a version that changes with the events (0: none), and the newest `limit` events, oldest first. The
        events of a user include those of merged visitors. If user_id is set, anonymous_id is ignored."""
        return reads.history(await self.select(HISTORY, user_id, anonymous_id, limit))

    async def seen(self, user_id: str | None, anonymous_id: str | None) -> dict[str, bool]:
        """Return item_id -> whether the person disliked it, for at most `MAX_SEEN` items of the person's events."""
        return reads.seen(await self.select(SEEN, user_id, anonymous_id, MAX_SEEN))

    async def add_exposures(self, batch: Sequence[Exposure]) -> None:
        """Store exposures durably, except those that are stored already, or of users who were forgotten since."""
        await self._write(Job[None](lambda: self._writes.add_exposures(batch), len(batch)))

    async def upsert_items(self, items: Sequence[Item], by: str | None = None) -> None:
        """Add items, or change their fields that are not None; durable. by: name of the API key, for the audit log."""
        await self._write(Job[None](lambda: self._writes.upsert_items(items, by), len(items), alone=True))

    async def items_since(self, version: int) -> tuple[int, list[Item]]:
        """Return the present version of the store's items, and those that changed after `version` (0: all items)."""
        return reads.items(await self.select(statements.ITEMS, version), version)

    async def newest(self, since: float, before: tuple[float, str], limit: int) -> list[PersonEvent]:
        """Return one page of the events received after `since` (UTC seconds), newest first, at most `limit`. before:
        (received, event_id) of the last event of the previous page; the first page starts with (inf, "")."""
        return reads.newest(await self.select(statements.NEWEST, since, *before, limit))

    async def merge(self, anonymous_id: str, user_id: str, sent_by: str | None = None) -> int:
        """Merge a visitor into a user: from now on their events are one history. Return the number of moved events. If
        the visitor belonged to no user or another one, the table `merges` records it. sent_by: name of the API key."""
        return await self._write(Job[int](lambda: self._writes.merge(anonymous_id, user_id, sent_by), alone=True))

    async def unmerge(self, anonymous_id: str, by: str | None = None) -> int | None:
        """Undo a visitor's last merge: the visitor's events go back to their earlier owner. Return the number of moved
        events; None if there is no merge. by: name of the API key, for the audit log."""
        return await self._write(Job[int | None](lambda: self._writes.unmerge(anonymous_id, by), alone=True))

    async def forget(self, user_id: str, by: str | None = None) -> dict[str, int]:
        """Delete events, exposures, dead letters and identities of a user or visitor; return the deleted rows per
        table. With a visitor's id, the rows that were sent with this id alone are deleted, even if they belong to a
        user after a merge. Rows with the id of another user, from the same device, stay. Only salted hashes are kept,
        of the user_id and of the ids of merged visitors. by: name of the API key, for the audit log."""
        # without the circuit breaker: an administrator waits for it, so it is tried even if other writes fail
        job = Job[dict[str, int]](lambda: self._writes.forget(user_id, by), alone=True, seconds=FORGET_S)
        deleted = await self.database.write(job)
        await self.database.erase()
        return deleted

    async def execute(self, statement: str, *values: Any) -> None:
        """Run one statement that writes, with the values of $1, $2, ...; durable."""

        def write() -> Write[None]:
            yield statement, [values]

        await self._write(Job[None](write))

    async def forgotten(self, since: int = 0) -> tuple[int, frozenset[str]]:
        """Return the present version of the forgotten users, and salted hashes of those forgotten after `since`."""
        return reads.forgotten(await self.select(statements.FORGOTTEN, since), since)

    async def channel(self) -> Rows:
        """Return rows (now, kind, number, since), one for each change of the releases, rules or experiments that is in
        force or scheduled; without any, one row (now, None, None, None). now, since: UTC seconds by the store's clock,
        since: when it takes effect; number: of the change, from 1 within its kind."""
        clock = CLOCK[POSTGRES[0] if self.database.remote else SQLITE]
        return await self.select(statements.CHANNEL.replace("{clock}", clock.replace("clock_timestamp", "now")))

    async def change(self, kind: str, number: int) -> str:
        """Return the text of a version of the releases, rules or experiments (kind). number: of the version, from 1.

        Raises:
            StoreError: "the rules in the store, version 3: their text is missing or damaged; send them again: ..."
        """
        rows = await self.select(statements.CHANGE, kind, number)
        if not rows or digest(rows[0][1]) != rows[0][0]:
            command = f"recsys {kind} {'promote' if kind == 'releases' else 'put'}"
            fault = f"their text is missing or damaged; send them again: `{command}`"
            raise StoreError(f"the {kind} in the store, version {number}: {fault}")
        return str(rows[0][1])

    def fingerprint(self, user_id: str) -> str:
        """Return the salted hash of a user_id, for comparison with those of `forgotten`."""
        return fingerprint(self.salt, user_id)

    async def ping(self) -> None:
        """Read a row, to check that the store works. Raises: StoreError: it does not."""
        await self.select(statements.SALT)

    async def close(self) -> None:
        """Finish the writes that have begun, then close."""
        await self.database.close()

    async def select(self, statement: str, *values: Any) -> Rows:
        """Run a query with the values of $1, $2, ..., and return its rows. Raises: StoreError: it failed, took too
        long, or the breaker is open."""
        with self._reading:
            if statement == HISTORY and not self.database.remote:  # it runs in the event loop: no timeout can end it
                return await self.database.read(statement, *values)
            seconds = self._answer_s if statement in (HISTORY, SEEN) else LONG_SECONDS
            began = perf_counter()
            try:
                if self.database.remote:
                    return await abandon_after(seconds, self.database.read(statement, *values))
                async with asyncio.timeout(seconds):  # cheaper than a task; a cancelled read of a file ends at once
                    return await self.database.read(statement, *values)
            except TimeoutError:
                error = BusyError if perf_counter() - began > LATE * seconds else StoreError
                raise error(f"reading the store took longer than {seconds * 1e3:g} ms; try again") from None

    async def _write(self, job: Job[T]) -> T:
        """Write. Raises: StoreError: nothing was stored. UnknownOutcomeError: the rows may be stored."""
        with self._writing:
            return await self.database.write(job)


class _BreakerGuard:
    """Refuses calls while the breaker is open, and reports to it whether they fail. One object for all
    calls, because every answer reads."""

    def __init__(self, breaker: CircuitBreaker) -> None:
        self._breaker = breaker

    def __enter__(self) -> None:
        """Raises: StoreError: the breaker is open."""
        if not (self._breaker.all_good or self._breaker.allows()):
            cooldown = f"{LIMITS.cooldown_s:g} s"
            raise StoreError(f"{self._breaker.part} kept failing and is not called for {cooldown}; try again then")

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if isinstance(error, StoreError) and not isinstance(error, BusyError):
            self._breaker.failed()
        elif error is None and not self._breaker.all_good:
            self._breaker.succeeded(0.0)
