"""Sheds load when a worker gets more requests than it can answer: cheaper answers first, then 503 with retry-after.

Load is the number of requests in the process and the delay of its event loop. The delay is the smallest of the last
measurements: a standing queue delays all of them, one slow call delays one.
Source: Nichols and Jacobson 2012, "Controlling Queue Delay", on the minimum as the sign of a standing queue.
"""

import asyncio
from collections import deque
from time import perf_counter

from starlette.types import ASGIApp, Receive, Scope, Send

from serving import metrics
from serving.api import errors

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
        self.requests = 0

    @property
    def delay_s(self) -> float:
        """Return how long a request waits in the event loop at least, seconds."""
        return min(self._late)

    @property
    def sheds(self) -> bool:
        """Return whether answers should be cheap ones."""
        return self.requests > self._shed_requests or self.delay_s > self._shed_s

    @property
    def refuses(self) -> bool:
        """Return whether even cheap answers would come too late."""
        return self.requests > REFUSE_AT * self._shed_requests or self.delay_s > REFUSE_AT * self._shed_s

    def looked(self, late_s: float) -> None:
        """Record a delay of the event loop, seconds."""
        self._late.append(late_s)

    async def watch(self) -> None:
        """Measure the delay several times a second. Never returns."""
        while True:
            began = perf_counter()
            await asyncio.sleep(LOOK_SECONDS)
            self.looked(perf_counter() - began - LOOK_SECONDS)
            metrics.DELAY.set(self.delay_s)


class LoadShedding:
    """Answers 503 with retry-after when even cheap answers would come too late; probes always pass. Plain ASGI."""

    def __init__(self, app: ASGIApp, load: Load) -> None:
        self.app = app
        self._load = load

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in NEVER_REFUSED:
            await self.app(scope, receive, send)
            return
        self._load.requests += 1
        try:
            await asyncio.sleep(0)  # all who have arrived are counted before the first of them is answered
            if self._load.refuses:
                answer = errors.response(503, "too much to do just now; try again", scope["state"]["request_id"])
                await answer(scope, receive, send)
            else:
                await self.app(scope, receive, send)
        finally:
            self._load.requests -= 1
