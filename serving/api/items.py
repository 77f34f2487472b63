"""Accepts changes of items between two trainings: stock, prices, and new items."""

from typing import Annotated, Any

from pydantic import BaseModel, Discriminator, Field, Tag

from recsys.schemas.field_limits import MAX_CATEGORIES, MAX_NUMBER, packed_attributes
from serving.api.fields import Attributes, Identifier, Name, RequestModel, Text, Timestamp, Title
from serving.stores.protocol import Item
from serving.stores.store import Store

MAX_ITEMS = 1000


class PostedItem(RequestModel):
    """An item; absent or null fields stay as they are."""

    item_id: Identifier
    title: Annotated[Title | None, Field(description="one line; absent for a new item: its id")] = None
    text: Annotated[
        Text | None, Field(description="a new item is placed among the others by title, text and categories")
    ] = None
    categories: Annotated[list[Name] | None, Field(max_length=MAX_CATEGORIES, description="the most general first")] = (
        None
    )
    price: Annotated[float | None, Field(ge=0, le=MAX_NUMBER, allow_inf_nan=False)] = None
    available: Annotated[
        bool | None, Field(description="false: out of stock, not shown; absent for a new item: true")
    ] = None
    first_seen: Annotated[
        Timestamp | None, Field(description="since when it is sold, ISO 8601 with a zone, from 1990 to 2099")
    ] = None
    attributes: Annotated[
        Attributes | None, Field(description="for answers and filters; replaces all of the item's")
    ] = None


class ItemsAnswer(BaseModel):
    """How many items were stored; they are durable."""

    upserted: int


def _one_or_many(body: Any) -> str:
    return "many" if isinstance(body, list) else "one"


Many = Annotated[list[PostedItem], Field(min_length=1, max_length=MAX_ITEMS)]
OneOrMany = Annotated[Annotated[PostedItem, Tag("one")] | Annotated[Many, Tag("many")], Discriminator(_one_or_many)]


async def upsert(store: Store, posted: list[PostedItem], key: str | None) -> ItemsAnswer:
    """Store the items; every worker serves them within a second, see `serving/live/store_watcher.py`.

    Raises:
        StoreError: nothing of this request is acknowledged.
    """
    await store.upsert_items([_kept(item) for item in posted], key)
    return ItemsAnswer(upserted=len(posted))


def _kept(item: PostedItem) -> Item:
    return Item(
        item_id=item.item_id,
        title=item.title,
        text=item.text,
        categories=None if item.categories is None else tuple(item.categories),
        price=item.price,
        available=item.available,
        first_seen=item.first_seen.timestamp() if item.first_seen else None,
        attributes=None if item.attributes is None else packed_attributes(item.attributes) or "{}",
    )
