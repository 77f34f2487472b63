"""What the engine hands to the service."""

from pydantic import BaseModel

from serving.api.schemas import Item, Meta


class Draft(BaseModel):
    """An answer before it belongs to one request: without its id, experiment and cursor. A cache may keep it.

    `serving/service/finish.py` makes the answer of it; nobody changes it.
    """

    items: list[Item]
    meta: Meta
    warnings: list[str]
