"""Checks API keys. Every path needs a scope; those that are not listed here need `admin`."""

import base64
import logging
from contextlib import suppress
from typing import Any

from fastapi import FastAPI
from starlette.types import Scope as Connection

from serving import api_keys
from serving.api import errors
from serving.api.errors import ApiError
from serving.api_keys import Scope
from serving.settings import Settings

log = logging.getLogger(__name__)

OPEN = ("/", "/healthz", "/readyz")
METRICS = "/metrics"
SIGN_IN = 'Basic realm="Console: any user name, and a key of the scope admin as password", charset="UTF-8"'
SCOPES = {
    "/v1/about": Scope.RECOMMEND,
    "/v1/recommend": Scope.RECOMMEND,
    "/v1/similar": Scope.RECOMMEND,
    "/v1/rank": Scope.RECOMMEND,
    "/v1/events": Scope.EVENTS,
    "/v1/identity/merge": Scope.EVENTS,
    "/api/recommend": Scope.RECOMMEND,
    "/api/feedback": Scope.EVENTS,
}


def scope_of(path: str) -> Scope:
    """Return the scope that a path needs. `/v1/recommend:batch` and `/v1/recommend/u1` need that of `/v1/recommend`.

    >>> scope_of("/v1/recommend:batch").value, scope_of("/v1/recommended").value, scope_of("/docs").value
    ('recommend', 'admin', 'admin')
    """
    for start, scope in SCOPES.items():
        if path == start or path.startswith((start + "/", start + ":")):
            return scope
    return Scope.ADMIN


class ApiKeys:
    """Checks the API key of a request. While no keys are configured, as in development, every request is allowed."""

    def __init__(self, settings: Settings) -> None:
        self._accepted = api_keys.KeyFile(settings.api_keys).now
        self._open = {*OPEN, METRICS} if settings.open_metrics else set(OPEN)
        if not self._accepted():
            log.warning("no API keys are configured, so every request is allowed; set RECSYS_API_KEYS to change that")

    def check(self, scope: Connection) -> str | None:
        """Return the name of the request's key; None if it needs no key. scope: the ASGI scope of the request.

        Raises:
            ApiError: 401, there is no valid key; 403, the key does not have the needed scope.
        """
        accepted, path = self._accepted(), scope["path"]
        if not accepted or path in self._open:
            return None
        wanted = scope_of(path)
        key = api_keys.find(accepted, _presented(scope))
        if key is None:
            sign_in = {"www-authenticate": SIGN_IN if _in_console(path) else "Bearer"}
            raise ApiError(401, "no valid key; send one in the header authorization: Bearer <key>", headers=sign_in)
        if wanted not in key.scopes:
            raise ApiError(403, f"the key of {key.name!r} does not have the scope {wanted.value!r}")
        return key.name


def document(app: FastAPI) -> None:
    """Add to the OpenAPI document the scope that each operation needs, and the errors that the front controller may
    answer before it: 401, 403, 429, for a request with a body also 413 and 415."""
    describe = app.openapi

    def described() -> dict[str, Any]:
        fresh = app.openapi_schema is None
        document = describe()
        if fresh:
            scheme = {"type": "http", "scheme": "bearer", "description": "A key; not needed where none is configured."}
            document["components"]["securitySchemes"] = {"key": scheme}
            for path, methods in document["paths"].items():
                for operation in methods.values() if path not in OPEN else ():
                    operation["security"] = [{"key": [scope_of(path).value]}]
                    statuses = (401, 403, 413, 415, 429) if "requestBody" in operation else (401, 403, 429)
                    operation["responses"] |= {str(status): _documented(status) for status in statuses}
        return document

    app.openapi = described  # type: ignore[method-assign]


def _documented(status: int) -> dict[str, Any]:
    described = errors.documented(status)[status]
    content = described["content"]["application/json"] | {"schema": {"$ref": "#/components/schemas/ErrorBody"}}
    return {"description": described["description"], "content": {"application/json": content}}


def _presented(scope: Connection) -> str:
    for name, value in scope["headers"]:
        if name == b"authorization" and value[:7].lower() == b"bearer ":
            presented: str = value[7:].decode("latin-1")
            return presented
        if name == b"x-api-key" and scope["path"].startswith("/api/"):
            return str(value, "latin-1")
        if name == b"authorization" and value[:6].lower() == b"basic " and _in_console(scope["path"]):
            with suppress(ValueError):  # a browser sends the key as the password of any user
                return base64.b64decode(value[6:], validate=True).decode("latin-1").partition(":")[2]
    return ""


def _in_console(path: str) -> bool:
    return path == "/console" or path.startswith("/console/")
