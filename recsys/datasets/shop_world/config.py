"""How large the shop is and how fast it changes: the section `datasets.synthetic.adapter` of `params.yaml`."""

from pydantic import BaseModel, ConfigDict, Field


class Config(BaseModel):
    """Size and pace of the shop.

    events: rows of the raw interactions, dirty ones included, exactly. users, items: how many there are in the end.
    days: length of the log. new_user_share, new_item_share: the part that arrives after the first day, evenly spread.
    dirt_share: the part of the raw rows, of interactions and of items alike, that a real log would have wrong.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    events: int = Field(ge=100, le=100_000_000)
    users: int = Field(ge=10)
    items: int = Field(ge=10)
    days: int = Field(ge=7, le=3650)
    new_user_share: float = Field(ge=0, le=0.9)
    new_item_share: float = Field(ge=0, le=0.9)
    dirt_share: float = Field(ge=0, le=0.2)
