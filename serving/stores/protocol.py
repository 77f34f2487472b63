"""What a store keeps and what every store can do. Times are UTC seconds since 1970; ids are strings from outside.

A *guest* has only an anonymous_id; a merge says whose it was. After `merge("cookie-1", "anna")` everything of the guest
`cookie-1`, before and after, belongs to the user `anna`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple, Protocol

from recsys.errors import RecsysError
from recsys.schemas.store_schema import URL_VARIABLE, named

WRITE_S = 5.0  # a write that was not begun by then is taken back; one that was has as long again to end
FORGET_S = 60.0  # a person waits for it
MAX_SEEN = 20_000


class StoreError(RecsysError):
    """The store cannot be read or written now: nothing of this call was stored. The next call may succeed."""


class UnknownOutcomeError(StoreError):
    """Nobody can say whether this call was stored: it was under way when the store stopped answering."""


class Outcome(StrEnum):
    """What became of an event."""

    NEW = "new"
    DUPLICATE = "duplicate"
    OTHER_CONTENT = "other content"
    REJECTED = "rejected"


def no_store(url: str) -> StoreError:
    """The url names neither database."""
    return StoreError(f"{named(url)}: wanted sqlite:///path or postgresql://...; correct {URL_VARIABLE}")


@dataclass(frozen=True, slots=True)
class Event:
    """Something a user did. event_id makes it idempotent; user_id or anonymous_id says who; `received` is our clock.

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
        """The event_id in the table; no name of a key holds a slash."""
        return self.event_id if self.key is None else f"{self.key}/{self.event_id}"


class PersonEvent(NamedTuple):
    """An event and whose it is: person is "u:" and a user_id, or `GUEST_PERSON` and an anonymous_id."""

    event_id: str
    person: str
    item_id: str
    event: str
    timestamp: float
    received: float


@dataclass(frozen=True, slots=True)
class Rejected:
    """An event that was refused: its place in the request, why, and what was sent (anything JSON can hold)."""

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
    """Who was served what, by which variant, with which propensity. One per (request_id, unit).

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
    """What is known of an item besides the bundle. None: not said; an upsert leaves such a field as it was."""

    item_id: str
    title: str | None = None
    text: str | None = None
    categories: tuple[str, ...] | None = None
    price: float | None = None
    available: bool | None = None
    first_seen: float | None = None


class Store(Protocol):
    """All methods raise StoreError, and nothing else, when the store cannot do its part now.

    A write that raises it was not stored; one that raises UnknownOutcomeError may have been. Only a text that no store
    can hold (a NUL, half of a surrogate pair) and an event of nobody raise ValueError.
    """

    remote: bool  # behind a network: a call that is cancelled may hang on

    async def add_events(self, rows: Sequence[Event | Rejected]) -> list[Outcome]:
        """Keep events, and refused ones in `dead_letters`, all or nothing; returns only when all are durable.

        An event_id that was there before is a duplicate if the content is the same, else OTHER_CONTENT: that event is
        kept in `dead_letters` too. A time that was the moment of arrival, in either, is no other content. An event of a
        forgotten user that happened before the forgetting is dropped and counts as a duplicate.
        """
        ...

    async def history(self, user_id: str | None, anonymous_id: str | None, limit: int) -> tuple[int, list[Event]]:
        """The newest `limit` events, oldest first, and a version that is another one whenever they are others.

        Follows merges. With a user_id the anonymous_id plays no part. Version 0: no event. One indexed look-up.
        """
        ...

    async def seen(self, user_id: str | None, anonymous_id: str | None) -> dict[str, bool]:
        """item_id -> whether it was disliked, of all items of all events, `MAX_SEEN` at most. Follows merges."""
        ...

    async def add_exposures(self, batch: Sequence[Exposure]) -> None:
        """Durable. One that is already there, or that a forgotten user was shown before, is left out."""
        ...

    async def upsert_items(self, items: Sequence[Item]) -> None:
        """Add items or change the fields that are not None; durable."""
        ...

    async def items_since(self, version: int) -> tuple[int, list[Item]]:
        """Items that were changed after `version` (0: all), each as it is now, and the version to ask with next."""
        ...

    async def newest(self, since: float, before: tuple[float, str], limit: int) -> list[PersonEvent]:
        """The newest `limit` events, newest first, that were received after `since` and stand before `before`, which
        is (received, event_id) of the last one of the page before.
        """
        ...

    async def merge(self, anonymous_id: str, user_id: str, sent_by: str | None = None) -> int:
        """A guest turned out to be this user: from now on their events are one history. Returns events moved.

        Where that makes the guest another user's than before, `merges` keeps whose it was and sent_by, the API key.
        """
        ...

    async def unmerge(self, anonymous_id: str) -> int | None:
        """Undo the last merge of a guest: what it did alone is again whose it was. Returns events moved; None: no
        merge is known.
        """
        ...

    async def forget(self, user_id: str) -> dict[str, int]:
        """Delete events, exposures, dead letters and identities of this user or guest; returns rows deleted per table.

        Of a guest who became a user, what the guest did alone. What others did on the same device stays. Keeps only
        salted hashes, of the user_id and of the anonymous ids that were merged into it.
        """
        ...

    async def forgotten(self, since: int = 0) -> tuple[int, frozenset[str]]:
        """Fingerprints of the users forgotten after version `since`, and the version to ask with next."""
        ...

    def fingerprint(self, user_id: str) -> str:
        """The salted hash to look for in `forgotten()`."""
        ...

    async def ping(self) -> None:
        """Read something; StoreError says why that is not possible."""
        ...

    async def close(self) -> None:
        """Finish what was begun, then close. No other call may follow."""
        ...
