"""One request on its way through the main path."""

from dataclasses import dataclass

from recsys.contracts import Query
from recsys.recommend.guarded_slate import GuardedSlateRules
from recsys.recommend.trace import RequestTrace


@dataclass
class Request:
    """What every step of the main path gets: the query, the business rules that count for it if any, and the trace."""

    query: Query
    rules: GuardedSlateRules | None
    trace: RequestTrace
