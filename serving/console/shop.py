"""The shop window: lists for a user, an unknown visitor or a session, by two variants, arms or releases side by side.

The page's buttons store an event, as `POST /v1/events` does; in a session, events are only sent with the next request.
"""

import asyncio
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any, TypeVar

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse
from pydantic import BaseModel, ValidationError

from recsys.bundle import releases
from recsys.errors import RecsysError
from recsys.experiments.online.config import Arm
from recsys.recommend.circuit_breaker import CircuitBreakers
from serving.api import errors
from serving.api.errors import ApiError
from serving.api.events import PostedEvent
from serving.api.schemas import Answer, RecommendRequest
from serving.console import items
from serving.console.page import Console, console_of, form_of, show
from serving.engine.engine import Engine
from serving.routes import id_of, key_of

router = APIRouter()

Model = TypeVar("Model", bound=BaseModel)

BUTTONS = ("view", "cart", "purchase", "dislike")
PLACES = 8
SESSION_EVENTS = 50


@dataclass(frozen=True)
class Choice:
    """What computes one of the two lists side by side: a variant, an arm or a release's default. group: heading in the
    menu; label: the entry below it."""

    group: str
    label: str
    variant: str | None = None
    arm: Arm | None = None
    bundle_id: str | None = None


@dataclass
class Side:
    """One list of the page. error: why there is none; cards: its items, as `items.describe` returns them, with `item`,
    the item in the answer, `moved`, by how many positions it moved up since the page was last shown, and `new`, whether
    it was not there then."""

    choice: Choice
    answer: Answer | None = None
    error: str = ""
    cards: list[dict[str, Any]] = field(default_factory=list)


@router.get("/console")
async def shop_window(request: Request) -> HTMLResponse:
    """Show the page for the parameters in the URL; by default, the default variant for some user."""
    return await _window(request, dict(request.query_params), "shop.html.j2", did=None, message="")


@router.post("/console/event")
async def take_event(request: Request) -> HTMLResponse:
    """Store one event of the person on the page, and show the new lists."""
    asked, console = await form_of(request), console_of(request)
    item_id, event, who = asked.get("item_id", ""), asked.get("did", ""), asked.get("who", "")
    if who == "session":
        asked["session"] = json.dumps([*_session(asked), {"item_id": item_id, "event": event}][-SESSION_EVENTS:])
        message = "Sent with the session, not stored."
    else:
        whose = {"user_id" if who == "user" else "anonymous_id": asked.get("person", "")}
        posted = _valid(PostedEvent, {"item_id": item_id, "event": event, **whose})
        taken = await console.service.take_events([posted], key_of(request))
        message = "Stored as an event." if taken.accepted else f"Refused: {taken.rejected[0].reason}"
    did = items.entry(console.service.engine(), item_id, event, None)
    return await _window(request, asked, "window.html.j2", did=did, message=message)


async def _window(request: Request, asked: dict[str, str], template: str, **more: Any) -> HTMLResponse:
    console = console_of(request)
    engine = console.service.engine()
    asked = {**dict.fromkeys(("user_id", "a", "b", "filter", "diversity", "surface"), ""), "who": "user", **asked}
    if asked["who"] == "user":
        asked["person"] = asked["user_id"] or items.some_user(engine)
    elif asked["who"] == "stranger":
        asked["person"] = asked.get("person") or f"console-{secrets.token_hex(4)}"
    else:
        asked["person"] = ""
    choices = _choices(console, engine)
    chosen = [choices.get(asked["a"], choices[""])]
    if asked["b"] and asked["b"] in choices:
        chosen.append(choices[asked["b"]])
    before = [_ids(asked.get(f"before{at}")) for at in range(len(chosen))]
    sides = [await _side(request, choice, asked, past) for choice, past in zip(chosen, before, strict=True)]
    history = await items.history(console, asked["person"], guest=asked["who"] != "user")
    if asked["who"] == "session":
        history = [items.entry(engine, each["item_id"], each["event"], None) for each in _session(asked)]
    groups: dict[str, dict[str, Choice]] = {}
    for value, choice in choices.items():
        groups.setdefault(choice.group, {})[value] = choice
    return show(
        request,
        template,
        asked=asked,
        groups=groups,
        sides=sides,
        history=history[::-1][:12],
        n_history=len(history),
        users=items.users(engine),
        next_user=items.next_user(engine, asked["person"]),
        state={
            "session": json.dumps(_session(asked)),
            "person": asked["person"],
            **{f"before{at}": json.dumps([card["item_id"] for card in side.cards]) for at, side in enumerate(sides)},
        },
        buttons=[name for name in BUTTONS if name in engine.event_weights],
        **more,
    )


async def _side(request: Request, choice: Choice, asked: Mapping[str, str], before: list[str] | None) -> Side:
    console, side = console_of(request), Side(choice)
    try:
        engine = await engine_of(console, choice.bundle_id)
        query = _query(asked, choice.variant)
        side.answer, _ = await console.service.preview(query, id_of(request), engine, choice.arm)
    except (ApiError, RecsysError) as error:
        side.error = str(error)
        return side
    side.cards = [
        items.describe(engine, item.item_id) | {"item": item} | _moved(item.item_id, item.rank, before)
        for item in side.answer.items
    ]
    return side


def _query(asked: Mapping[str, str], variant: str | None) -> RecommendRequest:
    """Return the request for one side. asked: the fields of the page's form.

    Raises:
        ApiError: 422 "diversity: Input should be less than or equal to 1, found 3.0"
    """
    whose = {"user": {"user_id": asked["person"]}, "stranger": {"anonymous_id": asked["person"]}}
    options = {"explain": True, "diversity": asked["diversity"] or None}
    content: dict[str, Any] = {"k": PLACES, "variant": variant, "options": options, "filter": asked["filter"] or None}
    content |= {"surface": asked["surface"] or None, "session": _session(asked), **whose.get(asked["who"], {})}
    return _valid(RecommendRequest, content)


def _valid(model: type[Model], content: Mapping[str, Any]) -> Model:
    try:
        return model.model_validate(content, strict=False)
    except ValidationError as error:
        raise ApiError(422, errors.problem(error.errors(include_url=False)[0], 0)[1]) from error


def _session(asked: Mapping[str, str]) -> list[dict[str, str]]:
    try:
        sent = json.loads(asked.get("session") or "[]")
        return [{"item_id": str(each["item_id"]), "event": str(each["event"])} for each in sent]
    except (ValueError, TypeError, KeyError):
        return []


def _ids(text: str | None) -> list[str] | None:
    try:
        ids = json.loads(text or "null")
    except ValueError:
        return None
    return ids if isinstance(ids, list) and ids else None


def _moved(item_id: str, rank: int, before: list[str] | None) -> dict[str, Any]:
    """Return `moved`, by how many positions an item moved up since the list before, and `new`, if it was not there."""
    if before is None:
        return {"moved": 0, "new": False}
    return {"moved": before.index(item_id) + 1 - rank if item_id in before else 0, "new": item_id not in before}


def _choices(console: Console, engine: Engine) -> dict[str, Choice]:
    manifest = engine.bundle.manifest
    default = f"{manifest.default_variant}, the default variant"
    choices = {"": Choice("This release", default, manifest.default_variant)}
    choices |= {f"variant {name}": Choice("Variants of this release", name, name) for name in manifest.variants}
    for name, experiment in console.background.experiments.experiments.experiments.items():
        for arm_name, arm in experiment.arms.items():
            label = f"{name}: {arm_name}"
            choices[f"arm {name} {arm_name}"] = Choice("Arms of experiments", label, None, arm, arm.bundle)
    if console.settings.bundle is None:
        for bundle_id in dict.fromkeys(reversed(releases.read(console.settings.releases).stack)):
            if bundle_id != manifest.bundle_id and (console.settings.releases / bundle_id).is_dir():
                choices[f"release {bundle_id}"] = Choice("Other releases", bundle_id, None, None, bundle_id)
    return choices


async def engine_of(console: Console, bundle_id: str | None) -> Engine:
    """Return the engine of a release; None: the current one. One that is not served is loaded, and loaded again when
    items have changed; only the last such engine is kept.
    """
    served = console.service.engine()
    if bundle_id is None or bundle_id == served.bundle.manifest.bundle_id:
        return served
    background, other = console.background, console.compared
    if bundle_id in background.other_bundles.engines:
        return background.other_bundles.engines[bundle_id]
    if bundle_id not in other or other[bundle_id].overlay.version != background.freshness.now.version:
        other.clear()
        bundle = await asyncio.to_thread(background.last_known.bundle, console.settings.releases / bundle_id)
        arguments = (bundle, version("recsys"), background.freshness.now, background.rules, CircuitBreakers())
        other[bundle_id] = await asyncio.to_thread(Engine, *arguments)
    return other[bundle_id]
