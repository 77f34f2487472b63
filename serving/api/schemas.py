"""Requests for recommendations and their answers. Descriptions and examples are what the page at /docs shows."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any

from msgspec import UNSET
from pydantic import ConfigDict, Field

from serving.api import examples
from serving.api.fields import (
    MAX_LABEL_LENGTH,
    MAX_LIST_LENGTH,
    ONE_LINE,
    WHOLE,
    Fields,
    GuestId,
    Identifier,
    K,
    Label,
    Name,
    RequestModel,
    Text,
    Timestamp,
    Variant,
)

MAX_CURSOR_LENGTH = 1_400_000  # 1,000 ids of 256 characters of 4 bytes, in base64
MAX_BATCH = 100
MAX_FILTER_LENGTH = 2_000


class SessionEvent(RequestModel):
    """An action in the user's current session, sent with the request."""

    item_id: Identifier
    event: Annotated[
        Label | None, Field(description="an event of the data set, such as purchase; without it the weight is 1")
    ] = None
    timestamp: Annotated[
        Timestamp | None, Field(description="ISO 8601 with a zone; without it the event counts as of now")
    ] = None


class Options(RequestModel):
    """Options of one request."""

    explain: Annotated[bool, Field(description="say of every item which items of the history brought it up")] = False
    diversity: Annotated[
        float | None,
        Field(ge=0, le=1, description="0: best first, 1: as different as can be; absent: as the shop set it"),
    ] = None
    seed: Annotated[
        int, Field(ge=0, lt=2**31), WHOLE, Field(description="the same seed draws the same random items")
    ] = 0


UserId = Annotated[Identifier | None, Field(description="absent for an anonymous visitor")]
AnonymousId = Annotated[
    GuestId | None, Field(description="a visitor's id, such as that of a cookie; what it did counts too")
]
Session = Annotated[
    list[SessionEvent],
    Field(max_length=MAX_LIST_LENGTH, description="oldest first; added to what is known of the user"),
]
Excluded = Annotated[
    list[Identifier], Field(max_length=MAX_LIST_LENGTH, description="items that may not be in the answer")
]
Surface = Annotated[Label | None, Field(description="where it is shown, such as home or cart; is logged")]


class WhoAsks(RequestModel):
    """The user or visitor, and the history that the client sends: the part that several requests share."""

    user_id: UserId = None
    anonymous_id: AnonymousId = None
    session: Session = Field(default_factory=list)
    session_id: Annotated[Identifier | None, Field(description="for experiments that draw sessions")] = None
    surface: Surface = None
    attributes: Annotated[
        dict[Label, Name],
        Field(
            max_length=50,
            description="what experiments target, such as country",
            json_schema_extra={"propertyNames": {"minLength": 1, "maxLength": MAX_LABEL_LENGTH, "pattern": ONE_LINE}},
        ),
    ] = Field(default_factory=dict)
    variant: Annotated[Variant | None, Field(description="a variant of the bundle; absent for the default one")] = None
    options: Annotated[Options, Field(description="settings of this request")] = Options()
    fields: Fields = None

    def widened(self, **more: Any) -> "RecommendRequest":
        """Convert to a request for recommendations, without validating again: `k` may be larger than a page."""
        return _PLAIN.model_copy(update={**dict(self), **more})


class RecommendRequest(WhoAsks):
    """A request for items: the user or visitor, the allowed items, and their number."""

    categories: Annotated[
        list[Name], Field(max_length=100, description="what a new user chose to see; used while little is known")
    ] = Field(default_factory=list)
    k: K = 10
    cursor: Annotated[
        Annotated[str, Field(max_length=MAX_CURSOR_LENGTH, json_schema_extra={"format": "recsys-cursor"})] | None,
        Field(description="`next_cursor` of the page before"),
    ] = None
    exclude_ids: Excluded = Field(default_factory=list)
    filter: Annotated[
        Annotated[
            Text, Field(min_length=1, max_length=MAX_FILTER_LENGTH, json_schema_extra={"format": "recsys-filter"})
        ]
        | None,
        Field(description='such as category = "garden" and price < 20'),
    ] = None
    candidates: Annotated[
        list[Identifier] | None,
        Field(min_length=1, max_length=MAX_LIST_LENGTH, description="only these items may be in the answer"),
    ] = None


_PLAIN = RecommendRequest()  # pydantic's own model_construct takes 1 ms to find defaults


class RankRequest(WhoAsks):
    """A request to order items for a user or visitor."""

    candidates: Annotated[
        list[Identifier],
        Field(min_length=1, max_length=MAX_LIST_LENGTH, description="items to put in order, all that may be shown"),
    ]


class BatchRequest(RequestModel):
    """Several requests in one."""

    requests: Annotated[list[RecommendRequest], Field(min_length=1, max_length=MAX_BATCH)]


class SimilarRequest(RequestModel):
    """A request for items similar to one item."""

    item_id: Identifier
    k: K = 10
    exclude_ids: Excluded = Field(default_factory=list)
    fields: Fields = None


@dataclass(slots=True, kw_only=True)
class Reason:
    """One part of an item's score; the contributions of all its reasons add up to the score."""

    kind: Annotated[
        str,
        Field(
            description="history: an item of the user's history; feature: a feature of the ranker; others: all smaller "
            "parts together; else the source that put the item here for a reason of its own, such as popular"
        ),
    ]
    item_id: Annotated[str | None, Field(description="of the history")] = None
    title: str | None = None
    feature: Annotated[str | None, Field(description="of the ranker, such as recent_demand; base: without any")] = None
    contribution: Annotated[float, Field(description="what it adds to the score")]
    share: Annotated[float | None, Field(description="the same as contribution", deprecated=True)] = None
    without: Annotated[
        float | None,
        Field(
            description="the score in a second call without this item in the history; null: the item would not be a "
            "candidate then, or the part is not among the ten items of the history that contribute most to the list"
        ),
    ] = None


@dataclass(slots=True, kw_only=True)
class Item:
    """One place of the answer."""

    item_id: str
    rank: Annotated[int, Field(description="1 is the best")]
    score: Annotated[float, Field(description="comparable only among items of the same source in this answer")]
    confidence: Annotated[
        float | None,
        Field(description="probability that the user wants it, calibrated on past choices; null: was not measured"),
    ]
    source: Annotated[str, Field(description="the stage that put the item here: a model, `popular`, `static`, ...")]
    fallback: Annotated[bool, Field(description="true when the variant's own sources had no item for this place")]
    boost: Annotated[
        float,
        Field(description="what the shop's rules counted the score by in the order; 1: nothing, see docs/rules.md"),
    ] = 1.0
    title: str
    categories: list[str]
    fields: Annotated[
        dict[str, str | float | bool | list[str]],
        Field(description="the fields that were asked for; absent if none were", exclude_if=lambda said: said is UNSET),
    ] = field(default_factory=lambda: UNSET)  # type: ignore[arg-type,return-value]
    propensity: Annotated[
        float | None, Field(description="the probability of this item in this place; null where nothing explores")
    ] = None
    team: Annotated[str | None, Field(description="which of two interleaved variants put it here: a or b")] = None
    reasons: Annotated[list[Reason], Field(description="the largest contribution first; empty without options.explain")]
    factors: Annotated[
        dict[str, float], Field(description="with options.explain: their product is the score, where it is a product")
    ] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class Experiment:
    """The experiment that chose the variant."""

    name: str
    variant: str
    propensity: Annotated[float, Field(description="the probability of this variant for this user")]
    unit: Annotated[str, Field(description="the id that was drawn: of the user, the visitor or the session")]


@dataclass(slots=True, kw_only=True)
class Meta:
    """Metadata of an answer: variant, experiment, fallback, failed parts, versions, times."""

    variant: str
    experiment: Annotated[Experiment | None, Field(description="null when no experiment chose the variant")]
    segment: Annotated[str, Field(description="cold_user: nothing is known, few: hardly anything, warm: enough")]
    fallback: Annotated[
        bool, Field(description="true when at least one item came from the fallback, or none was chosen for this user")
    ]
    fallback_reason: Annotated[
        str | None,
        Field(
            description="no_history, history_unknown_to_models, item_unknown_to_models, too_few_candidates, "
            "low_confidence, deadline, part_failed, shed"
        ),
    ]
    personalised_share: Annotated[
        float | None,
        Field(
            description="share of the items that history, session or chosen categories of this user brought up; null: "
            "not asked for a user"
        ),
    ] = None
    degraded: Annotated[bool, Field(description="true when a part failed and the answer was made without it")]
    failed: Annotated[list[str], Field(description="the parts that failed")]
    shortfall: Annotated[str | None, Field(description="why there are fewer than k items; null when there are k")]
    bundle_id: str
    model: Annotated[str | None, Field(description="the models that were asked, joined by +; null: none was")]
    dataset: str
    data_hash: Annotated[
        str | None, Field(description="hash of the tables that the bundle was made of; null: it does not say")
    ] = None
    indexes: Annotated[
        dict[str, str], Field(description="how the items of each model that was asked were searched, with the recall")
    ] = field(default_factory=dict)
    trained_until: Annotated[datetime, Field(description="the last moment of the data behind this answer")]
    rules_version: Annotated[str | None, Field(description="version of the business rules; null: there are none")]
    live_age_s: Annotated[
        float | None,
        Field(description="seconds since events were read for what people like now; null: only the training counts"),
    ] = None
    timings_ms: Annotated[dict[str, float], Field(description="milliseconds by step, and their `total`")]


@dataclass(slots=True, kw_only=True)
class Answer:
    """Items best first, none of them twice, seen or excluded."""

    request_id: Annotated[str, Field(description="send it with the events that follow from this answer")]
    items: list[Item]
    meta: Meta
    warnings: Annotated[list[str], Field(description="what in the request had no effect, and why")]
    next_cursor: Annotated[str | None, Field(description="send it as `cursor` for the next page; null: there is none")]

    __pydantic_config__ = ConfigDict(json_schema_extra={"examples": [examples.ANSWER]})


@dataclass(slots=True, kw_only=True)
class BatchAnswer:
    """One answer for each request, in their order; the request_id of each is that of the batch, then its position."""

    answers: list[Answer]
