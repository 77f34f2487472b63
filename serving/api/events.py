"""Accepts events: each is validated by itself, stored before it is acknowledged, and counted once."""

import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Annotated, Any
from uuid import uuid4

from pydantic import (
    BaseModel,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from recsys.schemas.field_limits import PURCHASE, RETURN
from serving.api.errors import ApiError, problem
from serving.api.fields import GuestId, Identifier, Label, Number, RequestModel, Timestamp
from serving.stores.protocol import Event, Outcome, Rejected
from serving.stores.store import Store
from serving.stores.writes import ID_TAKEN

MAX_EVENTS = 1000


class PostedEvent(RequestModel):
    """An action of a user or visitor, such as a view or a purchase."""

    event_id: Annotated[
        Identifier | None, Field(description="the same id counts once, however often it is sent; absent: each counts")
    ] = None
    user_id: Annotated[Identifier | None, Field(description="this or anonymous_id says who it was")] = None
    anonymous_id: Annotated[GuestId | None, Field(description="a visitor's id, such as that of a cookie")] = None
    item_id: Identifier
    event: Annotated[Label, Field(description="view, click, cart, purchase, dislike, return, or one of the data set")]
    value: Annotated[
        Number | None, Field(description="such as a price or a rating; of a return the amount given back, not negative")
    ] = None
    timestamp: Annotated[
        Timestamp | None,
        Field(description="ISO 8601 with a zone, from 1990 to 2099; absent or in the future: the moment of arrival"),
    ] = None
    request_id: Annotated[Identifier | None, Field(description="of the answer that this event follows from")] = None

    @field_validator("value", mode="after")
    @classmethod
    def _nothing_given_back(cls, value: float | None, info: ValidationInfo) -> float | None:
        event = info.data.get("event")
        if value is not None and value < 0 and event in (PURCHASE, RETURN):
            raise ValueError(f"a {event} below zero; send the event {RETURN!r} with the amount given back, above zero")
        return value

    @model_validator(mode="after")
    def _somebody(self) -> "PostedEvent":
        if self.user_id is None and self.anonymous_id is None:
            raise ValueError("user_id or anonymous_id is required")
        return self


class RejectedEvent(BaseModel):
    """An event that was not accepted."""

    index: Annotated[int, Field(description="its place in the request, from 0")]
    reason: str


class EventsAnswer(BaseModel):
    """How many events were accepted, and which were refused; accepted ones are durable."""

    accepted: Annotated[int, Field(description="events that are kept")]
    duplicates: Annotated[int, Field(description="events whose event_id was there before")]
    rejected: list[RejectedEvent]
    unknown_items: Annotated[
        list[str], Field(description="items of accepted events that nobody has described; absent where there are none")
    ] = []


# What is no event stays as it came: it is refused by itself, with the reason. It looks like one if it has a field of an
# event and, as every event, no object and no list in it.
_LIKE_AN_EVENT = {
    "type": "object",
    "title": "An event that is refused by itself",
    "anyOf": [{"required": [name]} for name in PostedEvent.model_fields],
    "additionalProperties": {"type": ["string", "number", "boolean", "null"]},
}
_Wide = Field(union_mode="left_to_right")
One = Annotated[PostedEvent | Annotated[dict[str, Any], WithJsonSchema(_LIKE_AN_EVENT)], _Wide]
Many = Annotated[
    list[Annotated[PostedEvent | Any, _Wide]],
    Field(min_length=1, max_length=MAX_EVENTS, json_schema_extra={"contains": _LIKE_AN_EVENT}),
]


class Envelope(RequestModel):
    """Several events wrapped in an object, as some clients send them."""

    events: Many


def _shape(body: Any) -> str:
    if isinstance(body, list):
        return "many"
    return "envelope" if isinstance(body, Envelope) or (isinstance(body, dict) and "events" in body) else "one"


Posted = Annotated[
    Annotated[One, Tag("one")] | Annotated[Many, Tag("many")] | Annotated[Envelope, Tag("envelope")],
    Discriminator(_shape),
]


def listed(body: Any) -> list[Any]:
    """Return the posted events as a list, whether one event, a list or an envelope was sent.

    Raises:
        ApiError: 422 "the body: no event in it; item_id: Field required": not one element looks like an event
    """
    found: list[Any] = body.events if isinstance(body, Envelope) else body if isinstance(body, list) else [body]
    if not any(isinstance(each, PostedEvent) or _looks_like_an_event(each) for each in found):
        raise ApiError(422, f"the body: no event in it; {_why(found[0])}")
    return found


def _looks_like_an_event(body: Any) -> bool:
    """Return whether a JSON value is an object with a field of an event and without nested values."""
    return (
        isinstance(body, dict)
        and not body.keys().isdisjoint(PostedEvent.model_fields)
        and not any(isinstance(value, dict | list) for value in body.values())
    )


async def accept(
    store: Store, posted: list[Any], weights: Mapping[str, float], knows: Callable[[str], bool], key: str | None
) -> tuple[EventsAnswer, list[Event]]:
    """Store the valid events, and the refused ones with the reason; one bad event does not stop the others.
    Return the answer, and the events that were new.

    posted: PostedEvents, or other JSON values, which are refused. knows: returns whether the catalogue or the store has
    an item; events on other items are stored too. key: name of the API key that sends them.

    Raises:
        StoreError: nothing of this request was stored.
        UnknownOutcomeError: all or nothing of it was stored.
    """
    rows = check(posted, weights, time.time_ns() // 1000, key)
    outcomes = await store.add_events(rows)
    rejected, items = [], set()
    new = [
        row for row, outcome in zip(rows, outcomes, strict=True) if outcome == Outcome.NEW and isinstance(row, Event)
    ]
    for index, (row, outcome) in enumerate(zip(rows, outcomes, strict=True)):
        if isinstance(row, Rejected):
            rejected.append(RejectedEvent(index=index, reason=row.reason))
        elif outcome == Outcome.OTHER_CONTENT:
            rejected.append(RejectedEvent(index=index, reason=ID_TAKEN))
        elif outcome == Outcome.NEW and not knows(row.item_id):
            items.add(row.item_id)
    counts = Counter(outcomes)
    answer = EventsAnswer(accepted=counts[Outcome.NEW], duplicates=counts[Outcome.DUPLICATE], rejected=rejected)
    if items:
        answer.unknown_items = sorted(items)
    return answer, new


def check(posted: list[Any], weights: Mapping[str, float], now: int, key: str | None = None) -> list[Event | Rejected]:
    """Split the events into valid and refused ones; now: microseconds since 1970.

    Each event is dated a microsecond after the one before it in the request, so that they keep their order.
    """
    rows: list[Event | Rejected] = []
    for index, event in enumerate(posted):
        received = (now + index) / 1e6
        if not isinstance(event, PostedEvent):
            rows.append(Rejected(index, _why(event), event, received))
        elif event.event not in weights:
            reason = f"event: {event.event!r:.80} is not one of: {', '.join(weights)}"
            rows.append(Rejected(index, reason, event.model_dump(mode="json", exclude_none=True), received))
        else:
            rows.append(_kept(event, received, key))
    return rows


def _why(body: Any) -> str:
    try:
        PostedEvent.model_validate(body)
    except ValidationError as error:
        return problem(error.errors(include_url=False)[0], 0)[1]
    raise AssertionError("what is an event was read as one")


def _kept(event: PostedEvent, received: float, key: str | None) -> Event:
    return Event(
        event_id=event.event_id or uuid4().hex,
        user_id=event.user_id,
        anonymous_id=event.anonymous_id,
        item_id=event.item_id,
        event=event.event,
        value=event.value,
        timestamp=received if event.timestamp is None else min(event.timestamp.timestamp(), received),
        request_id=event.request_id,
        received=received,
        key=key,
    )
