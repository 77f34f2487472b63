"""Who is who, and who wants to be forgotten."""

from typing import Annotated

from pydantic import BaseModel, Field

from serving.api.fields import GuestId, Identifier, RequestModel, StoredId


class MergeRequest(RequestModel):
    """A visitor turned out to be a user."""

    anonymous_id: GuestId
    user_id: Identifier


class UnmergeRequest(RequestModel):
    """The last merge of this visitor was wrong."""

    anonymous_id: StoredId


class Merged(BaseModel):
    """What came of it."""

    events: Annotated[int, Field(description="events of the visitor that are somebody else's now")]


class Forgotten(BaseModel):
    """What was deleted."""

    deleted: Annotated[dict[str, int], Field(description="rows by table of the store")]
