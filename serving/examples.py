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
