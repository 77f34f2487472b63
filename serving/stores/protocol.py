"""The rows of a store and its errors. Times are UTC seconds since 1970; ids are external strings.

A *guest* has only an anonymous_id; a merge assigns it to a user. After `merge("cookie-1", "anna")` everything of the
guest `cookie-1`, before and after, belongs to the user `anna`.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, NamedTuple

from msgspec import Struct

from recsys.errors import RecsysError
from recsys.schemas.store_schema import URL_VARIABLE, named

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
    return StoreError(f"{named(url)}: expected sqlite:///path or postgresql://...; correct {URL_VARIABLE}")


class Event(Struct, frozen=True):
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


class Rejected(Struct, frozen=True):
    """A refused event: its position in the request, the reason, and its body (any JSON)."""

    index: int
    reason: str
    body: Any
    received: float


class Exposed(Struct, frozen=True):
    """One item of an exposure. position counts from 1; propensity: chance that this item was shown here, or None.

    confidence: calibrated probability that it is chosen, or None; boost: factor of the business rules in the order.
    """

    item_id: str
    position: int
    score: float
    source: str
    propensity: float | None = None
    confidence: float | None = None
    boost: float = 1.0


class Exposure(Struct, frozen=True):
    """An answer that was served: user, items, variant and propensities. One per (request_id, unit).

    unit: the id that the experiment assigned; propensity: its chance of this variant; context: anything that JSON can
    hold; replay: the request and the versions of all inputs of the answer, see `serving/recorder/`.
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
    context: Mapping[str, Any] = {}
    replay: Mapping[str, Any] | None = None


class Item(Struct, frozen=True):
    """The fields of an item that the shop put. None: not given; an upsert leaves such a field as it is."""

    item_id: str
    title: str | None = None
    text: str | None = None
    categories: tuple[str, ...] | None = None
    price: float | None = None
    available: bool | None = None
    first_seen: float | None = None
