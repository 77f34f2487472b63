"""Reads items and users of the served bundle for the pages."""

import re
from collections.abc import Mapping
from typing import Any

from recsys.contracts import EMPTY_HISTORY
from serving.console.page import Console
from serving.engine.engine import Engine
from serving.stores.protocol import StoreError

SUGGESTED = 12
LIKES = 10
LOOKED_AT = 200  # number of users among which `some_user` chooses


def entry(engine: Engine, item_id: str, event: str, at: float | None) -> dict[str, Any]:
    """Return an item as `describe` does, with an event on it. at: time of the event, UTC seconds; None: unknown."""
    return {**describe(engine, item_id), "event": event, "at": at}


def describe(engine: Engine, item_id: str) -> dict[str, Any]:
    """Return id, title, categories, price and image of an item, and whether it is in the catalogue (`known`)."""
    catalogue = engine.bundle.catalogue
    row = catalogue.ids.position(item_id)
    if row is None:
        return {"item_id": item_id, "title": item_id, "categories": [], "price": None, "known": False}
    frame = catalogue.frame
    return {
        "item_id": item_id,
        "title": frame["title"][row],
        "categories": frame["categories"][row].to_list(),
        "price": frame["price"][row],
        "image": _own(catalogue.fields(row, ["image"]).get("image")),
        "known": True,
    }


def _own(image: Any) -> str | None:
    """Return the address of an image on this server, or a data URL; None for others: pages load nothing from them."""
    local = isinstance(image, str) and re.fullmatch(r"/(?![/\\])\S*|data:image/\S+", image)
    return image if local else None


async def history(console: Console, person: str, *, guest: bool) -> list[dict[str, Any]]:
    """Return the events of a user or guest as `entry` does, oldest first: those of the bundle, then of the store."""
    engine, background = console.service.engine(), console.background
    bundle = engine.bundle
    known = EMPTY_HISTORY
    if not guest and person and not background.freshness.is_forgotten(person):
        known = bundle.histories.of(person)
    names = _events_by_weight(bundle.manifest.event_weights)
    done = [
        entry(engine, bundle.catalogue.ids.external_id(row), names.get(weight, f"weight {weight:g}"), at)
        for row, weight, at in zip(known.rows.tolist(), known.weights.tolist(), known.times.tolist(), strict=True)
    ]
    if person and background.store is not None:
        try:
            user_id, guest_id = (None, person) if guest else (person, None)
            _, events = await background.store.history(user_id, guest_id, console.settings.history_events)
        except StoreError:
            events = []
        until = bundle.manifest.trained_until.timestamp() if known.rows.size else 0.0
        done += [entry(engine, e.item_id, e.event, e.timestamp) for e in events if e.timestamp > until]
    return done


def _events_by_weight(weights: Mapping[str, float]) -> dict[float, str]:
    """Return weight -> event type, for weights of only one type: histories in the bundle have weights, not types."""
    return {weight: name for name, weight in weights.items() if list(weights.values()).count(weight) == 1}


def some_user(engine: Engine) -> str:
    """Return the first user with at least `LIKES` events, or the one with the most; "" if the bundle has no users."""
    histories = engine.bundle.histories
    n = min(len(histories.users), LOOKED_AT)
    best = max(range(n), key=lambda at: (min(len(histories.at(at).rows), LIKES), -at), default=None)
    return "" if best is None else histories.users.external_id(best)


def users(engine: Engine) -> list[tuple[str, int]]:
    """Return (user_id, number of events in the bundle) of the first users."""
    histories = engine.bundle.histories
    places = range(min(len(histories.users), SUGGESTED))
    return [(histories.users.external_id(at), len(histories.at(at).rows)) for at in places]


def next_user(engine: Engine, user_id: str) -> str:
    """Return the user after this one in the bundle, or the first one; "" if the bundle has no users."""
    known = engine.bundle.histories.users
    if not len(known):
        return ""
    at = known.position(user_id)
    return known.external_id(0 if at is None else (at + 1) % len(known))
