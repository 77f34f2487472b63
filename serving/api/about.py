"""Responses of the probes and of `GET /v1/about`."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field


class Health(BaseModel):
    """The process is alive."""

    status: Literal["alive"] = "alive"


class Ready(BaseModel):
    """A bundle is loaded and the store was reached."""

    status: Literal["ready"] = "ready"
    bundle_id: str
    store: Annotated[Literal["reached", "out of reach"], Field(description="whether the store answers now")]
    refused: Annotated[
        str | None, Field(description="set if another bundle than the current release is served; the log says why")
    ]
    last_known: Annotated[
        list[str],
        Field(
            description="parts that cannot be read now and are served from this host's copy: release, rules, "
            "experiments, store, channel"
        ),
    ] = []


class VariantAbout(BaseModel):
    """A variant of the bundle: a mix of candidate sources, which a request can select by its name."""

    sources: Annotated[dict[str, float], Field(description="share of a list's items by candidate source")]
    ranker: str | None
    rules: list[str]


class About(BaseModel):
    """The served bundle: variants, models, events and offline metrics."""

    api: Annotated[str, Field(description="version of this software")]
    bundle_id: str
    dataset: str
    trained_until: datetime
    counts: Annotated[dict[str, int], Field(description="items, users and interactions in the bundle")]
    default_variant: str
    variants: dict[str, VariantAbout]
    models: Annotated[dict[str, dict[str, Any]], Field(description="dim, metric, encoder and index of each model")]
    allow_repeat: Annotated[bool, Field(description="true when an item of the history may be recommended again")]
    event_weights: Annotated[
        dict[str, float], Field(description="weight of an event as a like; 0: the item was only seen")
    ]
    metrics: Annotated[dict[str, Any], Field(description="results of the offline evaluation of this bundle")]
