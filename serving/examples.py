"""Requests and answers as the page at /docs shows them; the ids are those of the synthetic shop."""

from typing import Any

RECOMMEND: dict[str, Any] = {
    "known user": {"value": {"user_id": "u0000001", "k": 5}},
    "anonymous visitor who did something": {
        "value": {
            "history": [
                {"item_id": "p0000001", "event": "view"},
                {"item_id": "p0000002", "event": "cart", "timestamp": "2026-03-01T12:00:00Z"},
            ],
            "k": 5,
            "exclude_ids": ["p0000003"],
        }
    },
    "anonymous visitor": {"value": {}},
}

SIMILAR: dict[str, Any] = {"five like this one": {"value": {"item_id": "p0000001", "k": 5}}}

ANSWER: dict[str, Any] = {
    "request_id": "5f0c1f6f8b0e4f0f9a3d6f1f2f6f7a11",
    "items": [
        {
            "item_id": "p0000042",
            "rank": 1,
            "score": 0.83,
            "source": "als",
            "fallback": False,
            "title": "Blue kettle",
            "categories": ["kitchen"],
        }
    ],
    "meta": {
        "variant": "als",
        "fallback": False,
        "fallback_reason": None,
        "degraded": False,
        "failed": [],
        "shortfall": None,
        "bundle_id": "3f1c9a7de2b40c55",
        "dataset": "synthetic",
        "trained_until": "2026-03-01T00:00:00Z",
        "models": ["als"],
        "timings_ms": {"encode": 0.31, "source als": 0.12, "rules": 0.05, "mix": 0.04, "total": 0.52},
    },
    "warnings": [],
}


def _error(code: str, message: str, field: str | None = None) -> dict[str, Any]:
    request_id = ANSWER["request_id"]
    return {"error": {"code": code, "message": message, "field": field, "request_id": request_id}}


ERRORS: dict[int, dict[str, Any]] = {
    401: _error("unauthorized", "no known key in the header authorization: Bearer <key>"),
    403: _error("forbidden", "the key of 'shop' has not the scope 'admin'"),
    404: _error("not_found", "item_id: 'p1' is not in the catalogue", "item_id"),
    413: _error("too_large", "the body is larger than 5,000,000 bytes; send it in parts"),
    422: _error("invalid_request", "k: Input should be less than or equal to 100, found 101", "k"),
    429: _error("too_many_requests", "more than 500 requests a second of the key 'shop'"),
    500: _error("internal", "something failed here; it was logged under this request_id"),
    503: _error("not_ready", "no bundle is loaded yet; /readyz says why"),
}
