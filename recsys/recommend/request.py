"""The state of one request on the main path."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from recsys.contracts import NO_CANDIDATES, Candidates, Query
from recsys.recommend.guarded_slate import GuardedSlateRules
from recsys.recommend.trace import RequestTrace


@dataclass
class Request:
    """The input of every step of the main path: the query, its business rules if any, and the trace.

    candidates: by source, its proposals that may be shown; new: likewise the new items that places are reserved for.
    """

    query: Query
    rules: GuardedSlateRules | None
    trace: RequestTrace
    candidates: Mapping[str, Candidates] = field(default_factory=dict)
    new: Candidates = NO_CANDIDATES
