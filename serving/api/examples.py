"""Example requests and responses for the page at /docs, from `examples.json`, with ids of the synthetic shop.

`with_items` puts in item ids of the served bundle, so that every request works. Users, and items in requests that
change something, keep made-up ids: a click on the page must not sell out an item or show a customer's id.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

MADE_UP = ("p0000001", "p0000002", "p0000003")
READS = ("/v1/recommend", "/v1/recommend:batch", "/v1/similar", "/v1/rank")

_FILE: dict[str, Any] = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
RECOMMEND, BATCH, RANK, SIMILAR = (_FILE[name] for name in ("recommend", "batch", "rank", "similar"))
EVENTS, ITEMS, MERGE, UNMERGE = (_FILE[name] for name in ("events", "items", "merge", "unmerge"))
ANSWER: dict[str, Any] = _FILE["answer"]
ERRORS: dict[int, dict[str, Any]] = {
    int(status): {"error": {**error, "field": error.get("field"), "request_id": ANSWER["request_id"]}}
    for status, error in _FILE["errors"].items()
}


def with_items(document: Mapping[str, Any], item_ids: Sequence[str]) -> dict[str, Any]:
    """Return the OpenAPI document with these item ids in the example requests of the paths in `READS`."""
    known = dict(zip(MADE_UP, item_ids, strict=False))
    paths = {path: _replaced(entry, known) if path in READS else entry for path, entry in document["paths"].items()}
    return {**document, "paths": paths}


def _replaced(part: Any, known: Mapping[str, str]) -> Any:
    if isinstance(part, dict):
        return {key: _replaced(value, known) for key, value in part.items()}
    if isinstance(part, list):
        return [_replaced(value, known) for value in part]
    return known.get(part, part) if isinstance(part, str) else part
