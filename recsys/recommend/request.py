"""One request on its way through the main path."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from recsys.contracts import NO_CANDIDATES, Candidates, Query
from recsys.recommend.guarded_slate import GuardedSlateRules
from recsys.recommend.trace import RequestTrace


@dataclass
class Request:
    """What every step of the main path gets: the query, the business rules that count for it if any, and the trace.

    candidates: by source, what may be shown of its proposals; new: the same of the new items that a variant reserves
    places for.
    """

    query: Query
    rules: GuardedSlateRules | None
    trace: RequestTrace
    candidates: Mapping[str, Candidates] = field(default_factory=dict)
    new: Candidates = NO_CANDIDATES
