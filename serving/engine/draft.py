"""The engine's result, before the service completes it."""

from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import Field, SkipValidation

from recsys.recommend.trace import Step
from serving.api.schemas import Item, Meta


@dataclass(slots=True, kw_only=True)
class Draft:
    """An answer without the parts of one request (id, experiment, cursor), so that it can be cached.

    `serving/service/finish.py` completes its `meta`, and makes the answer from it. inputs: when it was made, and the
    versions of what it was made from besides the bundle and the rules, for a replay. steps: the trace, not in an answer
    from the cache.
    """

    items: list[Item]
    meta: Meta
    warnings: list[str]
    inputs: dict[str, Any] = field(default_factory=dict)
    steps: Annotated[SkipValidation[tuple[Step, ...]], Field(exclude=True)] = ()
