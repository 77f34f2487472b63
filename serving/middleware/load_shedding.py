"""Sheds load when a worker gets more requests than it can answer: first cheap answers, which skip the models and are
filled with popular items, then 503 with retry-after.

The load is the cost of the requests in the process, from the arrival of their bodies, and the delay of the event loop.
The delay is the smallest of the last measurements: a standing queue raises all of them, one slow call a single one.
Source: Nichols and Jacobson 2012, "Controlling Queue Delay", on the minimum as the sign of a standing queue.

Load is shed for API keys with at least the average cost of all keys, so that one key cannot block the others.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from time import perf_counter

from serving import metrics
from serving.api.errors import ApiError
from serving.api.schemas import Answer, RecommendRequest
from serving.middleware.shares import Shares

LOOK_SECONDS = 0.05
LOOKS = 4
REFUSE_AT = 10  # requests get 503 above this multiple of the load at which answers become cheap
NEVER_REFUSED = ("/healthz", "/readyz", "/metrics")


class Load:
    """The load of one worker. Its answers are cheap above `shed_requests` requests at once, or a delay of `shed_s`.
    delay_s: seconds that a request waits in the event loop at least."""

    def __init__(self, shed_requests: int, shed_s: float) -> None:
        self._shed_requests = shed_requests
        self._shed_s = shed_s
        self._late = deque([0.0] * LOOKS, maxlen=LOOKS)
        self.delay_s = 0.0
        self.requests = Shares()

    @property
    def busy(self) -> bool:
        return self._above(1)

    def sheds(self, key: str, own: float = 1) -> bool:
        """Return whether answers to this API key should be cheap. own: the cost of the present request."""
        return self._above(1, own) and self.requests.at_least_average(key)

    def refuses(self, key: str) -> bool:
        """Return whether requests of this API key get 503, because even cheap answers would come too late."""
        return self._above(REFUSE_AT) and self.requests.at_least_average(key)

    def _above(self, times: int, own: float = 1) -> bool:
        return self.requests.total - own + 1 > times * self._shed_requests or self.delay_s > times * self._shed_s

    def looked(self, late_s: float) -> None:
        self._late.append(late_s)
        self.delay_s = min(self._late)

    async def watch(self) -> None:
        """Measure the delay several times a second. Never returns."""
        while True:
            began = perf_counter()
            await asyncio.sleep(LOOK_SECONDS)
            self.looked(perf_counter() - began - LOOK_SECONDS)
            metrics.DELAY.set(self.delay_s)


class Work:
    """Counts the cost of one request: for the load of the worker, and through `pay` for the rate of its API key. A
    plain request costs 1, see `serving/service/costs.py`. pay: charges the key a further cost; None: no rate limit."""

    def __init__(self, load: Load, key: str, pay: Callable[[float], None] | None = None) -> None:
        self._load, self.key, self._pay = load, key, pay
        self.cost = 0.0
        self.served: list[tuple[RecommendRequest, Answer]] = []  # for the request log

    @property
    def sheds(self) -> bool:
        return self._load.sheds(self.key, self.cost)

    def set_load(self, cost: float) -> None:
        """Set the cost of this request in the worker's load; 0 when it ends. The rate limit is `charge`."""
        if cost != self.cost:
            self._load.requests.add(self.key, cost - self.cost)
            self.cost = cost

    def check(self) -> None:
        """Refuse the request if so many are waiting that even a fallback would come too late.

        Raises:
            ApiError: 503 with the header retry-after: "the worker is overloaded; try again"
        """
        if self._load.refuses(self.key):
            raise ApiError(503, "the worker is overloaded; try again")

    def charge(self, cost: float) -> None:
        """Charge the API key for a request of this cost, of which `RateLimit.charge` has counted 1 already.

        Raises:
            ApiError: 429, because the client had sent more than its rate allows before.
        """
        if self._pay is not None and cost > 1:
            self._pay(cost - 1)
