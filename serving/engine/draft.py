"""The engine's result, before the service completes it."""

from pydantic import BaseModel

from serving.api.schemas import Item, Meta


class Draft(BaseModel):
    """An answer without the parts of one request (id, experiment, cursor), so that it can be cached. Read-only.

    `serving/service/finish.py` makes the answer from it.
    """

    items: list[Item]
    meta: Meta
    warnings: list[str]
