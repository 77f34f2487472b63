"""What a worker does when more is asked of it than it can do: cheaper answers first, then 503 with retry-after.

Measured in the process itself: how many requests are in it, and how late its event loop is. The loop counts as late
only when it was late at every one of the last looks, which is a queue; one slow call is no reason to turn users away.
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
    """What one worker has to do. `shed_requests` in it at once or `shed_s` behind: answers become cheap."""

    def __init__(self, shed_requests: int, shed_s: float) -> None:
        self._shed_requests = shed_requests
        self._shed_s = shed_s
        self._late = deque([0.0] * LOOKS, maxlen=LOOKS)
        self.requests = 0

    @property
    def delay_s(self) -> float:
        """How long a request waits before anything is done for it, at least."""
        return min(self._late)

    @property
    def sheds(self) -> bool:
        """Answer from what costs next to nothing."""
        return self.requests > self._shed_requests or self.delay_s > self._shed_s

    @property
    def refuses(self) -> bool:
        """Even cheap answers would come too late."""
        return self.requests > REFUSE_AT * self._shed_requests or self.delay_s > REFUSE_AT * self._shed_s

    def looked(self, late_s: float) -> None:
        """The event loop came so much later than it was asked to."""
        self._late.append(late_s)

    async def watch(self) -> None:
        """Look several times a second. Never returns."""
        while True:
            began = perf_counter()
            await asyncio.sleep(LOOK_SECONDS)
            self.looked(perf_counter() - began - LOOK_SECONDS)
            metrics.DELAY.set(self.delay_s)


class LoadShedding:
    """503 with retry-after when the worker cannot even answer cheaply; probes always pass. Plain ASGI."""

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
