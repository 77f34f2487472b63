"""The engine's result, from which the service makes an answer."""

from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import Field, SkipValidation

from recsys.recommend.trace import Step
from serving.api.schemas import Item, Meta


@dataclass(slots=True, kw_only=True)
class Draft:
    """An answer without the parts that belong to one request (id, experiment, cursor), so that it can be cached.
    `serving/service/finish.py` adds these. inputs: time of the answer, and the versions of items, stock and live counts
    that it was computed from, for a replay. steps: the trace; empty if the draft comes from the cache."""

    items: list[Item]
    meta: Meta
    warnings: list[str]
    inputs: dict[str, Any] = field(default_factory=dict)
    steps: Annotated[SkipValidation[tuple[Step, ...]], Field(exclude=True)] = ()
