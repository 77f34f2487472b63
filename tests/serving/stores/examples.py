"""Events, exposures and items for the tests of the stores."""

from typing import Any

from serving.stores.protocol import Event, Exposed, Exposure, Outcome, Rejected

NOON = 1_700_000_000.0 // 3600 * 3600
NEW, DUPLICATE, OTHER = Outcome.NEW, Outcome.DUPLICATE, Outcome.OTHER_CONTENT
ANNA, BEN, COOKIE = "anna-4711", "ben-0815", "cookie-99"


def event(event_id: str, user_id: str | None = ANNA, **changes: Any) -> Event:
    """A view of the item `kettle` at noon."""
    fields = {"anonymous_id": None, "item_id": "kettle", "event": "view", "value": None, "timestamp": NOON}
    return Event(event_id=event_id, user_id=user_id, **{**fields, "request_id": None, "received": NOON + 1, **changes})


def exposure(request_id: str, user_id: str | None = ANNA, **changes: Any) -> Exposure:
    """Two items that were shown."""
    fields: dict[str, Any] = {
        "timestamp": NOON,
        "unit": user_id or changes.get("anonymous_id") or request_id,
        "anonymous_id": None,
        "experiment": "ranker",
        "variant": "b",
        "bundle_id": "3f1c9a7de2b40c55",
        "surface": "home",
        "segment": "warm",
        "propensity": 0.5,
        "items": (Exposed("kettle", 1, 0.9, "als", 0.95), Exposed("teapot", 2, 0.4, "popular")),
        "context": {"device": "phone"},
    }
    return Exposure(request_id=request_id, user_id=user_id, **{**fields, **changes})


def rejected(body: Any, reason: str = "item_id: Field required") -> Rejected:
    """An event that was refused."""
    return Rejected(index=3, reason=reason, body=body, received=NOON)
