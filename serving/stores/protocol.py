"""The rows of a store and the protocol of every store. Times are UTC seconds since 1970; ids are external strings.

A *guest* has only an anonymous_id; a merge says whose it was. After `merge("cookie-1", "anna")` everything of the guest
`cookie-1`, before and after, belongs to the user `anna`.
"""

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple, Protocol, TypeVar

from recsys.errors import RecsysError
from recsys.schemas.store_schema import URL_VARIABLE, named

T = TypeVar("T")

WRITE_S = 5.0  # a write that was not begun by then is taken back; one that was has as long again to end
FORGET_S = 60.0  # a person waits for it
MAX_SEEN = 20_000


class StoreError(RecsysError):
    """The store cannot be read or written now: nothing of this call was stored. The next call may succeed."""


class UnknownOutcomeError(StoreError):
    """It is unknown whether this call was stored: the store stopped answering during the write."""


class Outcome(StrEnum):
    """The result of storing one event."""

    NEW = "new"
    DUPLICATE = "duplicate"
    OTHER_CONTENT = "other content"
    REJECTED = "rejected"


def no_store(url: str) -> StoreError:
    """Make the error for a url that names neither database."""
    return StoreError(f"{named(url)}: wanted sqlite:///path or postgresql://...; correct {URL_VARIABLE}")


@dataclass(frozen=True, slots=True)
class Event:
    """An action of a user or guest. event_id makes it idempotent; `received` is the time by the server's clock.

    key: name of the API key that sent it; two keys may use the same event_id. Both times are whole microseconds.
    """

    event_id: str
    user_id: str | None
    anonymous_id: str | None
    item_id: str
    event: str
    value: float | None
    timestamp: float
    request_id: str | None
    received: float
    key: str | None = None

    @property
    def stored_id(self) -> str:
        """Return the event_id in the table, with the key's name; no name of a key has a slash."""
        return self.event_id if self.key is None else f"{self.key}/{self.event_id}"


class PersonEvent(NamedTuple):
    """An event with its owner. person: "u:" and a user_id, or `GUEST_PERSON` and an anonymous_id."""

    event_id: str
    person: str
    item_id: str
    event: str
    timestamp: float
    received: float


@dataclass(frozen=True, slots=True)
class Rejected:
    """A refused event: its position in the request, the reason, and what was sent (any JSON)."""

    index: int
    reason: str
    body: Any
    received: float


@dataclass(frozen=True, slots=True)
class Exposed:
    """One item of an exposure. position counts from 1; propensity: chance that this item was shown here, or None."""

    item_id: str
    position: int
    score: float
    source: str
    propensity: float | None = None


@dataclass(frozen=True, slots=True)
class Exposure:
    """An answer that was served: user, items, variant and propensities. One per (request_id, unit).

    unit: what the experiment assigned a variant to; propensity: its chance of this variant; context: anything that JSON
    can hold.
    """

    request_id: str
    timestamp: float
    unit: str
    user_id: str | None
    anonymous_id: str | None
    experiment: str | None
    variant: str
    bundle_id: str
    surface: str | None
    segment: str | None
    propensity: float
    items: Sequence[Exposed]
    context: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Item:
    """The fields of an item that the shop put. None: not given; an upsert leaves such a field as it is."""

    item_id: str
    title: str | None = None
    text: str | None = None
    categories: tuple[str, ...] | None = None
    price: float | None = None
    available: bool | None = None
    first_seen: float | None = None


class Store(Protocol):
    """The protocol of every store. All methods raise StoreError, and nothing else, when the store fails.

    A write that raises it was not stored; one that raises UnknownOutcomeError may have been. Only a text that no store
    can hold (a NUL, half of a surrogate pair) and an event without user_id and anonymous_id raise ValueError.
    """

    salt: str  # of its fingerprints, see `recsys/store_schema.py`
    remote: bool  # behind a network: a call that is cancelled may hang on

    async def add_events(self, rows: Sequence[Event | Rejected]) -> list[Outcome]:
        """Store events, and refused ones in `dead_letters`, all or nothing; returns when all are durable.

        An event_id that exists is a duplicate if the content is equal, else OTHER_CONTENT: that event is stored in
        `dead_letters` too. A time that was only the time of arrival, in either, is not compared. An event of a
        forgotten user from before the forgetting is dropped and counts as a duplicate.
        """
        ...

    async def history(self, user_id: str | None, anonymous_id: str | None, limit: int) -> tuple[int, list[Event]]:
        """Return the newest `limit` events, oldest first, and a version that changes with them.

        Follows merges. With a user_id the anonymous_id is ignored. Version 0: no event. One indexed look-up.
        """
        ...

    async def seen(self, user_id: str | None, anonymous_id: str | None) -> dict[str, bool]:
        """Return item_id -> whether it was disliked, of the items of all events, at most `MAX_SEEN`. Follows merges."""
        ...

    async def add_exposures(self, batch: Sequence[Exposure]) -> None:
        """Store exposures durably; existing ones, and those of a user from before the forgetting, are left out."""
        ...

    async def upsert_items(self, items: Sequence[Item], by: str | None = None) -> None:
        """Add items or change the fields that are not None; durable."""
        ...

    async def items_since(self, version: int) -> tuple[int, list[Item]]:
        """Return the items that changed after `version` (0: all), as they are now, and the next version to pass."""
        ...

    async def newest(self, since: float, before: tuple[float, str], limit: int) -> list[PersonEvent]:
        """Return the newest `limit` events received after `since`, newest first.

        before: (received, event_id) of the last event of the page before, to continue there.
        """
        ...

    async def merge(self, anonymous_id: str, user_id: str, sent_by: str | None = None) -> int:
        """Merge a guest into a user: from now on their events are one history. Return how many events moved.

        If the guest changes its user by that, `merges` records the earlier one and sent_by, the API key.
        """
        ...

    async def unmerge(self, anonymous_id: str, by: str | None = None) -> int | None:
        """Undo the last merge of a guest: its own events belong to whom they did before. Return the number of events
        moved; None if there is no merge.
        """
        ...

    async def forget(self, user_id: str, by: str | None = None) -> dict[str, int]:
        """Delete events, exposures, dead letters and identities of this user or guest; returns rows deleted per table.

        For a guest who became a user: the guest's own events only. Events of others on the same device stay. Keeps
        only salted hashes, of the user_id and of the anonymous ids that were merged into it.
        """
        ...

    async def manage(self, action: Callable[[Any], Generator[Any, Any, T]]) -> T:
        """Run a function of `serving/stores/admin.py` with the store's `Writes`."""
        ...

    async def forgotten(self, since: int = 0) -> tuple[int, frozenset[str]]:
        """Return the fingerprints of users forgotten after version `since`, and the next version to pass."""
        ...

    def fingerprint(self, user_id: str) -> str:
        """Return the salted hash of a user_id, as `forgotten()` returns it."""
        ...

    async def ping(self) -> None:
        """Read a row, to check that the store works; StoreError says why not."""
        ...

    async def close(self) -> None:
        """Finish the writes that have begun, then close. No other call may follow."""
        ...
