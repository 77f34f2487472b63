"""Requests that merge a visitor with a user, undo a merge, or forget somebody."""

from typing import Annotated

from pydantic import BaseModel, Field

from serving.api.fields import GuestId, Identifier, RequestModel, StoredId


class MergeRequest(RequestModel):
    """A visitor who turned out to be a user, as after a login."""

    anonymous_id: GuestId
    user_id: Identifier


class UnmergeRequest(RequestModel):
    """A visitor whose last merge was wrong."""

    anonymous_id: StoredId


class Merged(BaseModel):
    """The result of a merge."""

    events: Annotated[int, Field(description="events of the visitor that are somebody else's now")]


class Forgotten(BaseModel):
    """What was deleted."""

    deleted: Annotated[dict[str, int], Field(description="rows by table of the store")]
