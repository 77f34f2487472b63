"""Operations on persons, with their requests and responses: merge a visitor into a user, undo a merge, forget, export,
audit."""

from typing import Annotated, Any

from pydantic import BaseModel, Field

from recsys.bundle.bundle import Bundle
from recsys.contracts import EMPTY_HISTORY
from serving.api.errors import ApiError
from serving.api.fields import GuestId, RequestModel, StoredId, UserId
from serving.stores import admin
from serving.stores.store import Store


class MergeRequest(RequestModel):
    """A visitor and the user that it turned out to be, as after a login."""

    anonymous_id: GuestId
    user_id: UserId


class UnmergeRequest(RequestModel):
    """A visitor whose last merge is to be undone."""

    anonymous_id: StoredId


class Merged(BaseModel):
    """The result of a merge, or of undoing one."""

    events: Annotated[int, Field(description="number of the visitor's events that belong to another person now")]


class Forgotten(BaseModel):
    """The number of deleted rows per table."""

    deleted: Annotated[dict[str, int], Field(description="number of deleted rows by table of the store")]


class BundleEvent(BaseModel):
    """An event of the user's history in the bundle."""

    item_id: str
    weight: float
    timestamp: Annotated[float, Field(description="UTC seconds since 1970")]


class Exported(BaseModel):
    """All data that is stored about a user or visitor."""

    user_id: str
    store: Annotated[dict[str, list[dict[str, Any]]], Field(description="rows by table; the columns: docs/stores.md")]
    bundle: Annotated[list[BundleEvent], Field(description="the history in the served bundle, oldest first")]
    attributes: dict[str, Any] = Field(default_factory=dict, description="of the user, in the served bundle")


class AuditLine(BaseModel):
    """One action of an administrator."""

    audit_id: str
    at: Annotated[float, Field(description="UTC seconds since 1970")]
    key: Annotated[str | None, Field(description="name of the API key; null where no keys are configured")]
    action: Annotated[str, Field(description="put item, unmerge, forget, export, look, or a change of releases")]
    what: Annotated[str | None, Field(description="the item_id, bundle_id, or salted hash of a user or visitor")]
    before: Annotated[Any, Field(description="the state before, such as the item's fields, or what was deleted")]
    after: Any


async def merge(store: Store, request: MergeRequest, key: str | None) -> Merged:
    """Make all events of the visitor, earlier and later ones, the user's."""
    return Merged(events=await store.merge(request.anonymous_id, request.user_id, key))


async def unmerge(store: Store, request: UnmergeRequest, key: str | None) -> Merged:
    """Undo the last merge of a visitor.

    Raises:
        ApiError: 404 "anonymous_id: this visitor was not merged into a user"
    """
    moved = await store.unmerge(request.anonymous_id, key)
    if moved is None:
        raise ApiError(404, "anonymous_id: this visitor was not merged into a user", "anonymous_id")
    return Merged(events=moved)


async def export(store: Store, bundle: Bundle, user_id: str, forgotten: bool, key: str | None) -> Exported:
    """Return the store's rows about a user or visitor, and, unless forgotten, the history in the bundle."""
    rows = await admin.export(store, user_id, key)
    known = EMPTY_HISTORY if forgotten else bundle.histories.of(user_id)
    events = zip(known.rows.tolist(), known.weights.tolist(), known.times.tolist(), strict=True)
    history = [
        BundleEvent(item_id=bundle.catalogue.ids.external_id(row), weight=weight, timestamp=at)
        for row, weight, at in events
    ]
    attributes = {} if forgotten else bundle.histories.attributes(user_id)
    return Exported(user_id=user_id, store=rows, bundle=history, attributes=attributes)


async def audit(store: Store, limit: int) -> list[AuditLine]:
    """Return the newest actions of administrators, newest first."""
    return [AuditLine.model_validate(row) for row in await admin.log(store, limit)]
