"""Cheap answers first, then 503; a hiccup is no overload; probes always pass."""

import asyncio
from typing import Any

import pytest
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from serving.front import FrontController
from serving.middleware.load_shedding import LOOKS, Load
from serving.middleware.shares import NO_KEY, Shares
from serving.process import MemoryReserve
from serving.settings import Settings


def test_requests_decide() -> None:
    load = Load(shed_requests=10, shed_s=0.1)
    states = []
    for requests in (10, 11, 100, 101):
        load.requests = Shares()
        load.requests.add(NO_KEY, requests)
        states.append((load.sheds(NO_KEY), load.refuses(NO_KEY)))
    assert states == [(False, False), (True, False), (True, False), (True, True)]


def test_a_loop_that_is_late_at_every_look_is_a_queue_and_one_that_was_late_once_is_not() -> None:
    load = Load(shed_requests=10, shed_s=0.1)
    load.looked(5.0)
    assert not load.busy
    for _ in range(LOOKS - 1):
        load.looked(0.2)
    assert (load.sheds(NO_KEY), load.refuses(NO_KEY)) == (True, False)
    for _ in range(LOOKS):
        load.looked(1.1)
    assert load.refuses(NO_KEY)
    load.looked(0.0)
    assert not load.busy


def test_the_watch_measures_how_late_the_loop_is() -> None:
    load = Load(shed_requests=10, shed_s=0.1)

    async def block() -> None:
        import time

        watching = asyncio.create_task(load.watch())
        for _ in range(LOOKS + 2):
            await asyncio.sleep(0)
            time.sleep(0.12)
            await asyncio.sleep(0.01)
        watching.cancel()

    asyncio.run(block())
    assert load.delay_s > 0


SCOPE = {"type": "http", "path": "/v1/recommend", "method": "GET", "headers": []}


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    await PlainTextResponse("served")(scope, receive, send)


def get(load: Load, path: str) -> tuple[int, dict[bytes, bytes], bytes]:
    sent: list[Any] = []

    async def ask() -> None:
        async def send(message: Any) -> None:
            sent.append(message)

        scope = {**SCOPE, "path": path}
        await FrontController(app, Settings(), load, MemoryReserve())(scope, None, send)  # type: ignore[arg-type]

    asyncio.run(ask())
    return sent[0]["status"], dict(sent[0]["headers"]), sent[1]["body"]


@pytest.mark.parametrize("path", ["/v1/recommend", "/v1/events"])
def test_a_refusal_says_when_to_come_back(path: str) -> None:
    load = Load(shed_requests=1, shed_s=0.1)
    load.requests.add(NO_KEY, 9)  # and this one
    assert get(load, path)[0] == 200
    load.requests.add(NO_KEY, 1)
    status, headers, body = get(load, path)
    assert (status, headers[b"retry-after"]) == (503, b"1")
    assert b"the worker is overloaded" in body
    assert load.requests.total == 10


def test_who_arrives_together_is_counted_before_the_first_is_answered() -> None:
    load = Load(shed_requests=2, shed_s=0.1)
    found = []

    async def look(*_: Any) -> None:
        found.append((load.requests.total, load.sheds(NO_KEY)))

    front = FrontController(look, Settings(), load, MemoryReserve())

    async def arrive() -> None:
        scopes = [dict(SCOPE) for _ in range(4)]
        await asyncio.gather(*(front(scope, None, None) for scope in scopes))  # type: ignore[arg-type]

    asyncio.run(arrive())
    assert found == [(4, True), (3, True), (2, False), (1, False)]


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
def test_probes_always_pass(path: str) -> None:
    load = Load(shed_requests=1, shed_s=0.1)
    load.requests.add(NO_KEY, 1000)
    assert get(load, path)[0] == 200


def test_a_request_that_raises_is_counted_out_again() -> None:
    load, statuses = Load(shed_requests=1, shed_s=0.1), []

    async def broken(*_: Any) -> None:
        assert load.requests.total == 1
        raise RuntimeError("broken on purpose")

    async def send(message: Any) -> None:
        statuses.append(message.get("status"))

    asyncio.run(FrontController(broken, Settings(), load, MemoryReserve())(dict(SCOPE), None, send))  # type: ignore[arg-type]
    assert (load.requests.total, statuses) == (0, [500, None])
