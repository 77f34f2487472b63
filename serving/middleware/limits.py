"""Limits the size of a body and the rate of requests. Own code: plain ASGI middleware sees the body as it streams in.

All workers of a server count a key's requests together, in a file that they map. A limit that must hold across servers
belongs to the gateway.
"""

import hashlib
import math
import mmap
import os
import time
from collections.abc import Callable, Iterator
from email.message import Message
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.types import Message as AsgiMessage

from serving import metrics
from serving.api import errors
from serving.middleware.shares import NO_KEY, Shares

BURST_SECONDS = 2.0
SLOTS = 2**20  # for rates of keys, by the hash of their names; only pages that are written take room
BODIES = 16  # of the largest size that one worker holds at once
Doubles = npt.NDArray[np.float64]
READABLE = {(b"content-type", b"application/json")}  # what nearly every request says
UTF8 = ("utf-8", "utf8", "us-ascii", "ascii")  # all that is ASCII is UTF-8


class BodyLimit:
    """Answers 413 to a body above `max_bytes`; hands a request on when its whole body has arrived.

    An arriving body is not part of the load. A worker holds at most `BODIES` of them; above, it answers 503 to the keys
    that hold most.
    """

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self.app = app
        self._max_bytes = max_bytes
        self._held = Shares()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"]) if scope["type"] == "http" else {}
        length = headers.get(b"content-length", b"0")
        chunked = b"transfer-encoding" in headers
        if length.isdigit() and int(length) > self._max_bytes:
            await self._refuse(scope, receive, send)
        elif length == b"0" and not chunked:
            await self.app(scope, receive, send)
        else:
            await self._hand_on(scope, receive, send)

    async def _hand_on(self, scope: Scope, receive: Receive, send: Send) -> None:
        key, size, body = scope["state"].get("client", NO_KEY), 0, []
        try:
            while True:
                message = await receive()
                if message["type"] != "http.request":
                    return  # the client has gone
                body.append(message)
                size += len(message.get("body", b""))
                self._held.add(key, len(message.get("body", b"")))
                if size > self._max_bytes:
                    await self._refuse(scope, receive, send)
                    return
                if self._held.total > BODIES * self._max_bytes and self._held.at_least_average(key):
                    said = "too many large bodies at once; try again"
                    await errors.response(503, said, scope["state"]["request_id"])(scope, receive, send)
                    return
                if not message.get("more_body", False):
                    break
            await self.app(scope, _replay(body, receive), send)
        finally:
            self._held.add(key, -size)

    async def _refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        message = f"the body is larger than {self._max_bytes:,} bytes; send it in parts"
        await errors.response(413, message, scope["state"]["request_id"])(scope, receive, send)


class ReadableBody:
    """Answers 415 to a body that no route can read: compressed, or of another charset than UTF-8."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not READABLE.issuperset(_about_body(scope)):
            headers = Headers(scope=scope)
            encoding = headers.get("content-encoding", "identity").strip().lower()
            content_type = Message()
            content_type["content-type"] = headers.get("content-type", "")
            charset = (content_type.get_content_charset() or "utf-8").lower()
            if encoding not in ("", "identity") or charset not in UTF8:
                found = f"content-encoding {encoding!r:.40}" if charset in UTF8 else f"charset {charset!r:.40}"
                message = f"{found}: a body is read as it is, in UTF-8; send it so"
                await errors.response(415, message, scope["state"]["request_id"])(scope, receive, send)
                return
        await self.app(scope, receive, send)


class HeadAsGet:
    """Answers HEAD wherever GET works: with the same response without its body."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self.app(scope, receive, send)
            return

        async def without_body(message: AsgiMessage) -> None:
            await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

        scope["method"] = "GET"
        try:
            await self.app(scope, receive, without_body)
        finally:
            scope["method"] = "HEAD"


class RateLimit:
    """Answers 429 with retry-after to a key with more than `rate` requests a second, after a burst of two seconds.

    A request that turns out to cost more than a plain one is paid for by those that follow. Requests without a key,
    such as those of probes, are not counted. One number for each key, the moment at which all that it asked is paid
    for. Source: the generic cell rate algorithm, ITU-T I.371.
    """

    def __init__(self, app: ASGIApp, rate: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.app = app
        self._rate = rate
        self._burst_s = max(1.0, rate * BURST_SECONDS) / rate
        self._clock = clock
        self._paid_until = _shared_numbers()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        client = scope.get("state", {}).get("client")
        if client is not None:
            if wait := self._wait(client):
                answer = errors.response(429, self._said(client), scope["state"]["request_id"])
                answer.headers["retry-after"] = str(math.ceil(wait))
                await answer(scope, receive, send)
                return
            scope["state"]["pay"] = partial(self._pay, client)
        await self.app(scope, receive, send)

    def _wait(self, client: str) -> float:
        """Charge a plain request and return 0; without room for it, return the seconds until there is."""
        slot, now = _slot(client), self._clock()
        until = max(float(self._paid_until[slot]), now) + 1 / self._rate
        if (over := until - now - self._burst_s) > 1e-9:
            return over
        self._paid_until[slot] = until
        return 0.0

    def _pay(self, client: str, cost: float) -> None:
        slot, now = _slot(client), self._clock()
        if self._paid_until[slot] - now - self._burst_s > 1e-9:
            raise errors.ApiError(429, self._said(client))
        self._paid_until[slot] = max(float(self._paid_until[slot]), now) + cost / self._rate

    def _said(self, client: str) -> str:
        return f"more than {self._rate:g} requests a second of the key {client!r}, each by what it costs"


@lru_cache
def _slot(client: str) -> int:
    return int.from_bytes(hashlib.sha256(client.encode()).digest()[:8]) % SLOTS


def _shared_numbers() -> Doubles:
    """(SLOTS,) float64, in a file that all workers of a server map, or in the memory of a single one.

    Reads and writes of a double are whole; where two workers write at once, one request is not counted.
    """
    folder = os.environ.get(metrics.FOLDER)
    if folder is None:
        return np.frombuffer(mmap.mmap(-1, 8 * SLOTS))
    with Path(folder, "rates").open("ab") as file:
        file.truncate(8 * SLOTS)
    with Path(folder, "rates").open("r+b") as file:
        return np.frombuffer(mmap.mmap(file.fileno(), 8 * SLOTS))


def _about_body(scope: Scope) -> Iterator[tuple[bytes, bytes]]:
    return (header for header in scope["headers"] if header[0] in (b"content-type", b"content-encoding"))


def _replay(messages: list[AsgiMessage], receive: Receive) -> Receive:
    waiting = iter(messages)

    async def replayed() -> AsgiMessage:
        for message in waiting:
            return message
        return await receive()

    return replayed
