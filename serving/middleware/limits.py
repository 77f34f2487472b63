"""Limits the size of a body and the rate of requests. Own code: plain ASGI middleware sees the body as it streams in.

The rate is counted in each worker process by itself: a client of a server with four workers gets up to four times as
much. It protects the process; a limit that must be exact belongs to the gateway.
"""

import math
import time
from collections.abc import Callable
from email.message import Message

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.types import Message as AsgiMessage

from serving.api import errors

BURST_SECONDS = 2.0
UTF8 = ("utf-8", "utf8", "us-ascii", "ascii")  # all that is ASCII is UTF-8


class BodyLimit:
    """Answers 413 to a body above `max_bytes`, before anything reads it."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self.app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        length = headers.get(b"content-length", b"")
        chunked = b"transfer-encoding" in headers
        if length.isdigit() and int(length) > self._max_bytes:
            await self._refuse(scope, receive, send)
        elif not chunked:  # the server itself ends the body after content-length
            await self.app(scope, receive, send)
        elif (read := await self._read(receive)) is None:
            await self._refuse(scope, receive, send)
        else:
            await self.app(scope, _replay(read, receive), send)

    async def _read(self, receive: Receive) -> list[AsgiMessage] | None:
        """Read the whole body and return its ASGI messages, or None when it is larger than the limit."""
        messages, size = [], 0
        while True:
            message = await receive()
            messages.append(message)
            size += len(message.get("body", b""))
            if size > self._max_bytes:
                return None
            if not message.get("more_body", False):
                return messages

    async def _refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        message = f"the body is larger than {self._max_bytes:,} bytes; send it in parts"
        await errors.response(413, message, scope["state"]["request_id"])(scope, receive, send)


class ReadableBody:
    """Answers 415 to a body that no route can read: compressed, or of another charset than UTF-8."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
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

    A token bucket for each key. Requests without a key, such as those of probes, are not counted.
    """

    def __init__(self, app: ASGIApp, rate: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.app = app
        self._rate = rate
        self._size = max(1.0, rate * BURST_SECONDS)
        self._clock = clock
        self._buckets: dict[str, tuple[float, float]] = {}  # name of a key: tokens, and when they were counted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        client = scope.get("state", {}).get("client")
        if client is None or (wait := self._wait(client)) == 0:
            await self.app(scope, receive, send)
            return
        message = f"more than {self._rate:g} requests a second of the key {client!r}"
        answer = errors.response(429, message, scope["state"]["request_id"])
        answer.headers["retry-after"] = str(math.ceil(wait))
        await answer(scope, receive, send)

    def _wait(self, client: str) -> float:
        """Take a token and return 0; without one, return the seconds until the next."""
        now = self._clock()
        tokens, counted = self._buckets.get(client, (self._size, now))
        tokens = min(self._size, tokens + (now - counted) * self._rate)
        taken = tokens >= 1
        self._buckets[client] = (tokens - taken, now)
        return 0.0 if taken else (1 - tokens) / self._rate


def _replay(messages: list[AsgiMessage], receive: Receive) -> Receive:
    waiting = iter(messages)

    async def replayed() -> AsgiMessage:
        for message in waiting:
            return message
        return await receive()

    return replayed
