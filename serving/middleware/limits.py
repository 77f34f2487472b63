"""Limits the size of a body and the rate of requests. Own code: the body is counted as it streams in.

All workers of a server count a key's requests together, in a file that they map. A limit that must hold across servers
belongs to the gateway.
"""

import hashlib
import math
import mmap
import os
import time
from collections.abc import Callable, Iterator, Mapping
from email.message import Message
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
from starlette.datastructures import Headers
from starlette.types import Receive, Scope

from serving import metrics
from serving.api.errors import ApiError
from serving.middleware.shares import Shares

BURST_SECONDS = 2.0
SLOTS = 2**20  # for rates of keys, by the hash of their names; only pages that are written take room
BODIES = 16  # of the largest size that one worker holds at once
Doubles = npt.NDArray[np.float64]
READABLE = {(b"content-type", b"application/json")}  # what nearly every request says
UTF8 = ("utf-8", "utf8", "us-ascii", "ascii")  # all that is ASCII is UTF-8


class BodyLimit:
    """Receives bodies of at most `max_bytes`, and refuses larger ones.

    An arriving body is not part of the load. A worker holds at most `BODIES` of them; above, it answers 503 to the keys
    that hold most.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._held = Shares()

    async def receive(self, headers: Mapping[bytes, bytes], receive: Receive, key: str) -> bytes | None:
        """Return the whole body, to be released; None if the client has gone.

        Raises:
            ApiError: 413, it is too large; 503, the worker holds too many.
        """
        length = headers.get(b"content-length", b"0")
        if length.isdigit() and int(length) > self._max_bytes:
            raise self._too_large()
        if length == b"0" and b"transfer-encoding" not in headers:
            return b""
        parts, size = [], 0
        try:
            while True:
                message = await receive()
                if message["type"] != "http.request":
                    return None
                part = message.get("body", b"")
                parts.append(part)
                size += len(part)
                self._held.add(key, len(part))
                if size > self._max_bytes:
                    raise self._too_large()
                if self._held.total > BODIES * self._max_bytes and self._held.at_least_average(key):
                    raise ApiError(503, "too many large bodies at once; try again")
                if not message.get("more_body", False):
                    size = 0  # the caller releases it
                    return b"".join(parts)
        finally:
            self._held.add(key, -size)

    def release(self, key: str, body: bytes) -> None:
        """Subtract a body of `receive` from the worker's total."""
        self._held.add(key, -len(body))

    def _too_large(self) -> ApiError:
        return ApiError(413, f"the body is larger than {self._max_bytes:,} bytes; send it in parts")


def check_readable(scope: Scope) -> None:
    """Refuse a body that no route can read.

    Raises:
        ApiError: 415, it is compressed, or of another charset than UTF-8.
    """
    if READABLE.issuperset(_about_body(scope)):
        return
    headers = Headers(scope=scope)
    encoding = headers.get("content-encoding", "identity").strip().lower()
    content_type = Message()
    content_type["content-type"] = headers.get("content-type", "")
    charset = (content_type.get_content_charset() or "utf-8").lower()
    if encoding not in ("", "identity") or charset not in UTF8:
        found = f"content-encoding {encoding!r:.40}" if charset in UTF8 else f"charset {charset!r:.40}"
        raise ApiError(415, f"{found}: send the body uncompressed, in UTF-8")


class RateLimit:
    """Limits each key to `rate` requests a second, after a burst of two seconds.

    A request that turns out to cost more than a plain one is paid for by those that follow. Requests without a key,
    such as those of probes, are not counted. Each key has one number: the time at which all its requests are paid for.
    Source: the generic cell rate algorithm, ITU-T I.371.
    """

    def __init__(self, rate: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._burst_s = max(1.0, rate * BURST_SECONDS) / rate
        self._clock = clock
        self._paid_until = _shared_numbers()

    def charge(self, client: str) -> None:
        """Charge a key with a plain request. Raises: ApiError: 429 with retry-after, its rate is used up."""
        if wait := self._wait(client):
            raise ApiError(429, self._said(client), headers={"retry-after": str(math.ceil(wait))})

    def _wait(self, client: str) -> float:
        """Charge a plain request and return 0; without room for it, return the seconds until there is."""
        slot, now = _slot(client), self._clock()
        until = max(float(self._paid_until[slot]), now) + 1 / self._rate
        if (over := until - now - self._burst_s) > 1e-9:
            return over
        self._paid_until[slot] = until
        return 0.0

    def pay(self, client: str, cost: float) -> None:
        """Charge a key with more than the plain request. Raises: ApiError: 429, its rate was used up before."""
        slot, now = _slot(client), self._clock()
        if self._paid_until[slot] - now - self._burst_s > 1e-9:
            raise ApiError(429, self._said(client))
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
