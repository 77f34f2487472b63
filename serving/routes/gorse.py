"""The routes under /api that gorse's Python client calls, if RECSYS_GORSE is true. docs/clients.md lists what differs.

Each translates gorse's names of fields and calls what a route under /v1 calls, so limits and errors are the same.
"""

import json
from datetime import datetime
from hashlib import sha256
from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Header, Path, Query, Request
from pydantic import ConfigDict, Field, field_validator, model_validator

from serving.api import events, items
from serving.api.errors import ApiError
from serving.api.fields import Identifier, K, Name, RequestModel, StoredId, UserId
from serving.api.schemas import RecommendRequest
from serving.routes import id_of, key_of, only_its_parameters, service_of, work_of
from serving.service import costs

router = APIRouter(prefix="/api", include_in_schema=False)
Rows = dict[str, int]

NAMES = {
    "item_id": "ItemId", "title": "Comment", "categories": "Categories", "available": "IsHidden",
    "first_seen": "Timestamp", "attributes": "Labels",
    "user_id": "UserId", "event": "FeedbackType", "value": "Value", "timestamp": "Timestamp",
}  # fmt: skip


class Translated(RequestModel):
    """A request body with gorse's names of fields; null and empty fields count as absent."""

    model_config = ConfigDict(alias_generator=lambda name: NAMES.get(name, name))

    @model_validator(mode="before")
    @classmethod
    def _given(cls, body: Any) -> Any:
        empty: tuple[Any, ...] = (None, "", [], {})
        return {name: value for name, value in body.items() if value not in empty} if isinstance(body, dict) else body

    @field_validator("timestamp", "first_seen", mode="before", check_fields=False)
    @classmethod
    def _in_utc(cls, value: Any) -> Any:
        try:
            found = datetime.fromisoformat(value)
        except (TypeError, ValueError):
            return value
        return value if found.tzinfo else found.isoformat() + "Z"  # gorse takes it as UTC


class User(Translated):
    """A user. Nothing is stored of it: a user is known from the first event on."""

    user_id: UserId


class Item(Translated, items.PostedItem):
    """A change of an item. Absent fields stay as they are."""

    item_id: Identifier = "-"  # the path has the id

    @field_validator("attributes", mode="before")
    @classmethod
    def _labels(cls, value: Any) -> Any:
        return {"labels": value} if isinstance(value, list) else value

    @field_validator("available", mode="before")
    @classmethod
    def _shown(cls, value: Any) -> Any:
        return not value if isinstance(value, bool) else value


class NewItem(Item):
    """A new or changed item, with its id."""

    item_id: Identifier


class Feedback(Translated, events.PostedEvent):
    """An event of a user. If it is sent again with the same timestamp, it is stored once."""

    user_id: UserId

    def named(self) -> events.PostedEvent:
        """Return the event with an id, a hash of its content, if it has a timestamp; a value of 0, which gorse's client
        sends by default, becomes none."""
        changed: dict[str, Any] = {"value": self.value or None}
        if self.event_id is None and self.timestamp is not None:
            content = json.dumps([self.event, self.user_id, self.item_id, self.timestamp.timestamp()])
            changed["event_id"] = f"gorse-{sha256(content.encode()).hexdigest()[:32]}"
        return self.model_copy(update=changed)


@router.post("/user")
async def insert_user(user: User) -> Rows:
    """Check a user. Nothing is stored, so a field other than the id is refused."""
    return {"RowAffected": 0}


@router.post("/users")
async def insert_users(users: list[User]) -> Rows:
    """Check users, see `insert_user`."""
    return {"RowAffected": 0}


@router.delete("/user/{user_id:text}")
async def delete_user(user_id: Annotated[StoredId, Path()], request: Request) -> Rows:
    """Forget a user."""
    forgotten = await service_of(request).forget(user_id, key_of(request))
    return {"RowAffected": sum(forgotten.deleted.values())}


@router.post("/item")
async def insert_item(item: NewItem, request: Request) -> Rows:
    """Add or change an item."""
    return await _store(item, request)


@router.patch("/item/{item_id:text}")
async def update_item(item_id: Annotated[Identifier, Path()], change: Item, request: Request) -> Rows:
    """Change fields of an item."""
    return await _store(change.model_copy(update={"item_id": item_id}), request)


@router.delete("/item/{item_id:text}")
async def delete_item(item_id: Annotated[Identifier, Path()], request: Request) -> Rows:
    """Mark an item as out of stock, so that no list has it."""
    return await _store(items.PostedItem(item_id=item_id, available=False), request)


async def _store(item: items.PostedItem, request: Request) -> Rows:
    service = service_of(request)
    stored = await items.upsert(service.store(), [item], key_of(request), service.vector_length())
    return {"RowAffected": stored.upserted}


@router.post("/feedback")
async def insert_feedback(
    posted: Annotated[list[Feedback], Body(min_length=1, max_length=events.MAX_EVENTS)], request: Request
) -> Rows:
    """Store events. If one is invalid, none is stored."""
    service, weights = service_of(request), service_of(request).engine().event_weights
    work_of(request).charge(costs.of_rows(len(posted)))
    for place, each in enumerate(posted):
        if each.event not in weights:
            field = f"{place}.FeedbackType"
            raise ApiError(422, f"{field}: {each.event!r:.80} is not one of: {', '.join(weights)}", field)
    answer = await service.take_events([each.named() for each in posted], key_of(request))
    return {"RowAffected": answer.accepted}


@router.get("/recommend/{user_id:text}/{category:text}", dependencies=[Depends(only_its_parameters)])
async def recommend(
    user_id: Annotated[UserId, Path()],
    category: Annotated[Annotated[str, Field(max_length=0)] | Name, Path()],
    request: Request,
    n: Annotated[K, Query()] = 10,
    offset: Annotated[int, Query(ge=0, le=0)] = 0,  # a second page that nobody was shown would be logged
    x_api_version: Annotated[str, Header()] = "1",
) -> list[Any]:
    """Return items for a user, best first: their ids, or objects with Id and Score in version 2 of gorse's API."""
    chosen = f"category = {json.dumps(category, ensure_ascii=False)}" if category else None
    asked = RecommendRequest(user_id=user_id, k=n, filter=chosen)
    answer = await service_of(request).recommend(asked, id_of(request), work_of(request))
    scored = [{"Id": item.item_id, "Score": item.score} for item in answer.items]
    return scored if x_api_version == "2" else [each["Id"] for each in scored]
