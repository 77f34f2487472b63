"""One body for every error: {"error": {"code", "message", "field", "request_id"}}."""

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from recsys.errors import validator_message
from serving.api import examples
from serving.stores.protocol import StoreError, UnknownOutcomeError

log = logging.getLogger(__name__)

CODES = {
    413: "too_large",
    422: "invalid_request",
    429: "too_many_requests",
    500: "internal",
    503: "not_ready",
    504: "outcome_unknown",
}
NOT_STORED = "the store cannot be reached; nothing of this request was stored, send it again"
UNKNOWN = (
    "the store stopped answering during the write: all of this request was stored, or nothing; send it again:"
    " events with the same event_id count as duplicates"
)


class Problem(BaseModel):
    """An error: a fixed code, a message for people, and the field of the request that caused it, if any."""

    code: str
    message: str
    field: str | None
    request_id: str


class ErrorBody(BaseModel):
    """The body of every error response."""

    error: Problem


class ApiError(Exception):
    """Ends a request with an HTTP status and a message for the client. field: the field of the request at fault."""

    def __init__(
        self, status: int, message: str, field: str | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.field = field
        self.headers = headers or {}


def response(status: int, message: str, request_id: str, field: str | None = None) -> JSONResponse:
    """Return an error response; those that a client may repeat have the header retry-after."""
    code = CODES.get(status) or HTTPStatus(status).name.lower()
    body = ErrorBody(error=Problem(code=code, message=message, field=field, request_id=request_id))
    return JSONResponse(body.model_dump(), status, headers={"retry-after": "1"} if status in (429, 503, 504) else None)


def response_to(error: ApiError | StoreError, request_id: str) -> JSONResponse:
    """Return the response for an exception that ended a request; log it if it is a StoreError."""
    if isinstance(error, ApiError):
        answer = response(error.status, error.message, request_id, error.field)
        answer.headers.update(error.headers)
        return answer
    log.error("request %s: %s", request_id, error)
    unknown = isinstance(error, UnknownOutcomeError)
    return response(504 if unknown else 503, UNKNOWN if unknown else NOT_STORED, request_id)


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the part of the OpenAPI document that lists the errors of a route, each with an example."""
    return {
        status: {
            "model": ErrorBody,
            "description": HTTPStatus(status).phrase,
            "content": {"application/json": {"example": examples.ERRORS[status]}},
        }
        for status in statuses
    }


def handle(app: FastAPI) -> None:
    """Add handlers that answer all expected errors with `ErrorBody`; `serving/front.py` catches the others."""

    async def on_error(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, ApiError | StoreError)
        return response_to(error, request.state.request_id)

    app.add_exception_handler(ApiError, on_error)
    app.add_exception_handler(StoreError, on_error)

    @app.exception_handler(RequestValidationError)
    async def on_invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        field, message = _first(error)
        return response(422, message, request.state.request_id, field)

    @app.exception_handler(HTTPException)
    async def on_http(request: Request, error: HTTPException) -> JSONResponse:
        if error.status_code == 400:  # raised by FastAPI for a body that cannot be decoded
            return response(422, "the body is not valid JSON in UTF-8; correct it", request.state.request_id)
        where = f"{request.method} {request.url.path}: {error.detail}; the routes are listed at /docs"
        answer = response(error.status_code, where, request.state.request_id)
        answer.headers.update(error.headers or {})
        return answer


def problem(error: Mapping[str, Any], skipped: int) -> tuple[str | None, str]:
    """Return field and message of an item of pydantic's `errors()`; the field is None if the whole body is at fault.
    skipped: number of leading parts of the item's location that are not in the name of the field.
    """
    field = ".".join(str(part) for part in error["loc"][skipped:]) or None
    message = f"{field or 'the body'}: {validator_message(error)}"
    if error["type"] == "extra_forbidden":
        message = f"{field}: no such field"
    elif error["type"] != "missing":
        found = repr(error["input"])
        message += f", found {found if len(found) <= 80 else found[:77] + '...'}"
    return field, message


def _first(error: RequestValidationError) -> tuple[str | None, str]:
    first = error.errors()[0]
    if first["type"] == "json_invalid":
        return None, f"the body is not valid JSON: {first['ctx']['error']} at character {first['loc'][-1]}"
    if isinstance(first["input"], bytes):
        return None, "the body is not read as JSON without the header content-type: application/json"
    # a body that may be a list, and the name of pydantic for a value that is no object
    skipped = 2 if first["loc"][1:2] in (("one",), ("many",), ("envelope",)) else 1
    return problem(first, 3 if str(first["loc"][2:3]).startswith("('function-after[") else skipped)
