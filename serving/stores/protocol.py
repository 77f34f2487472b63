"""The rows of a store and its errors. Times are UTC seconds since 1970; ids are external strings.

A *visitor* (in the code also guest) has only an anonymous_id; a merge assigns it to a user. After `merge("cookie-1",
"anna")` everything of the visitor `cookie-1`, before and after, belongs to the user `anna`.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, NamedTuple

from msgspec import Struct

from recsys.errors import RecsysError
from recsys.schemas.store_schema import URL_VARIABLE, named

WRITE_S = 5.0  # a write that has not begun within this time is cancelled; one that has begun gets it again
FORGET_S = 60.0  # longer, because an administrator waits for the result
MAX_SEEN = 20_000


class StoreError(RecsysError):
    """The store cannot be read or written now. Nothing of this call was stored; a later call may succeed."""


class UnknownOutcomeError(StoreError):
    """The store stopped answering during a write, so it is unknown whether this call was stored."""


class BusyError(StoreError):
    """A read took too long, but this process was too busy to notice in time: perhaps the store had answered. So it says
    nothing about the store."""


class Outcome(StrEnum):
    """The result of storing one event."""

    NEW = "new"
    DUPLICATE = "duplicate"
    OTHER_CONTENT = "other content"
    REJECTED = "rejected"


def no_store(url: str) -> StoreError:
    """Return the error for a URL of neither SQLite nor PostgreSQL."""
    return StoreError(f"{named(url)}: expected sqlite:///path or postgresql://...; correct {URL_VARIABLE}")


class Event(Struct, frozen=True):
    """An action of a user or visitor. An event_id is stored once for each API key. timestamp: when it happened;
    received: when the server received it, both in whole microseconds; key: name of the API key that sent it, None
    without keys."""

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
        """The id in the table: event_id, after the name of its API key (if any) and a slash; no name has a slash."""
        return self.event_id if self.key is None else f"{self.key}/{self.event_id}"


class PersonEvent(NamedTuple):
    """An event with its owner. person: "u:" and a user_id, or "a:" and the anonymous_id of a visitor."""

    event_id: str
    person: str
    item_id: str
    event: str
    timestamp: float
    received: float


class Rejected(Struct, frozen=True):
    """A refused event: its position in the request (from 0), the reason, and its body (any JSON value)."""

    index: int
    reason: str
    body: Any
    received: float


class Exposed(Struct, frozen=True, gc=False):
    """One item of an exposure. position: from 1; propensity: probability that this item is at this position.
    confidence: calibrated probability that the user chooses it; boost: factor by which the business rules changed the
    score for ranking. propensity is None if no choice was random; confidence is None without a calibration."""

    item_id: str
    position: int
    score: float
    source: str
    propensity: float | None = None
    confidence: float | None = None
    boost: float = 1.0


class Exposure(Struct, frozen=True):
    """An answer that was served: user, items, variant and propensities. One per (request_id, unit). unit: the id that
    the experiment assigned to an arm; propensity: probability of this variant for the unit; context: any JSON; replay:
    the request and the versions of all inputs of the answer, see `serving/recorder/`."""

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
    context: Mapping[str, Any] = {}
    replay: Mapping[str, Any] | None = None


class Item(Struct, frozen=True):
    """An item as the shop sent it. An upsert leaves fields that are None unchanged. attributes: JSON by
    `packed_attributes`; an upsert replaces all of it. vector: bytes by `packed_vector`."""

    item_id: str
    title: str | None = None
    text: str | None = None
    categories: tuple[str, ...] | None = None
    price: float | None = None
    available: bool | None = None
    first_seen: float | None = None
    attributes: str | None = None
    vector: bytes | None = None
