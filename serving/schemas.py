"""The API's requests and answers, version 1. Field descriptions and examples are what the page at /docs shows."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field

from serving import examples

MAX_K = 100
MAX_ID_LENGTH = 256
MAX_LIST_LENGTH = 1000

Identifier = Annotated[str, Field(min_length=1, max_length=MAX_ID_LENGTH)]
Variant = Annotated[str, Field(min_length=1, max_length=MAX_ID_LENGTH)]
K = Annotated[int, Field(ge=1, le=MAX_K, description="how many items to answer with")]


def _no_number(value: Any) -> Any:
    # pydantic would take a number, also as text, and guess between seconds and milliseconds
    if isinstance(value, int | float) or (isinstance(value, str) and not value.strip(" +-.0123456789")):
        raise ValueError("wanted text such as 2026-03-01T12:00:00Z")
    return value


Timestamp = Annotated[AwareDatetime, BeforeValidator(_no_number), Field(strict=False)]


class Asked(BaseModel):
    """Base of all requests: unknown fields and values of another type are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class SentEvent(Asked):
    """Something that the client knows its user did."""

    item_id: Identifier
    event: Annotated[
        str | None,
        Field(max_length=64, description="an event of the data set, such as purchase; without it the weight is 1"),
    ] = None
    timestamp: Annotated[
        Timestamp | None, Field(description="ISO 8601 with a zone; without it the event counts as of now")
    ] = None


class RecommendRequest(Asked):
    """Who asks, what the client knows of them, and how many items are wanted."""

    user_id: Annotated[Identifier | None, Field(description="absent for an anonymous visitor")] = None
    history: Annotated[
        list[SentEvent],
        Field(max_length=MAX_LIST_LENGTH, description="oldest first; added to what the bundle knows of the user"),
    ] = []
    k: K = 10
    exclude_ids: Annotated[
        list[Identifier], Field(max_length=MAX_LIST_LENGTH, description="items that may not be in the answer")
    ] = []
    variant: Annotated[Variant | None, Field(description="a variant of the bundle; absent for the default one")] = None


class SimilarRequest(Asked):
    """Which item, and how many like it are wanted."""

    item_id: Identifier
    k: K = 10
    exclude_ids: Annotated[
        list[Identifier], Field(max_length=MAX_LIST_LENGTH, description="items that may not be in the answer")
    ] = []


class Item(BaseModel):
    """One place of the answer."""

    item_id: str
    rank: Annotated[int, Field(description="1 is the best")]
    score: Annotated[float, Field(description="comparable only among items of the same source in this answer")]
    source: Annotated[str, Field(description="the stage that put the item here: a model, `popular`, `static`, ...")]
    fallback: Annotated[bool, Field(description="true when the variant's own sources had no item for this place")]
    title: str
    categories: list[str]


class Meta(BaseModel):
    """How the answer came about."""

    variant: str
    fallback: Annotated[bool, Field(description="true when at least one item came from the fallback")]
    fallback_reason: Annotated[
        str | None,
        Field(
            description="no_history, history_unknown_to_models, item_unknown_to_models, too_few_candidates, part_failed"
        ),
    ]
    degraded: Annotated[bool, Field(description="true when a part failed and the answer was made without it")]
    failed: Annotated[list[str], Field(description="the parts that failed")]
    shortfall: Annotated[str | None, Field(description="why there are fewer than k items; null when there are k")]
    bundle_id: str
    dataset: str
    trained_until: Annotated[datetime, Field(description="the last moment of the data behind this answer")]
    models: Annotated[list[str], Field(description="the models that this answer asked")]
    timings_ms: Annotated[dict[str, float], Field(description="milliseconds by step, and their `total`")]


class Answer(BaseModel):
    """Items best first, none of them twice, seen or excluded."""

    request_id: str
    items: list[Item]
    meta: Meta
    warnings: Annotated[list[str], Field(description="what in the request had no effect, and why")]

    model_config = ConfigDict(json_schema_extra={"examples": [examples.ANSWER]})


class Health(BaseModel):
    """The process is alive."""

    status: Literal["alive"] = "alive"


class Ready(BaseModel):
    """A bundle is loaded."""

    status: Literal["ready"] = "ready"
    bundle_id: str


class VariantAbout(BaseModel):
    """A mix of sources that can be asked for."""

    sources: Annotated[dict[str, float], Field(description="each source and its share of the places")]
    ranker: str | None
    rules: list[str]


class About(BaseModel):
    """What is served."""

    api: Annotated[str, Field(description="version of this software")]
    bundle_id: str
    dataset: str
    trained_until: datetime
    counts: Annotated[dict[str, int], Field(description="items, users and interactions in the bundle")]
    default_variant: str
    variants: dict[str, VariantAbout]
    models: Annotated[dict[str, dict[str, Any]], Field(description="dim, metric, encoder and index of each model")]
    allow_repeat: Annotated[bool, Field(description="true when an item of the history may be recommended again")]
    event_weights: dict[str, float]
    metrics: Annotated[dict[str, Any], Field(description="the offline evaluation that this bundle was released with")]
