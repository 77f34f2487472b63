"""Example requests and answers for the page at /docs, with ids of the synthetic shop.

`with_items` replaces them with items of the served bundle, so that every request can be tried. Users, and items in
requests that change something, keep made-up ids: a click on the page must not sell out an item or name a customer.
"""

from collections.abc import Mapping, Sequence
from typing import Any

MADE_UP = ("p0000001", "p0000002", "p0000003")
READS = ("/v1/recommend", "/v1/recommend:batch", "/v1/similar", "/v1/rank")

RECOMMEND: dict[str, Any] = {
    "known user": {"value": {"user_id": "u0000001", "k": 5}},
    "anonymous visitor who did something": {
        "value": {
            "anonymous_id": "cookie-7f3a",
            "session": [
                {"item_id": "p0000001", "event": "view"},
                {"item_id": "p0000002", "event": "cart", "timestamp": "2026-03-01T12:00:00Z"},
            ],
            "k": 5,
            "surface": "home",
            "exclude_ids": ["p0000003"],
        }
    },
    "a shelf with a filter, and why": {
        "value": {
            "user_id": "u0000001",
            "surface": "home",
            "filter": 'category = "cat00" and price < 20',
            "options": {"explain": True, "diversity": 0.3},
        }
    },
    "anonymous visitor": {"value": {}},
}

BATCH: dict[str, Any] = {
    "two users": {"value": {"requests": [{"user_id": "u0000001", "k": 5}, {"user_id": "u0000002", "k": 5}]}}
}

RANK: dict[str, Any] = {
    "the hits of a search": {"value": {"user_id": "u0000001", "candidates": ["p0000001", "p0000002", "p0000003"]}}
}

SIMILAR: dict[str, Any] = {"five like this one": {"value": {"item_id": "p0000001", "k": 5}}}

EVENTS: dict[str, Any] = {
    "one": {
        "value": {
            "event_id": "e-81b2",
            "user_id": "u0000001",
            "item_id": "p0000001",
            "event": "view",
            "timestamp": "2026-03-01T12:00:00Z",
            "request_id": "5f0c1f6f8b0e4f0f9a3d6f1f2f6f7a11",
        }
    },
    "several": {
        "value": [
            {"event_id": "e-81b3", "anonymous_id": "cookie-7f3a", "item_id": "p0000002", "event": "cart"},
            {"event_id": "e-81b4", "user_id": "u0000001", "item_id": "p0000003", "event": "purchase", "value": 19.9},
            {"event_id": "e-81b5", "user_id": "u0000001", "item_id": "p0000004", "event": "dislike"},
        ]
    },
}

ITEMS: dict[str, Any] = {
    "sold out": {"value": {"item_id": "p0000001", "available": False}},
    "a price, and an item that is new": {
        "value": [
            {"item_id": "p0000002", "price": 17.5},
            {"item_id": "kettle-9", "title": "Red kettle", "categories": ["kitchen"], "price": 29.0, "available": True},
        ]
    },
}

MERGE: dict[str, Any] = {"a guest logs in": {"value": {"anonymous_id": "cookie-7f3a", "user_id": "u0000001"}}}

UNMERGE: dict[str, Any] = {"it was somebody else": {"value": {"anonymous_id": "cookie-7f3a"}}}

ANSWER: dict[str, Any] = {
    "request_id": "5f0c1f6f8b0e4f0f9a3d6f1f2f6f7a11",
    "items": [
        {
            "item_id": "p0000042",
            "rank": 1,
            "score": 0.83,
            "confidence": 0.12,
            "source": "als",
            "fallback": False,
            "boost": 1.0,
            "title": "Blue kettle",
            "categories": ["kitchen"],
            "propensity": None,
            "team": None,
            "reasons": [],
            "factors": {},
        }
    ],
    "meta": {
        "variant": "als",
        "experiment": None,
        "segment": "warm",
        "fallback": False,
        "fallback_reason": None,
        "personalised_share": 1.0,
        "degraded": False,
        "failed": [],
        "shortfall": None,
        "bundle_id": "3f1c9a7de2b40c55",
        "model": "als",
        "dataset": "synthetic",
        "data_hash": "b7a1f0c2d9e84a36",
        "indexes": {"als": "exact"},
        "trained_until": "2026-03-01T00:00:00Z",
        "rules_version": None,
        "live_age_s": 12.0,
        "timings_ms": {"encode": 0.31, "source als": 0.12, "rules": 0.05, "mix": 0.04, "store": 0.11, "total": 0.71},
    },
    "warnings": [],
    "next_cursor": "yJVdQy6XnYqV1cUu3mJ7wXicizYwMIyFAgAFXgHF",
}


def _error(code: str, message: str, field: str | None = None) -> dict[str, Any]:
    request_id = ANSWER["request_id"]
    return {"error": {"code": code, "message": message, "field": field, "request_id": request_id}}


ERRORS: dict[int, dict[str, Any]] = {
    401: _error("unauthorized", "no known key in the header authorization: Bearer <key>"),
    403: _error("forbidden", "the key of 'shop' has not the scope 'admin'"),
    404: _error("not_found", "item_id: 'p1' is not in the catalogue", "item_id"),
    413: _error("too_large", "the body is larger than 5,000,000 bytes; send it in parts"),
    415: _error("unsupported_media_type", "content-encoding 'gzip': a body is read as it is, in UTF-8; send it so"),
    422: _error("invalid_request", "k: Input should be less than or equal to 100, found 101", "k"),
    429: _error("too_many_requests", "more than 500 requests a second of the key 'shop'"),
    500: _error("internal", "something failed here; it was logged under this request_id"),
    503: _error("not_ready", "no bundle is loaded yet; the log says why"),
    504: _error(
        "outcome_unknown", "the store stopped answering while it wrote: all of it was taken, or nothing; send it"
    ),
}


def with_items(document: Mapping[str, Any], item_ids: Sequence[str]) -> dict[str, Any]:
    """Return the OpenAPI document with these items in the example requests for lists."""
    known = dict(zip(MADE_UP, item_ids, strict=False))
    paths = {path: _replaced(said, known) if path in READS else said for path, said in document["paths"].items()}
    return {**document, "paths": paths}


def _replaced(part: Any, known: Mapping[str, str]) -> Any:
    if isinstance(part, dict):
        return {key: _replaced(value, known) for key, value in part.items()}
    if isinstance(part, list):
        return [_replaced(value, known) for value in part]
    return known.get(part, part) if isinstance(part, str) else part
