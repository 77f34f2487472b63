"""What users did: each event is checked by itself, kept before it is acknowledged, and counted once."""

import time
from collections.abc import Mapping
from typing import Annotated, Any
from uuid import uuid4

from pydantic import BaseModel, Discriminator, Field, Tag, ValidationError, model_validator

from serving.api.errors import problem
from serving.api.fields import Identifier, RequestModel, Timestamp
from serving.stores.protocol import Event, Rejected, Store

MAX_EVENTS = 1000


class PostedEvent(RequestModel):
    """Something that a user or a visitor did."""

    event_id: Annotated[
        Identifier | None, Field(description="the same id counts once, however often it is sent; absent: each counts")
    ] = None
    user_id: Annotated[Identifier | None, Field(description="this or anonymous_id says who it was")] = None
    anonymous_id: Annotated[Identifier | None, Field(description="a visitor's id, such as that of a cookie")] = None
    item_id: Identifier
    event: Annotated[
        str, Field(max_length=64, description="view, click, cart, purchase, dislike, or one of the data set")
    ]
    value: Annotated[float | None, Field(allow_inf_nan=False, description="such as a price or a rating")] = None
    timestamp: Annotated[
        Timestamp | None, Field(description="ISO 8601 with a zone; absent or in the future: the moment of arrival")
    ] = None
    request_id: Annotated[Identifier | None, Field(description="of the answer that this event follows from")] = None

    @model_validator(mode="after")
    def _somebody(self) -> "PostedEvent":
        if self.user_id is None and self.anonymous_id is None:
            raise ValueError("user_id or anonymous_id is wanted")
        return self


class RejectedEvent(BaseModel):
    """An event that was not accepted."""

    index: Annotated[int, Field(description="its place in the request, from 0")]
    reason: str


class EventsAnswer(BaseModel):
    """What became of the events; accepted ones are durable."""

    accepted: Annotated[int, Field(description="events that are kept")]
    duplicates: Annotated[int, Field(description="events whose event_id was there before")]
    rejected: list[RejectedEvent]


def _one_or_many(body: Any) -> str:
    return "many" if isinstance(body, list) else "one"


# what is no event stays as it came: it is refused by itself, with the reason
_Wide = Field(union_mode="left_to_right")
One = Annotated[PostedEvent | dict[str, Any], _Wide]
Many = Annotated[list[Annotated[PostedEvent | Any, _Wide]], Field(max_length=MAX_EVENTS)]
OneOrMany = Annotated[Annotated[One, Tag("one")] | Annotated[Many, Tag("many")], Discriminator(_one_or_many)]


async def accept(store: Store, posted: list[Any], weights: Mapping[str, float]) -> EventsAnswer:
    """Keep the good events, and the bad ones with the reason; one bad event does not stop the others.

    posted: each a PostedEvent, or whatever else was sent.

    Raises:
        StoreError: nothing of this request is acknowledged.
    """
    good, bad = check(posted, weights, time.time())
    if bad:  # first: if this fails, nothing was accepted yet that the client would send once more
        await store.reject(bad)
    new = await store.add_events(good) if good else []
    rejected = [RejectedEvent(index=row.index, reason=row.reason) for row in bad]
    return EventsAnswer(accepted=sum(new), duplicates=len(new) - sum(new), rejected=rejected)


def check(posted: list[Any], weights: Mapping[str, float], now: float) -> tuple[list[Event], list[Rejected]]:
    """Which events can be kept, as of the moment `now`, and which cannot."""
    good, bad = [], []
    for index, event in enumerate(posted):
        if not isinstance(event, PostedEvent):
            bad.append(Rejected(index, _why(event), event, now))
        elif event.event not in weights:
            reason = f"event: {event.event!r:.80} is not one of: {', '.join(weights)}"
            bad.append(Rejected(index, reason, event.model_dump(mode="json", exclude_none=True), now))
        else:
            good.append(_kept(event, now))
    return good, bad


def _why(body: Any) -> str:
    try:
        PostedEvent.model_validate(body)
    except ValidationError as error:
        return problem(error.errors(include_url=False)[0], 0)[1]
    raise AssertionError("what is an event was read as one")


def _kept(event: PostedEvent, now: float) -> Event:
    return Event(
        event_id=event.event_id or uuid4().hex,
        user_id=event.user_id,
        anonymous_id=event.anonymous_id,
        item_id=event.item_id,
        event=event.event,
        value=event.value,
        timestamp=now if event.timestamp is None else min(event.timestamp.timestamp(), now),
        request_id=event.request_id,
        received=now,
    )
