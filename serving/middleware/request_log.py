"""The log with `RECSYS_LOG_FORMAT=json`: one line of JSON for each request, in place of an access log.

    {"time": "2026-03-01T12:00:00.123+00:00", "level": "INFO", "logger": "...", "request_id": "0f3c...",
     "caller_id": "shop-17", "client": "shop", "method": "POST", "route": "/v1/recommend", "status": 200, "ms": 2.31,
     "outcome": "full", "user": "9b1c0d5e7f2a4c68", "variant": "learned", "bundle": "3f1c9a7de2b40c55"}

caller_id: the header x-request-id of the request. It is not the request_id, which belongs to one list: a page of a shop
may send several requests with one x-request-id. user: hash of the user with RECSYS_LOG_KEY; absent without that key.
"""

import hashlib
import hmac
import json
import logging
import re
from datetime import UTC, datetime
from typing import Any

from starlette.types import Scope

from serving.api.schemas import Answer, RecommendRequest
from serving.settings import Settings

log = logging.getLogger(__name__)

CALLER_ID = re.compile(rb"[\w.:/+=@-]{1,128}", re.ASCII)
USER_DIGITS = 16
ROUTE = re.compile(
    r"/(v1/(recommend(:batch)?|similar|rank|about|events|items|identity/merge|users)|healthz|readyz|metrics|docs"
    r"|openapi\.json|console(/(event|static|users|items|why|releases|experiments|health|data))?)(?![^/?])"
)


class JsonLines(logging.Formatter):
    """Formats a log record as one line of JSON; if its message is a dict, its items become fields."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line without a line break."""
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line: dict[str, Any] = {"time": moment, "level": record.levelname, "logger": record.name}
        line |= record.msg if isinstance(record.msg, dict) else {"message": record.getMessage()}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


class RequestLog:
    """Logs a share of the requests, selected by their ids, and all whose status is 500 or higher."""

    def __init__(self, settings: Settings) -> None:
        self._key, self._share = settings.log_key.encode(), settings.log_share

    def __call__(self, scope: Scope, route: str, status: int, seconds: float) -> None:
        """Log a request after its response was sent. scope: ASGI scope; seconds: its duration."""
        state = scope.get("state", {})
        request_id = state.get("request_id", "")
        if status < 500 and int(request_id[-8:] or "0", 16) >= self._share * 2**32:
            return
        line = {"request_id": request_id, "caller_id": _caller_id(scope), "client": state.get("client")}
        line |= {"method": scope["method"], "route": route}
        line |= {"status": status, "ms": round(seconds * 1e3, 3), "outcome": _refusal(status)}
        work = state.get("work")
        for request, answer in work.served if work is not None else ():
            line |= {"user": self._hash(request), "variant": answer.meta.variant, "bundle": answer.meta.bundle_id}
            line["outcome"] = _outcome(answer)
        if work is not None and len(work.served) > 1:  # a batch: leave out fields that differ between its lists
            line |= {"lists": len(work.served), "user": None, "variant": None}
        log.info({name: value for name, value in line.items() if value is not None})

    def _hash(self, request: RecommendRequest) -> str | None:
        who = request.user_id or request.anonymous_id
        if who is None or not self._key:
            return None
        return hmac.new(self._key, who.encode(), hashlib.sha256).hexdigest()[:USER_DIGITS]


def without_ids(path: str) -> str:
    """Return a path for a log, shortened to its route, because the rest may be the id of a person.

    >>> without_ids("/v1/recommend/anna?k=3"), without_ids("/v1/rank"), without_ids("/anna")
    ('/v1/recommend/...', '/v1/rank', '/...')
    """
    match = ROUTE.match(path)
    route = match[0] if match else ""
    return route + ("/..." if path[len(route) :].split("?")[0] else "")


def _outcome(answer: Answer) -> str:
    return "degraded" if answer.meta.degraded else "fallback" if answer.meta.fallback else "full"


def _refusal(status: int) -> str:
    if status < 400:
        return "done"
    return "refused" if status < 500 else "unavailable" if status == 503 else "error"


def _caller_id(scope: Scope) -> str | None:
    for name, value in scope["headers"]:
        if name == b"x-request-id" and CALLER_ID.fullmatch(value):
            return str(value, "ascii")
    return None
