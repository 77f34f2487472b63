"""Accepts changes of items since the bundle was trained: stock, prices, and new items."""

from typing import Annotated, Any

from pydantic import BaseModel, Discriminator, Field, Tag

from recsys.schemas.field_limits import MAX_CATEGORIES, MAX_NUMBER, packed_attributes, packed_vector
from serving.api.errors import ApiError
from serving.api.fields import Attributes, Identifier, Name, RequestModel, Text, Timestamp, Title, Vector
from serving.stores.protocol import Item
from serving.stores.store import Store

MAX_ITEMS = 1000


class PostedItem(RequestModel):
    """An item; absent or null fields stay as they are."""

    item_id: Identifier
    title: Annotated[Title | None, Field(description="one line; a new item without a title gets its id")] = None
    text: Annotated[
        Text | None, Field(description="with title and categories it decides to which items a new item is similar")
    ] = None
    categories: Annotated[list[Name] | None, Field(max_length=MAX_CATEGORIES, description="the most general first")] = (
        None
    )
    price: Annotated[float | None, Field(ge=0, le=MAX_NUMBER, allow_inf_nan=False)] = None
    available: Annotated[
        bool | None, Field(description="false: out of stock, so it is not shown; a new item is available by default")
    ] = None
    first_seen: Annotated[
        Timestamp | None, Field(description="start of its sale, ISO 8601 with a time zone, 1990 to 2099")
    ] = None
    attributes: Annotated[
        Attributes | None, Field(description="attributes for answers and filters, which replace the earlier ones")
    ] = None
    vector: Annotated[
        Vector | None,
        Field(description="an embedding of your own; as long as those of the items that the bundle was trained on"),
    ] = None


class ItemsAnswer(BaseModel):
    """The number of items that were stored durably."""

    upserted: int


def _one_or_many(body: Any) -> str:
    return "many" if isinstance(body, list) else "one"


Many = Annotated[list[PostedItem], Field(min_length=1, max_length=MAX_ITEMS)]
OneOrMany = Annotated[Annotated[PostedItem, Tag("one")] | Annotated[Many, Tag("many")], Discriminator(_one_or_many)]


async def upsert(store: Store, posted: list[PostedItem], key: str | None, length: int = 0) -> ItemsAnswer:
    """Store the items. Within a second every worker serves them, see `serving/live/store_watcher.py`. length: of the
    vectors that the bundle uses; 0 if it uses none, then those of the items are stored for the next training.

    Raises:
        ApiError: 422 "vector: 3 numbers, expected 384, as the items of the bundle bring", nothing was stored.
        StoreError: nothing of this request was stored. UnknownOutcomeError: all of it was stored, or nothing.
    """
    for place, item in enumerate(posted):
        if length and item.vector is not None and len(item.vector) != length:
            field = f"{place}.vector" if len(posted) > 1 else "vector"
            found = f"{len(item.vector)} numbers, expected {length}, as the items of the bundle bring"
            raise ApiError(422, f"{field}: {found}", field)
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
        vector=None if item.vector is None else packed_vector(item.vector),
    )
