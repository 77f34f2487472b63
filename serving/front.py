"""The steps of every HTTP request, in plain ASGI: id -> API key -> rate -> body -> load -> route -> metrics.

A request with a valid JSON body for a route of `serving/routes/recommend.py` calls its endpoint directly. All others
go through FastAPI, which takes longer than computing a list of popular items, and which answers every invalid request.
"""

import asyncio
import logging
import os
import time
from collections.abc import Callable, Iterable
from functools import partial
from time import perf_counter
from typing import Any

from fastapi import Request
from fastapi.routing import APIRoute
from opentelemetry import trace
from pydantic import ValidationError
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving import metrics
from serving.api import errors
from serving.api.errors import ApiError
from serving.encoding import to_json
from serving.middleware.auth import ApiKeys
from serving.middleware.limits import BodyLimit, RateLimit, check_readable, check_unambiguous
from serving.middleware.load_shedding import NEVER_REFUSED, Load, Work
from serving.middleware.request_log import RequestLog, without_ids
from serving.middleware.shares import NO_KEY
from serving.process import MemoryReserve
from serving.settings import Settings
from serving.stores.protocol import StoreError

log = logging.getLogger(__name__)

JSON = b"application/json"
INTERNAL = "internal error; the server's log has the details under this request_id"
OUT_OF_MEMORY = "this worker has no memory left, and is replaced; send the request again"


class FrontController:
    """Checks every request, then calls its route. app: FastAPI; memory: what to free when there is no more; direct:
    routes to call without FastAPI; leaving: returns whether the process is shutting down. It sets in `request.state`:
    request_id, client (name of the API key, if any), work (a `Work`, which counts the cost of the request)."""

    def __init__(
        self,
        app: ASGIApp,
        settings: Settings,
        load: Load,
        memory: MemoryReserve,
        direct: Iterable[BaseRoute] = (),
        leaving: Callable[[], bool] = lambda: False,
    ) -> None:
        self._app, self._load, self._leaving = app, load, leaving
        self._traces = settings.traces
        self._memory = memory
        self._direct: dict[str, tuple[APIRoute, Callable[[bytes], Any]]] = {
            route.path: (route, route.body_field.field_info.annotation.__pydantic_validator__.validate_json)  # type: ignore[union-attr]
            for route in direct
            if isinstance(route, APIRoute) and route.body_field
        }
        self._keys = ApiKeys(settings)
        self._rates = RateLimit(settings.rate_limit) if settings.rate_limit else None
        self._bodies = BodyLimit(settings.max_body_bytes)
        self._log = RequestLog(settings) if settings.log_format == "json" else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, request_id = perf_counter(), new_id()
        scope.setdefault("state", {})["request_id"] = request_id
        reply = Reply(scope, send, self._leaving())
        try:
            await self._answer(scope, receive, reply)
        except (ApiError, StoreError) as error:
            await errors.response_to(error, request_id)(scope, receive, reply)
        except Exception as error:
            log.exception("request %s failed: %s %s", request_id, reply.method, without_ids(scope["path"]))
            if reply.status is not None:
                raise
            if isinstance(error, MemoryError):
                answer = errors.response(503, OUT_OF_MEMORY, request_id)
            else:
                answer = errors.response(500, INTERNAL, request_id)
            await answer(scope, receive, reply)
        finally:
            route, seconds = getattr(scope.get("route"), "path_format", "none"), perf_counter() - started
            status = reply.status or 500
            metrics.request(reply.method, route, status, seconds)
            if self._log is not None:
                self._log(scope, route, status, seconds)

    async def _answer(self, scope: Scope, receive: Receive, reply: "Reply") -> None:
        """Check the request, then answer it. Raises: ApiError: it is refused."""
        state, headers = scope["state"], dict(scope["headers"])
        client = self._keys.check(scope)
        if client is not None:
            state["client"] = client
            if self._rates is not None:
                self._rates.charge(client)
                state["pay"] = partial(self._rates.pay, client)
        key = client or NO_KEY
        body = await self._bodies.receive(headers, receive, key)
        if body is None:
            return  # the client has gone
        state["work"] = work = Work(self._load, key, state.get("pay"))
        try:
            if scope["path"] not in NEVER_REFUSED:
                work.set_load(1)
                await asyncio.sleep(0)  # so that all requests that have arrived are counted before one is answered
                work.check()
            check_readable(scope)
            plain = scope["method"] == "POST" and headers.get(b"content-type") == JSON
            direct = self._direct.get(scope["path"]) if plain else None
            if direct is not None and await self._answered(*direct, body, scope, reply):
                return
            check_unambiguous(scope, body)
            if scope["method"] == "HEAD":
                scope["method"] = "GET"  # the same route; `Reply` leaves out the body
            await self._app(scope, _again(body, receive), reply)
        finally:
            work.set_load(0)
            self._bodies.release(key, body)

    async def _answered(
        self, route: APIRoute, read: Callable[[bytes], Any], body: bytes, scope: Scope, reply: "Reply"
    ) -> bool:
        """Answer a request by calling the endpoint of its route; return False, with no answer, if its body is invalid.
        read: reads the body and validates it."""
        try:
            asked = read(body)
        except ValidationError:
            return False
        if body.count(b":") != len(asked.model_fields_set):  # otherwise each key has one colon: none is there twice
            check_unambiguous(scope, body)
        scope["route"] = route
        if self._traces:
            span = trace.get_current_span()  # FastAPI names it where it finds the route itself
            span.update_name(f"POST {route.path}")
            span.set_attribute("http.route", route.path)
        try:
            content = to_json(await route.endpoint(asked, Request(scope)))
        except MemoryError:
            if not self._memory.free():
                raise
            content = to_json(await route.endpoint(asked, Request(scope)))
        await reply.json(content)
        return True


def new_id() -> str:
    """Return 32 hex digits that begin with the time in ms: new ids sort last in an index. Source: RFC 9562, UUID 7."""
    return f"{time.time_ns() // 1_000_000:012x}{os.urandom(10).hex()}"


class Reply:
    """Sends the response with the header `x-request-id`, and with `connection: close` while the process shuts down.
    method: that of the request; status: that of the response, None before it is sent.
    """

    __slots__ = ("_headers", "_scope", "_send", "method", "status")

    def __init__(self, scope: Scope, send: Send, leaving: bool) -> None:
        self._scope, self._send, self.method = scope, send, scope["method"]
        self._headers = [(b"x-request-id", scope["state"]["request_id"].encode())]
        if leaving:
            self._headers.append((b"connection", b"close"))
        self.status: int | None = None

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [*message["headers"], *self._headers]
            self._scope["method"] = self.method  # uvicorn must see HEAD again, not the GET that was routed
        elif self.method == "HEAD":
            message = {**message, "body": b""}
        await self._send(message)

    async def json(self, content: bytes) -> None:
        """Send a whole response with the status 200."""
        self.status = 200
        headers = [(b"content-length", b"%d" % len(content)), (b"content-type", JSON), *self._headers]
        await self._send({"type": "http.response.start", "status": 200, "headers": headers})
        await self._send({"type": "http.response.body", "body": content})


def _again(body: bytes, receive: Receive) -> Receive:
    """Return an ASGI `receive` that yields the received body again, then the later messages."""
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return waiting.pop() if waiting else await receive()

    return again
