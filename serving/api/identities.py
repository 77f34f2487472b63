"""Requests and responses about persons: merge a visitor into a user, undo a merge, forget, export, audit."""

from typing import Annotated, Any

from pydantic import BaseModel, Field

from serving.api.fields import GuestId, RequestModel, StoredId, UserId


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
    before: Annotated[Any, Field(description="the state before, such as the item's fields,or what was deleted")]
    after: Any
