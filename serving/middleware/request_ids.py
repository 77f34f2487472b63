"""Gives every request an id and turns unexpected exceptions into a 500 with the usual body. Plain ASGI."""

import logging
import re
from collections.abc import Callable
from uuid import uuid4

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.api import errors

log = logging.getLogger(__name__)

ROUTE = re.compile(
    r"/(v1/(recommend(:batch)?|similar|rank|about|events|items|identity/merge|users)|healthz|readyz|metrics|docs"
    r"|openapi\.json|console(/(event|static|users|items|why|releases|experiments|health|data))?)(?![^/?])"
)


def without_ids(path: str) -> str:
    """Shorten a path for a log to its route, without any part that may be the id of a person.

    >>> without_ids("/v1/recommend/anna?k=3"), without_ids("/v1/rank"), without_ids("/anna")
    ('/v1/recommend/...', '/v1/rank', '/...')
    """
    match = ROUTE.match(path)
    route = match[0] if match else ""
    return route + ("/..." if path[len(route) :].split("?")[0] else "")


class WithoutIds(logging.Filter):
    """Keeps ids of people out of the access log: only the route of a path is written, and no query."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Shorten the path in uvicorn's record: client, method, path with query, version, status."""
        if isinstance(record.args, tuple) and len(record.args) == 5:
            client, method, path, *rest = record.args
            record.args = (client, method, without_ids(str(path)), *rest)
        return True


class RequestIds:
    """Sets `request.state.request_id` for the routes and the header `x-request-id` of the response.

    While the process is about to end, also `connection: close`.
    """

    def __init__(self, app: ASGIApp, leaving: Callable[[], bool] = lambda: False) -> None:
        self.app = app
        self._leaving = leaving

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id = uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id
        started = False

        async def send_with_id(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                message["headers"] = [*message["headers"], (b"x-request-id", request_id.encode())]
                if self._leaving():
                    message["headers"].append((b"connection", b"close"))
            await send(message)

        try:
            await self.app(scope, receive, send_with_id)
        except Exception:
            log.exception("request %s failed: %s %s", request_id, scope["method"], without_ids(scope["path"]))
            if started:
                raise
            answer = errors.response(500, "something failed here; it was logged under this request_id", request_id)
            await answer(scope, receive, send_with_id)
