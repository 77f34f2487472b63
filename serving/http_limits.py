"""uvicorn's HTTP/1.1 protocol (httptools) with limits on the size of a request and the time a client may take.

uvicorn limits the size of the head (the request line and headers) only with h11, and the time only of idle connections.
Here every connection has a `deadline` by which its client must have sent a head, sent a body, or read its answer. It is
checked twice a second.
"""

import asyncio
from heapq import nsmallest
from resource import RLIMIT_NOFILE, getrlimit
from typing import Any

from prometheus_client import Counter
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from serving.process import DESCRIPTORS, free_files
from serving.settings import Settings

MAX_HEAD_BYTES = 65_536
LOOK_SECONDS = 0.5
READ_SECONDS = 0.05
LINGER_SECONDS, LINGER_BYTES = 1.0, 1_000_000  # what a refused client may still send before it reads the answer
LEAVE_SECONDS = 1.0  # for a request that arrives while the server shuts down
RESERVED_FILES = 128  # file descriptors that are surely enough for all but connections: bundles, stores, watched files
SPARE_FILES = 4  # where there are fewer: for files that are opened in the meantime
LEAST_CONNECTIONS = 8
CROWDED = 0.75  # of the connections that there may be: from there on, each ends with its answer, before it must be cut
NEVER = float("inf")
TOO_LARGE = b"the head of the request is larger than 65,536 bytes"

CLOSED = Counter("recsys_connections_closed", "Connections closed on a client that broke a limit", ["limit"])


class HeadTooLargeError(Exception):
    """Ends the parsing of a request, as its head is too large."""


class LimitedHttp(HttpToolsProtocol):
    """The protocol of one connection, with the limits of `settings`. deadline: event-loop time by which the client must
    act; NEVER: no limit."""

    def __init__(self, *arguments: Any, settings: Settings, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self._settings = settings
        self.deadline = NEVER
        self.idle = False
        self._in_body = self._refused = False
        self._received = 0  # bytes since the last request or its head ended
        self._head = 0  # bytes of the parsed parts of the head, and of the trailers of a body in chunks

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect(self._settings.receive_seconds)
        self._make_room()
        self._look_again = self.loop.call_later(LOOK_SECONDS, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        self._look_again.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._received += len(data)
        if self._refused:
            if self._received > LINGER_BYTES:
                self.transport.abort()
            return
        super().data_received(data)
        if (
            self._received > MAX_HEAD_BYTES + (self._settings.max_body_bytes if self._in_body else 0)
            and self.deadline < NEVER
        ):
            if self._in_body:
                self._close("body bytes")
            else:
                self.send_400_response("")

    def send_400_response(self, msg: str) -> None:
        """Answer 400, or 431 if the head was too large, and let the client read it before the connection ends."""
        if self._head <= MAX_HEAD_BYTES and self._received <= MAX_HEAD_BYTES:
            super().send_400_response(msg)
        elif not self._refused:
            CLOSED.labels("head bytes").inc()
            self._refused, self._received = True, 0
            head = f"HTTP/1.1 431 \r\ncontent-type: text/plain\r\ncontent-length: {len(TOO_LARGE)}\r\nconnection: close"
            self.transport.write(head.encode() + b"\r\n\r\n" + TOO_LARGE)
            self._expect(LINGER_SECONDS)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._received = self._head = 0
        self._in_body = False
        self._expect(self._settings.receive_seconds)

    def on_url(self, url: bytes) -> None:
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._head += len(name) + len(value) + 4  # as `_count`, without a call for each header
        if self._head > MAX_HEAD_BYTES:
            raise HeadTooLargeError
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._in_body, self._received = True, 0
        self._expect(self._settings.receive_seconds)
        super().on_headers_complete()
        if len(self.connections) > CROWDED * self._room():
            self.cycle.keep_alive = False

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._in_body, self._received = False, 0
        if self.cycle.response_complete:
            self._wait()
        else:
            self.deadline = NEVER

    def on_response_complete(self) -> None:
        if self.pipeline:
            self.deadline = NEVER
        elif not self._in_body:  # otherwise the time limit of the body stays
            self._wait()
        super().on_response_complete()
        if self.flow.write_paused:
            self._expect(self._settings.receive_seconds)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._expect(self._settings.receive_seconds)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self.cycle.response_complete and not self._in_body:
            self._wait()
        elif not self._in_body:
            self.deadline = NEVER

    def shutdown(self) -> None:
        """Close an idle connection within a second; answer running requests, with the header `connection: close`."""
        if self.cycle and not self.cycle.response_complete and not self._in_body:
            self.cycle.keep_alive = False
        else:
            self.deadline = min(self.deadline, self.loop.time() + LEAVE_SECONDS)

    def _count(self, size: int) -> None:
        self._head += size
        if self._head > MAX_HEAD_BYTES:
            raise HeadTooLargeError

    def _expect(self, seconds: float) -> None:
        self.deadline, self.idle = self.loop.time() + seconds, False

    def _wait(self) -> None:
        """Mark the connection as idle, and set the deadline by which the next request must begin."""
        self.deadline, self.idle = self.loop.time() + self.timeout_keep_alive, True

    def _look(self, again: bool = False) -> None:
        ours_to_move = self.flow.read_paused and not self.flow.write_paused
        if self.loop.time() < self.deadline or ours_to_move:
            self._look_again = self.loop.call_later(LOOK_SECONDS, self._look)
        elif again:
            self._close("idle" if self.idle else "time")
        else:  # if this process was blocked, data of the client may have arrived that it did not read yet
            self._look_again = self.loop.call_later(READ_SECONDS, self._look, True)

    def _room(self) -> int:
        """The number of connections that this process may have."""
        most = self._settings.max_connections
        if getrlimit(RLIMIT_NOFILE)[0] < most + RESERVED_FILES:
            DESCRIPTORS.look()
            most = min(most, max(len(self.connections) + free_files() - SPARE_FILES, LEAST_CONNECTIONS))
        return most

    def _make_room(self) -> None:
        """Above the limit, close connections with the earliest deadlines: first those that have been within a request
        for a second, then idle ones."""
        room = self._room()
        if len(self.connections) > room:
            others = [each for each in self.connections if isinstance(each, LimitedHttp) and each.deadline < NEVER]
            just_now = self.loop.time() + self._settings.receive_seconds - 1
            longest = nsmallest(
                len(self.connections) - room + room // 20,
                others,
                key=lambda each: (not each.idle and each.deadline > just_now, each.idle, each.deadline),
            )
            for each in longest:
                each._close("connections")

    def _close(self, limit: str) -> None:
        if limit != "idle":
            CLOSED.labels(limit).inc()
        self.transport.abort()
