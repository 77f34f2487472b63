"""The cost of a request, in units of a plain request for 10 items, for the rate limit of its key and the worker's load.

The weights are rounded ratios of the CPU time of the most expensive variant.
"""

from serving.api.schemas import RecommendRequest

ITEM = 0.02  # each item of the answer after the tenth
REASONS = 10.0  # reasons: the list is computed again without items of the history
ITEM_REASONS = 0.4  # reasons of each item
ROW = 0.005  # each item of the session, candidates or exclude_ids; each event or item to store


def of(request: RecommendRequest) -> float:
    """Return the cost of a request for a list, at least 1.

    >>> round(of(RecommendRequest(k=10)), 2), round(of(RecommendRequest(k=100, options={"explain": True})), 2)
    (1.0, 52.8)
    """
    given = len(request.session) + len(request.exclude_ids) + len(request.candidates or ())
    cost = 1 + ITEM * max(request.k - 10, 0) + ROW * given
    return cost + REASONS + ITEM_REASONS * request.k if request.options.explain else cost


def of_rows(n: int) -> float:
    """Return the cost of a request that stores n events or items, in plain requests of the rate limit."""
    return 1 + ROW * (n - 1)
