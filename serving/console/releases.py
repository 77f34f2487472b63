"""Pages of releases: metrics and release gate, differences between two, buttons to promote and roll back.

The buttons do the same as `recsys releases`, and add an entry with the name of the API key to the audit log.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from recsys.bundle import releases
from recsys.bundle.bundle import Manifest, read_manifest
from recsys.bundle.shared import shared
from recsys.drift import promotion
from recsys.errors import BundleError, RecsysError
from recsys.recommend.self_check import check_apart
from serving.api.errors import ApiError
from serving.api.schemas import RecommendRequest
from serving.console import prometheus, shop
from serving.console.page import Console, console_of, form_of, read_json, show
from serving.live.list_overlap import overlap, rank_biased_overlap
from serving.routes import id_of, key_of
from serving.stores import admin
from serving.stores.protocol import StoreError

router = APIRouter(prefix="/console/releases")

FIGURES = ("ndcg", "recall", "coverage", "new_share")
ACTIONS = {"promote": "promote", "rollback": "roll back", "ramp": "ramp canary", "abort": "abort canary"}
SHARES = {"1": 1.0, "0.1": 0.1, "0.01": 0.01}  # share of the units that a promoted release serves first; 1: no canary
PARAMETERS = {"variants", "models", "item_items", "event_weights", "default_variant", "allow_repeat", "warm_events",
              "recent_half_life_days"}  # fmt: skip
FIRST = ("all", "cold_user", "few", "warm", "dormant")
USERS, PLACES = 20, 10


@router.get("")
async def release_page(request: Request, message: str = "") -> HTMLResponse:
    """Show the current release, and every other one in the folder. message: about the last action."""
    console = console_of(request)
    state, folder, url = _state(console), console.settings.releases, console.settings.prometheus_url
    found = [each for each in dict.fromkeys(entry.bundle_id for entry in state.log[::-1]) if (folder / each).is_dir()]
    manifests = {bundle_id: manifest for bundle_id in found if (manifest := _manifest(console, bundle_id))}
    served = console.service.engine().bundle.manifest
    return show(
        request,
        "releases.html.j2",
        served=served,
        manifests=manifests,
        figures={name: _figures(manifest) for name, manifest in {**manifests, served.bundle_id: served}.items()},
        message=message,
        log=state.log[::-1][:30],
        current=state.stack[-1] if state.stack else "",
        before=state.stack[-2] if len(state.stack) > 1 else "",
        refused=console.background.live.reason if console.background.live.engine else "",
        canary=state.canary,
        records={bundle_id: read_json(folder / f"{bundle_id}.json") for bundle_id in manifests},
        own_bundle=console.settings.bundle,
        segments=_segments(served),
        hosts=await prometheus.hosts(url) if url else {},
    )


@router.post("/{action}")
async def change(request: Request, action: Literal["promote", "rollback", "ramp", "abort"]) -> Response:
    """Promote a release, fully or as a canary, roll back, raise the canary's share (ramp), or end it (abort)."""
    asked, console, key = await form_of(request), console_of(request), key_of(request)
    folder, public_key = console.settings.releases, console.settings.public_key
    if console.settings.bundle is not None:
        raise ApiError(422, "RECSYS_BUNDLE sets the served bundle, so there are no releases to change; unset it first")
    bundle_id, share = asked.get("bundle_id", ""), SHARES.get(asked.get("share", "1"))
    if action == "promote" and (not releases.is_id(bundle_id) or _manifest(console, bundle_id) is None):
        raise ApiError(422, f"bundle_id: {bundle_id!r:.40} is not a release in {folder}")
    if share is None:
        raise ApiError(422, f"share: expected one of {', '.join(SHARES)}, found {asked['share']!r:.40}")
    why = f"{asked.get('why', '').strip()[:500]} (by {key or 'somebody'} in the Console)".strip()
    changes: dict[str, Callable[[], object]] = {
        "promote": lambda: releases.promote(folder / bundle_id, folder, public_key, check_apart, share, why),
        "rollback": lambda: releases.rollback(folder, public_key, why),
        "ramp": lambda: releases.ramp(folder, why, public_key),
        "abort": lambda: releases.abort(folder, why),
    }
    before = _state(console)
    try:
        await asyncio.to_thread(_shared, console, changes[action], why)
        after = _state(console)
        old, new = (each.model_dump(mode="json", include={"stack", "canary"}) for each in (before, after))
        what = after.log[-1].bundle_id
        await admin.note(console.service.store(), key, ACTIONS[action], what, old, new)
    except (StoreError, ApiError):
        return await release_page(request, "Done, but without an entry in the audit log: the store cannot be reached.")
    except (RecsysError, OSError) as error:
        return await release_page(request, f"Nothing was changed: {error}")
    return RedirectResponse("/console/releases", 303)


@router.get("/diff")
async def compare(request: Request, a: str = "", b: str = "") -> HTMLResponse:
    """Show the differences of release b from release a: parameters, data, and metrics by segment."""
    console = console_of(request)
    first, second = (_manifest(console, each) for each in (a, b))
    if first is None or second is None:
        raise ApiError(404, f"{(a if first is None else b)!r:.40}: no such release, or its manifest cannot be read")
    before, after = (each.model_dump(mode="json", include=PARAMETERS) for each in (first, second))
    return show(
        request,
        "diff.html.j2",
        a=first,
        b=second,
        parameters=promotion.changes(before, after),
        segments=[(name, x, y, max(x or 0, y or 0)) for name, x, y in _paired(_segments(first), _segments(second))],
        figures=_paired(_figures(first), _figures(second)),
    )


@router.get("/lists")
async def compare_lists(request: Request, a: str = "", b: str = "") -> HTMLResponse:
    """Show how far the lists of releases a and b overlap, for some users of the current release and an unknown one."""
    console = console_of(request)
    known = console.service.engine().bundle.histories.users
    user_ids: list[str | None] = [None, *(known.external_id(at) for at in range(min(USERS, len(known))))]
    try:
        engines = [await shop.engine_of(console, each) for each in (a, b)]
        rows = []
        for user_id in user_ids:
            asked = RecommendRequest(user_id=user_id, k=PLACES)
            answers = [await console.service.preview(asked, id_of(request), each, None) for each in engines]
            first, second = ([item.item_id for item in answer.items] for answer, _ in answers)
            rows.append((user_id or "a stranger", overlap(first, second), rank_biased_overlap(first, second)))
    except (ApiError, RecsysError) as error:
        return show(request, "lists.html.j2", rows=[], error=str(error))
    return show(request, "lists.html.j2", rows=rows, error="")


def _shared(console: Console, action: Callable[[], object], why: str) -> None:
    with shared(console.settings.releases, console.settings.store_url, why, console.settings.public_key):
        action()


def _state(console: Console) -> releases.State:
    try:
        return console.background.live.state()
    except RecsysError:
        return releases.State()


def _manifest(console: Console, bundle_id: str) -> Manifest | None:
    served = console.service.engine().bundle.manifest
    if bundle_id == served.bundle_id:
        return served
    if not releases.is_id(bundle_id):
        return None
    try:
        return read_manifest(console.settings.releases / bundle_id)
    except BundleError:
        return None


def _offline(manifest: Manifest) -> Mapping[str, Any]:
    found: Mapping[str, Any] = manifest.metrics.get("variants", {}).get(manifest.default_variant, {})
    return found


def _figures(manifest: Manifest) -> dict[str, float]:
    """Return the metrics `FIGURES` of the default variant, each at the first list length that was measured."""
    found: dict[str, float] = {}
    for key, value in _offline(manifest).items():
        found.setdefault(key.partition("@")[0], value)
    return {name: found[name] for name in FIGURES if name in found}


def _segments(manifest: Manifest) -> dict[str, float]:
    """Return segment -> NDCG@10 of the default variant, the main segments first."""
    ndcg = ".ndcg@10"
    offline = _offline(manifest)
    found = {key.removesuffix(ndcg): value for key, value in offline.items() if key.endswith(ndcg)}
    if "ndcg@10" in offline:
        found["all"] = offline["ndcg@10"]
    return {name: found[name] for name in [*FIRST, *sorted(found, key=_place)] if name in found}


def _place(segment: str) -> tuple[str, int]:
    """Return a sort key by which the segment `new_user_10` comes after `new_user_3`."""
    name, _, number = segment.rpartition("_")
    return (name, int(number)) if number.isdigit() else (segment, 0)


def _paired(a: Mapping[str, float], b: Mapping[str, float]) -> list[tuple[str, float | None, float | None]]:
    return [(name, a.get(name), b.get(name)) for name in dict.fromkeys([*a, *b])]
