"""Open-loop traffic: requests leave when their time has come, whether or not the ones before were answered.

A client that waits for each answer sends less just when the server is slow, and so hides it. Latency counts from the
moment at which a request was due (Tene, "How NOT to measure latency", 2015).
"""

import asyncio
import gc
import json
import math
import random
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import numpy as np

MAX_CONNECTIONS = 500
GIVE_UP_SECONDS = 12.0  # the API ends every request within 10


@dataclass(frozen=True)
class Reply:
    """due: seconds since the start; ms: from then to the last byte; status 0 is no answer at all; sent: the request."""

    due: float
    path: str
    status: int
    ms: float
    body: dict[str, Any]
    sent: dict[str, Any] = field(default_factory=dict)


class Traffic:
    """Poisson arrivals at `rate` a second for `seconds`."""

    def __init__(self, port: int, requests: Iterator[tuple[str, dict[str, Any]]], headers: str = "") -> None:
        self._port, self._requests, self._headers = port, requests, headers
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self._open = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self.replies: list[Reply] = []

    async def run(self, rate: float, seconds: float, seed: int = 1) -> list[Reply]:
        """Send; returns when everything was answered or given up."""
        requests = chain([next(self._requests)], self._requests)  # whoever makes the first one may read files
        with no_collection():
            chance, start, due = random.Random(seed), time.perf_counter(), 0.0
            while (due := due + chance.expovariate(rate)) < seconds:
                path, body = next(requests)
                if (wait := start + due - time.perf_counter()) > 0:
                    await asyncio.sleep(wait)
                task = asyncio.create_task(self._send(start, due, path, body))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            await self.finish()
        return sorted(self.replies, key=lambda reply: reply.due)

    async def finish(self) -> None:
        """Wait for the answers that are under way, then close all connections."""
        await asyncio.gather(*self._tasks)
        for _, writer in self._idle:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def _send(self, start: float, due: float, path: str, body: dict[str, Any]) -> None:
        status, answer = 0, dict[str, Any]()
        try:
            async with asyncio.timeout(GIVE_UP_SECONDS):
                status, answer = await self._ask(path, body)
        except (OSError, TimeoutError, asyncio.IncompleteReadError, ValueError) as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        self.replies.append(Reply(due, path, status, (time.perf_counter() - start - due) * 1e3, answer, body))

    async def _ask(self, path: str, body: dict[str, Any], again: bool = True) -> tuple[int, dict[str, Any]]:
        reused = bool(self._idle) and again
        if reused:
            reader, writer = self._idle.pop()
        elif self._open >= MAX_CONNECTIONS:
            raise OSError("the client has no connection left")
        else:
            self._open += 1
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
            except OSError:
                self._open -= 1
                raise
        try:
            data = json.dumps(body).encode()
            head = f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n{self._headers}"
            writer.write(f"{head}content-length: {len(data)}\r\n\r\n".encode() + data)
            lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower().split("\r\n")
            length = next(int(line.partition(":")[2]) for line in lines if line.startswith("content-length"))
            answer: dict[str, Any] = json.loads(await reader.readexactly(length))
            status, close = int(lines[0].split()[1]), "connection: close" in lines
        except (OSError, asyncio.IncompleteReadError) as error:
            self._drop(writer)
            if reused and again and getattr(error, "partial", b"") == b"":
                return await self._ask(path, body, again=False)  # an idle connection was closed by the server
            raise
        except BaseException:
            self._drop(writer)
            raise
        if close:
            self._drop(writer)
        else:
            self._idle.append((reader, writer))
        return status, answer

    def _drop(self, writer: asyncio.StreamWriter) -> None:
        self._open -= 1
        writer.close()


@contextmanager
def no_collection() -> Iterator[None]:
    """Without Python's garbage collection: with the answers of minutes in memory one collection stops the client for
    half a second, and that would count as the server's."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def summary(replies: list[Reply], k: int = 10) -> dict[str, Any]:
    """Counts by status, share of success, milliseconds, and what the answers to recommend looked like.

    Success is 2xx, or a 503 that was shed on purpose is counted apart; an answer is useful when it has k items.
    """
    asked = [reply for reply in replies if reply.path == "/v1/recommend"]
    answered = [reply for reply in asked if reply.status == 200]
    ms = np.array([reply.ms for reply in replies if 200 <= reply.status < 300] or [np.nan])
    shed = sum(reply.status == 503 for reply in replies)
    metas = [reply.body["meta"] for reply in answered]
    return {
        "requests": len(replies),
        "statuses": dict(sorted(Counter(str(reply.status) for reply in replies).items())),
        "success": round(sum(200 <= reply.status < 300 for reply in replies) / max(len(replies), 1), 5),
        "shed_503": shed,
        "other_5xx_or_no_answer": sum(reply.status == 0 or reply.status >= 500 for reply in replies) - shed,
        "ms": {name: round(float(np.percentile(ms, at)), 2) for name, at in PERCENTILES.items()},
        "recommend": {
            "answered": len(answered),
            "mean_ms": split(answered),
            "useful": sum(len(reply.body["items"]) == k for reply in answered),
            "degraded": sum(meta["degraded"] for meta in metas),
            "fallback_reasons": dict(Counter(str(meta["fallback_reason"]) for meta in metas)),
            "bundles": dict(Counter(meta["bundle_id"] for meta in metas)),
        },
    }


def split(answered: list[Reply]) -> dict[str, float]:
    """Where the time of an answer goes: the model's steps, the store, the rest of the API, and all that lies outside.

    outside: network, waiting for a free worker, and the client itself.
    """
    if not answered:
        return {}
    parts = {"model": 0.0, "store": 0.0, "api": 0.0, "outside": 0.0}
    for reply in answered:
        timings = reply.body["meta"]["timings_ms"]
        store, total = timings.get("store", 0.0), timings["total"]
        model = sum(ms for name, ms in timings.items() if name not in ("store", "total"))
        for name, ms in (
            ("model", model),
            ("store", store),
            ("api", total - model - store),
            ("outside", reply.ms - total),
        ):
            parts[name] += ms / len(answered)
    return {name: round(ms, 3) for name, ms in parts.items()}


PERCENTILES = {"p50": 50, "p95": 95, "p99": 99, "max": 100}


def recovered_after(replies: list[Reply], began: float, ended: float, window: float = 5.0) -> float | None:
    """Seconds from the end of a fault until `window` seconds begin that have no more failed and degraded answers than
    such a window had before the fault, on average; None if they never do. began, ended: when, in seconds."""
    bad = sorted(
        reply.due for reply in replies if not 200 <= reply.status < 300 or reply.body.get("meta", {}).get("degraded")
    )
    usual = math.ceil(sum(due < began for due in bad) * window / began)
    for start in [ended, *(due for due in bad if due > ended)]:
        if start + window > max(reply.due for reply in replies):
            break
        if sum(start < due <= start + window for due in bad) <= usual:
            return round(start - ended, 2)
    return None
