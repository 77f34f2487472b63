"""The cost of a request in plain requests: it counts for the rate of its key and for the load of its worker.

The weights are rounded from the CPU time of the most expensive variant.
"""

from serving.api.schemas import RecommendRequest

ITEM = 0.02  # a place of the answer
REASONS = 10.0  # reasons of a list: the second calls
ITEM_REASONS = 0.4  # and those of each place
GIVEN = 0.005  # an item of the session, the candidates or those excluded; an event or item to store


def of(request: RecommendRequest) -> float:
    """Return the cost of a request for a list, at least 1.

    >>> round(of(RecommendRequest(k=10)), 2), round(of(RecommendRequest(k=100, options={"explain": True})), 2)
    (1.0, 52.8)
    """
    given = len(request.session) + len(request.exclude_ids) + len(request.candidates or ())
    cost = 1 + ITEM * max(request.k - 10, 0) + GIVEN * given
    return cost + REASONS + ITEM_REASONS * request.k if request.options.explain else cost


def of_rows(n: int) -> float:
    """Return the cost of a request that stores this number of events or items."""
    return 1 + GIVEN * (n - 1)
