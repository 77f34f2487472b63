"""Limits the size of a body and the rate of requests of an API key.

All workers of a server share the counts of requests, in a memory-mapped file. A limit across servers is the task of a
gateway in front of them. No library is used, because the size of a body is checked while it arrives.
"""

import hashlib
import json
import math
import mmap
import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from email.message import Message
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
from starlette.datastructures import Headers
from starlette.types import Receive, Scope

from recsys.schemas.field_limits import unique_keys
from serving import metrics
from serving.api.errors import ApiError
from serving.middleware.shares import Shares

BURST_SECONDS = 2.0
SLOTS = 2**20  # numbers in the shared file, at the hash of a key's name; unused pages take no memory
BODIES = 16  # a worker holds at most as many bytes of bodies as this number of bodies of the largest size has
Doubles = npt.NDArray[np.float64]
READABLE = {(b"content-type", b"application/json")}  # the headers about the body of nearly every request
UTF8 = ("utf-8", "utf8", "us-ascii", "ascii")  # ASCII is a part of UTF-8


class BodyLimit:
    """Receives bodies of at most `max_bytes`. If all bodies in memory exceed `BODIES` times that, a request gets 503 if
    its API key holds at least the average number of these bytes."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._held = Shares()

    async def receive(self, headers: Mapping[bytes, bytes], receive: Receive, key: str) -> bytes | None:
        """Return the whole body; None if the client has disconnected. Call `release` when it is not used any more.

        Raises:
            ApiError: 413, the body is too large; 503, the worker holds too many bytes of bodies.
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
            if size:
                self._held.add(key, -size)

    def release(self, key: str, body: bytes) -> None:
        """Subtract a body that `receive` returned from the worker's total."""
        self._held.add(key, -len(body))

    def _too_large(self) -> ApiError:
        return ApiError(413, f"the body is larger than {self._max_bytes:,} bytes; send it in parts")


def check_readable(scope: Scope) -> None:
    """Check that the headers announce a body that the routes can read.

    Raises:
        ApiError: 415, the body is compressed, or not in UTF-8.
    """
    if READABLE.issuperset([each for each in scope["headers"] if each[0] in (b"content-type", b"content-encoding")]):
        return
    headers = Headers(scope=scope)
    encoding = headers.get("content-encoding", "identity").strip().lower()
    content_type = Message()
    content_type["content-type"] = headers.get("content-type", "")
    charset = (content_type.get_content_charset() or "utf-8").lower()
    if encoding not in ("", "identity") or charset not in UTF8:
        found = f"content-encoding {encoding!r:.40}" if charset in UTF8 else f"charset {charset!r:.40}"
        raise ApiError(415, f"{found}: send the body uncompressed, in UTF-8")


def check_unambiguous(scope: Scope, body: bytes) -> None:
    """Check that the path is UTF-8 and that no JSON object has a key twice, as parsers differ in which one they use.

    Raises:
        ApiError: 422 "the body: the key 'user_id' is twice in one object; send it once"
    """
    if "\ufffd" in scope["path"] and b"%ef%bf%bd" not in scope.get("raw_path", b"").lower():
        raise ApiError(422, "the path: not in UTF-8; percent-encode ids in UTF-8")
    if b"json" in dict(scope["headers"]).get(b"content-type", b""):
        try:
            with suppress(ValueError, RecursionError):  # the routes say what is wrong
                json.loads(body, object_pairs_hook=unique_keys)
        except KeyError as error:
            raise ApiError(
                422, f"the body: the key {error.args[0]!r:.80} is twice in one object; send it once"
            ) from None


class RateLimit:
    """Limits each API key to `rate` plain requests a second; a burst may use the requests of two seconds at once.

    A plain request is one for a list of 10 items; a more expensive one (`serving/service/costs.py`) is allowed, and
    delays the key's next requests. Requests without a key, such as probes, are not limited. Per key one number is
    stored: the time on `clock` at which a key that sends no more requests has used nothing of its rate. Source: the
    generic cell rate algorithm, ITU-T I.371.
    """

    def __init__(self, rate: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._burst_s = max(1.0, rate * BURST_SECONDS) / rate
        self._clock = clock
        self._paid_until = _shared_numbers()

    def charge(self, client: str) -> None:
        """Count a plain request of a key. Raises: ApiError: 429 with retry-after, the key is above its rate."""
        if wait := self._wait(client):
            raise ApiError(429, self._message(client), headers={"retry-after": str(math.ceil(wait))})

    def _wait(self, client: str) -> float:
        """Count a plain request and return 0; above the rate, return the seconds until one is allowed."""
        slot, now = _slot(client), self._clock()
        until = max(float(self._paid_until[slot]), now) + 1 / self._rate
        if (over := until - now - self._burst_s) > 1e-9:
            return over
        self._paid_until[slot] = until
        return 0.0

    def pay(self, client: str, cost: float) -> None:
        """Count a request as `cost` more requests. client: the name of its API key.

        Raises:
            ApiError: 429, because the client had sent more than its rate allows before.
        """
        slot, now = _slot(client), self._clock()
        if self._paid_until[slot] - now - self._burst_s > 1e-9:
            raise ApiError(429, self._message(client))
        self._paid_until[slot] = max(float(self._paid_until[slot]), now) + cost / self._rate

    def _message(self, client: str) -> str:
        return f"the key {client!r} sent more than {self._rate:g} requests a second, weighted by cost; send fewer"


@lru_cache
def _slot(client: str) -> int:
    return int.from_bytes(hashlib.sha256(client.encode()).digest()[:8]) % SLOTS


def _shared_numbers() -> Doubles:
    """Return (SLOTS,) float64, memory-mapped from a file of all workers of a server, or in the memory of a single one.
    Reads and writes of a number are atomic; if two workers write at the same time, one request is not counted."""
    folder = os.environ.get(metrics.FOLDER)
    if folder is None:
        return np.frombuffer(mmap.mmap(-1, 8 * SLOTS))
    with Path(folder, "rates").open("ab") as file:
        file.truncate(8 * SLOTS)
    with Path(folder, "rates").open("r+b") as file:
        return np.frombuffer(mmap.mmap(file.fileno(), 8 * SLOTS))
