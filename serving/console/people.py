"""Pages about one user (events, earlier lists, a list now), one answer, and one item (similar items, exposure)."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import polars as pl
from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from recsys.contracts import HALF_LIVES_DAYS
from recsys.recommend.trace import Step
from serving.api.errors import ApiError
from serving.api.schemas import Options, RecommendRequest, SimilarRequest
from serving.console import items, queries
from serving.console.page import Console, age, console_of, show
from serving.engine.engine import Engine
from serving.recorder.replay import Replays
from serving.routes import id_of, key_of
from serving.stores.protocol import StoreError

router = APIRouter(prefix="/console")

SHOWN = 20  # answers shown per user
ANSWERS = 2_000  # newest answers that are searched for an item
EVENTS = 10_000
FOUND = 24
LIKE_IT = 8


@router.get("/users")
async def user_page(request: Request, user_id: str = "") -> HTMLResponse:
    """Show one user, by default one with some events in the bundle."""
    console = console_of(request)
    engine = console.service.engine()
    user_id = user_id or items.some_user(engine)
    error, now = "", None
    steps: Sequence[Step] = ()
    try:
        asked = RecommendRequest(user_id=user_id, k=LIKE_IT, options=Options(explain=True))
        now, steps = await console.service.preview(asked, id_of(request), engine, None)
    except ValueError:
        error = f"{user_id!r:.80} is not a valid user_id"
    return show(
        request,
        "user.html.j2",
        user_id=user_id,
        users=items.users(engine),
        history=(await items.history(console, user_id, guest=False))[::-1],
        shown=[] if error else await _shown(console, user_id, key_of(request)),
        now=now,
        steps=steps,
        cards=[items.describe(engine, item.item_id) | {"item": item} for item in now.items] if now else [],
        forgotten=console.background.freshness.is_forgotten(user_id),
        error=error,
    )


async def _shown(console: Console, user_id: str, key: str | None) -> list[dict[str, Any]]:
    """Return the user's earlier answers, newest first, with the event on each item. key: API key, for the audit log."""
    store, engine = console.background.store, console.service.engine()
    if store is None:
        return []
    try:
        rows = await queries.shown_to(store, user_id, SHOWN, key)
        _, events = await store.history(user_id, None, console.settings.history_events)
    except StoreError:
        return []
    for row in rows:
        did = {event.item_id: event.event for event in events if event.request_id == row["request_id"]}
        row["cards"] = [
            items.describe(engine, item["item_id"]) | {"did": did.get(item["item_id"])} for item in row["items"]
        ]
    return rows


@router.get("/why")
async def why_page(request: Request, request_id: str = "") -> HTMLResponse:
    """Replay a recorded answer, and show why each item was in it."""
    console = console_of(request)
    engine = console.service.engine()
    if console.replays is None:
        console.replays = Replays(console.service.store(), console.settings)
    found = await console.replays.replay(request_id)
    return show(
        request,
        "why.html.j2",
        found=found,
        recorded=[items.describe(engine, item_id) for item_id in found.recorded],
        cards=[items.describe(engine, item.item_id) | {"item": item} for item in found.replayed],
    )


@router.get("/items")
async def item_page(request: Request, item_id: str = "", title: str = "") -> HTMLResponse:
    """Show one item; without an item_id, show the items whose title contains the text, or the most popular ones."""
    console = console_of(request)
    engine = console.service.engine()
    row = engine.bundle.catalogue.ids.position(item_id) if item_id else None
    if row is None:
        found = [items.describe(engine, each) for each in _titled(engine, title)]
        missing = f"No item has the id {item_id!r:.100}." if item_id else ""
        return show(request, "items.html.j2", found=found, title=title, missing=missing)
    catalogue = engine.bundle.catalogue
    try:
        neighbours = console.service.engine().similar(SimilarRequest(item_id=item_id, k=LIKE_IT))
        alike = [items.describe(engine, each.item_id) | {"score": each.score} for each in neighbours.items]
        reason = neighbours.meta.fallback_reason
    except (ApiError, ValueError):
        alike, reason = [], None
    largest = catalogue.demand.max(axis=0)
    names = ["for ever" if days == float("inf") else age(days * 86_400) for days in HALF_LIVES_DAYS]
    demand = [
        (name, float(catalogue.demand[row, at]), float(catalogue.demand[row, at] / max(largest[at], 1e-9)))
        for at, name in enumerate(names)
    ]
    return show(
        request,
        "item.html.j2",
        item=items.describe(engine, item_id),
        available=bool(catalogue.available[row]),
        likes=int(catalogue.popularity[row]),
        place=int((catalogue.popularity > catalogue.popularity[row]).sum()) + 1,
        n_items=len(catalogue),
        demand=demand,
        alike=alike,
        reason=reason,
        log=await _of_the_log(console, item_id),
        title="",
    )


def _titled(engine: Engine, title: str) -> list[str]:
    frame = engine.bundle.catalogue.frame
    holds = pl.col("title").str.to_lowercase().str.contains(title.lower(), literal=True)
    chosen = frame.filter(holds) if title else frame
    return chosen.sort("popularity", descending=True)["item_id"].head(FOUND).to_list()


async def _of_the_log(console: Console, item_id: str) -> dict[str, Any] | None:
    """Return how often an item is in the newest answers and events of the store; None if it cannot be read."""
    store = console.background.store
    if store is None:
        return None
    try:
        exposure = await queries.exposure_of(store, item_id, ANSWERS)
        newest = await store.newest(0.0, (float("inf"), ""), EVENTS)
    except StoreError:
        return None
    counts = Counter(event.event for event in newest if event.item_id == item_id)
    return {**exposure, "events": counts, "of_events": len(newest)}
