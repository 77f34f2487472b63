"""Accepts events: each is validated by itself, stored before the response is sent, and counted once."""

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
from serving.api.fields import GuestId, Identifier, Label, Number, RequestModel, Timestamp, UserId
from serving.stores.protocol import Event, Outcome, Rejected
from serving.stores.store import Store
from serving.stores.writes import ID_TAKEN

MAX_EVENTS = 1000


class PostedEvent(RequestModel):
    """An action of a user or visitor, such as a view or a purchase."""

    event_id: Annotated[
        Identifier | None, Field(description="an event with the same id is stored once; without it, every time")
    ] = None
    user_id: Annotated[UserId | None, Field(description="who acted; this or anonymous_id is required")] = None
    anonymous_id: Annotated[GuestId | None, Field(description="a visitor's id, such as that of a cookie")] = None
    item_id: Identifier
    event: Annotated[
        Label, Field(description="view, click, cart, purchase, dislike, return, or another event of the data set")
    ]
    value: Annotated[
        Number | None, Field(description="such as a price or a rating; for a return the refund, as a positive number")
    ] = None
    timestamp: Annotated[
        Timestamp | None,
        Field(description="ISO 8601 with a time zone, 1990 to 2099; absent or in the future: the time of arrival"),
    ] = None
    request_id: Annotated[Identifier | None, Field(description="request_id of the answer that led to this event")] = (
        None
    )

    @field_validator("value", mode="after")
    @classmethod
    def _not_negative(cls, value: float | None, info: ValidationInfo) -> float | None:
        event = info.data.get("event")
        if value is not None and value < 0 and event in (PURCHASE, RETURN):
            raise ValueError(f"the value of a {event} is below zero; send a refund as {RETURN!r} with a positive value")
        return value

    @model_validator(mode="after")
    def _has_person(self) -> "PostedEvent":
        if self.user_id is None and self.anonymous_id is None:
            raise ValueError("user_id or anonymous_id is required")
        return self


class RejectedEvent(BaseModel):
    """An event that was not accepted."""

    index: Annotated[int, Field(description="position of the event in the request, from 0")]
    reason: str


class EventsAnswer(BaseModel):
    """How many events were accepted, and which were refused; accepted ones are durable."""

    accepted: Annotated[int, Field(description="number of new events that were stored")]
    duplicates: Annotated[int, Field(description="number of events that were stored before")]
    rejected: list[RejectedEvent]
    unknown_items: Annotated[
        list[str],
        Field(description="ids of accepted events' items that the API does not know; absent if there are none"),
    ] = []


# An invalid event is kept as it was sent, to be refused alone with a reason. A JSON object counts as an invalid event,
# not as a mistaken request, if it has a field of an event and no object or list in it.
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
    """Several events in the field `events` of an object, as some clients send them."""

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
    """Return the posted events as a list, whether the body is one event, a list or an `Envelope`.

    Raises:
        ApiError: 422 "the body: no event in it; item_id: Field required": no element looks like an event
    """
    found: list[Any] = body.events if isinstance(body, Envelope) else body if isinstance(body, list) else [body]
    if not any(isinstance(each, PostedEvent) or _looks_like_an_event(each) for each in found):
        raise ApiError(422, f"the body: no event in it; {_why(found[0])}")
    return found


def _looks_like_an_event(body: Any) -> bool:
    """Return whether a JSON value is an object that has a field of an event, and no object or list in it."""
    return (
        isinstance(body, dict)
        and not body.keys().isdisjoint(PostedEvent.model_fields)
        and not any(isinstance(value, dict | list) for value in body.values())
    )


async def accept(
    store: Store, posted: list[Any], weights: Mapping[str, float], knows: Callable[[str], bool], key: str | None
) -> tuple[EventsAnswer, list[Event]]:
    """Store the valid events, and the refused ones with the reason. Return the response, and the new events.

    posted: PostedEvents, or other JSON values, which are refused. weights: event type -> weight; other types are
    refused. knows: returns whether the catalogue or the store has an item. key: name of the API key, None without keys.

    Raises:
        StoreError: nothing of this request was stored.
        UnknownOutcomeError: all of it was stored, or nothing.
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
    """Return a row for the store for each posted event, valid or refused. now: microseconds since 1970. `received` of
    each event is a microsecond later than that of the one before, so that they keep their order."""
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
    raise AssertionError("a valid event was not parsed as a PostedEvent")


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
