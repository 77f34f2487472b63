"""Sheds load when a worker gets more requests than it can answer: cheaper answers first, then 503 with retry-after.

Load is the cost of the requests in the process and the delay of its event loop. The delay is the smallest of the last
measurements: a standing queue delays all of them, one slow call delays one.
Source: Nichols and Jacobson 2012, "Controlling Queue Delay", on the minimum as the sign of a standing queue.

A request counts once its body has arrived, by its cost, and for its API key. Load is shed for keys that have at least
as much in the process as all keys have on average, so that one key cannot push out the others.
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
REFUSE_AT = 10  # times the delay or the requests at which answers become cheap
NEVER_REFUSED = ("/healthz", "/readyz", "/metrics")


class Load:
    """The load of one worker. Above `shed_requests` at once, or a delay of `shed_s`, its answers are cheap ones."""

    def __init__(self, shed_requests: int, shed_s: float) -> None:
        self._shed_requests = shed_requests
        self._shed_s = shed_s
        self._late = deque([0.0] * LOOKS, maxlen=LOOKS)
        self.requests = Shares()

    @property
    def delay_s(self) -> float:
        """Return how long a request waits in the event loop at least, seconds."""
        return min(self._late)

    @property
    def busy(self) -> bool:
        return self._above(1)

    def sheds(self, key: str, own: float = 1) -> bool:
        """Return whether answers to this key should be cheap ones. own: the cost of the request itself."""
        return self._above(1, own) and self.requests.at_least_average(key)

    def refuses(self, key: str) -> bool:
        """Return whether even cheap answers to this key would come too late."""
        return self._above(REFUSE_AT) and self.requests.at_least_average(key)

    def _above(self, times: int, own: float = 1) -> bool:
        return self.requests.total - own + 1 > times * self._shed_requests or self.delay_s > times * self._shed_s

    def looked(self, late_s: float) -> None:
        self._late.append(late_s)

    async def watch(self) -> None:
        """Measure the delay several times a second. Never returns."""
        while True:
            began = perf_counter()
            await asyncio.sleep(LOOK_SECONDS)
            self.looked(perf_counter() - began - LOOK_SECONDS)
            metrics.DELAY.set(self.delay_s)


class Work:
    """One request in the process: its cost, and whether its answer should be a cheap one."""

    def __init__(self, load: Load, key: str, pay: Callable[[float], None] | None = None) -> None:
        self._load, self.key, self._pay = load, key, pay
        self.cost = 0.0
        self.served: list[tuple[RecommendRequest, Answer]] = []  # for the log

    @property
    def sheds(self) -> bool:
        return self._load.sheds(self.key, self.cost)

    def counts(self, cost: float) -> None:
        """Count the request as this number of plain requests in the load."""
        self._load.requests.add(self.key, cost - self.cost)
        self.cost = cost

    def check(self) -> None:
        """Refuse the request if even a cheap answer would come too late. Raises: ApiError: 503 with retry-after."""
        if self._load.refuses(self.key):
            raise ApiError(503, "the worker is overloaded; try again")

    def pays(self, cost: float) -> None:
        """Charge the request's key with this number of plain requests; `RateLimit` has charged one already.

        Raises:
            ApiError: 429, earlier requests of the key have used up its rate.
        """
        if self._pay is not None and cost > 1:
            self._pay(cost - 1)
