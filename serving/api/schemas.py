"""Requests for recommendations, and their answers. The page at /docs shows the descriptions and examples."""

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
        Timestamp | None, Field(description="ISO 8601 with a time zone; without it, the time of the request")
    ] = None


class Options(RequestModel):
    """Options of one request."""

    explain: Annotated[bool, Field(description="whether every item of the answer has its reasons")] = False
    diversity: Annotated[
        float | None,
        Field(ge=0, le=1, description="0: by score only, 1: as different as possible; absent: the shop's setting"),
    ] = None
    seed: Annotated[
        int, Field(ge=0, lt=2**31), WHOLE, Field(description="seed of the variant's random items, if it has any")
    ] = 0


UserId = Annotated[Identifier | None, Field(description="absent for an anonymous visitor")]
AnonymousId = Annotated[
    GuestId | None, Field(description="a visitor's id, such as that of a cookie; its stored events are used too")
]
Session = Annotated[
    list[SessionEvent],
    Field(max_length=MAX_LIST_LENGTH, description="recent events, oldest first; added to the user's stored events"),
]
Excluded = Annotated[
    list[Identifier], Field(max_length=MAX_LIST_LENGTH, description="items that may not be in the answer")
]
Surface = Annotated[Label | None, Field(description="where the list is shown, such as home or cart; is logged")]


class WhoAsks(RequestModel):
    """The fields that several requests share: the user or visitor, the session and the options."""

    user_id: UserId = None
    anonymous_id: AnonymousId = None
    session: Session = Field(default_factory=list)
    session_id: Annotated[Identifier | None, Field(description="for experiments that assign arms to sessions")] = None
    surface: Surface = None
    attributes: Annotated[
        dict[Label, Name],
        Field(
            max_length=50,
            description="of the user, such as country: for the ranker and experiments; over those in the data",
            json_schema_extra={"propertyNames": {"minLength": 1, "maxLength": MAX_LABEL_LENGTH, "pattern": ONE_LINE}},
        ),
    ] = Field(default_factory=dict)
    variant: Annotated[Variant | None, Field(description="a variant of the bundle; absent for the default one")] = None
    options: Annotated[Options, Field(description="settings of this request")] = Options()
    fields: Fields = None

    def widened(self, **more: Any) -> "RecommendRequest":
        """Return a RecommendRequest with these fields and `more`, not validated, as `k` may be larger than MAX_K."""
        return _PLAIN.model_copy(update={**dict(self), **more})


class RecommendRequest(WhoAsks):
    """A request for items: the user or visitor, the allowed items, and their number."""

    categories: Annotated[
        list[Name],
        Field(max_length=100, description="categories that a new user chose; used while there are few events"),
    ] = Field(default_factory=list)
    k: K = 10
    cursor: Annotated[
        Annotated[str, Field(max_length=MAX_CURSOR_LENGTH, json_schema_extra={"format": "recsys-cursor"})] | None,
        Field(description="`next_cursor` of the previous page"),
    ] = None
    exclude_ids: Excluded = Field(default_factory=list)
    filter: Annotated[
        Annotated[
            Text, Field(min_length=1, max_length=MAX_FILTER_LENGTH, json_schema_extra={"format": "recsys-filter"})
        ]
        | None,
        Field(description='a condition for items, such as category = "garden" and price < 20'),
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
        Field(
            min_length=1, max_length=MAX_LIST_LENGTH, description="items to order; the answer has all that may be shown"
        ),
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
            description="history: an item of the user's history; feature: a feature of the ranker; others: the sum of "
            "all smaller parts; otherwise the source that chose the item without the history, such as popular"
        ),
    ]
    item_id: Annotated[str | None, Field(description="item of the history")] = None
    title: str | None = None
    feature: Annotated[
        str | None, Field(description="feature of the ranker, such as recent_demand; base: its score without features")
    ] = None
    contribution: Annotated[float, Field(description="what this part adds to the score")]
    share: Annotated[float | None, Field(description="the same as contribution", deprecated=True)] = None
    without: Annotated[
        float | None,
        Field(
            description="score of the item, computed again without this item in the history; null: it would not be a "
            "candidate then, or this is not among the ten items of the history that contribute most to the list"
        ),
    ] = None


@dataclass(slots=True, kw_only=True)
class Item:
    """One item of an answer."""

    item_id: str
    rank: Annotated[int, Field(description="1 is the best")]
    score: Annotated[float, Field(description="comparable only among items of the same source in this answer")]
    confidence: Annotated[
        float | None,
        Field(description="probability that the user chooses it, calibrated on past choices; null: no calibration"),
    ]
    source: Annotated[str, Field(description="the source that chose the item: a model, `popular`, `static`, ...")]
    fallback: Annotated[bool, Field(description="true if the variant's sources had no item for this position")]
    boost: Annotated[
        float,
        Field(
            description="factor of the shop's rules by which the score was multiplied for ranking, see docs/rules.md"
        ),
    ] = 1.0
    title: str
    categories: list[str]
    fields: Annotated[
        dict[str, str | float | bool | list[str]],
        Field(description="the requested fields; absent if none were requested", exclude_if=lambda own: own is UNSET),
    ] = field(default_factory=lambda: UNSET)  # type: ignore[arg-type,return-value]
    propensity: Annotated[
        float | None, Field(description="probability of this item at this position; null without exploration")
    ] = None
    team: Annotated[str | None, Field(description="which of two interleaved variants chose the item: a or b")] = None
    reasons: Annotated[list[Reason], Field(description="the largest contribution first; empty without options.explain")]
    factors: Annotated[
        dict[str, float], Field(description="with options.explain: factors whose product is the score, if it is one")
    ] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class Experiment:
    """The experiment that chose the variant."""

    name: str
    variant: str
    propensity: Annotated[float, Field(description="the probability of this variant for this user")]
    unit: Annotated[str, Field(description="the id that was assigned to it: of the user, the visitor or the session")]


@dataclass(slots=True, kw_only=True)
class Meta:
    """Metadata of an answer: variant, experiment, fallback, failed parts, versions, times."""

    variant: str
    experiment: Annotated[Experiment | None, Field(description="null when no experiment chose the variant")]
    segment: Annotated[str, Field(description="by the user's number of events; cold_user: none, few, warm: enough")]
    fallback: Annotated[
        bool, Field(description="true if an item came from the fallback, or no item was chosen for this user")
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
            description="share of the items that were chosen by this user's history, session, categories or "
            "attributes; null: not a request for a user"
        ),
    ] = None
    degraded: Annotated[bool, Field(description="true if a part failed and the answer was computed without it")]
    failed: Annotated[list[str], Field(description="the parts that failed")]
    shortfall: Annotated[str | None, Field(description="why there are fewer than k items; null when there are k")]
    bundle_id: str
    model: Annotated[str | None, Field(description="the models that were used, joined by +; null: none was")]
    dataset: str
    data_hash: Annotated[
        str | None, Field(description="hash of the tables that the bundle was trained on; null: unknown")
    ] = None
    indexes: Annotated[
        dict[str, str], Field(description="kind of search index, and its recall, for each model that was used")
    ] = field(default_factory=dict)
    trained_until: Annotated[datetime, Field(description="time of the last training data")]
    rules_version: Annotated[str | None, Field(description="version of the business rules; null: there are none")]
    live_age_s: Annotated[
        float | None, Field(description="age of the live counts in seconds; null: they were not used")
    ] = None
    timings_ms: Annotated[dict[str, float], Field(description="milliseconds by step, and their `total`")]


@dataclass(slots=True, kw_only=True)
class Answer:
    """Items, best first: no duplicates, no excluded ones and, unless the data set allows repeats, none already seen."""

    request_id: Annotated[str, Field(description="send it with the events that follow from this answer")]
    items: list[Item]
    meta: Meta
    warnings: Annotated[list[str], Field(description="parts of the request that had no effect, and why")]
    next_cursor: Annotated[str | None, Field(description="send it as `cursor` for the next page; null: there is none")]

    __pydantic_config__ = ConfigDict(json_schema_extra={"examples": [examples.ANSWER]})


@dataclass(slots=True, kw_only=True)
class BatchAnswer:
    """One answer for each request, in their order. Their request_id: that of the batch, a dash and the position."""

    answers: list[Answer]
