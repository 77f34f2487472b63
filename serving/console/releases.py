"""Releases: what serves, its figures and the reasons of the gate, what changed between two; promote and roll back.

Both buttons call what `recsys releases` calls, and leave a line in the audit log with the name of the key.
"""

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from recsys.bundle import releases
from recsys.bundle.bundle import Manifest, read_manifest
from recsys.errors import BundleError, RecsysError
from recsys.recommend.self_check import check_apart
from serving.api.errors import ApiError
from serving.api.schemas import RecommendRequest
from serving.console import queries, shop
from serving.console.page import Console, console_of, form_of, show
from serving.live.list_overlap import overlap, rank_biased_overlap
from serving.routes import id_of, key_of
from serving.stores.protocol import StoreError

router = APIRouter(prefix="/console/releases")

FIGURES = ("ndcg", "recall", "coverage", "new_share")
PARAMETERS = ("variants", "models", "item_items", "event_weights", "default_variant", "allow_repeat", "warm_events",
              "recent_half_life_days")  # fmt: skip
FIRST = ("all", "cold_user", "few", "warm", "dormant")
USERS, PLACES = 20, 10


@router.get("")
async def release_page(request: Request, said: str = "") -> HTMLResponse:
    """Show what serves, and every release that is still there."""
    console = console_of(request)
    state, folder = _state(console), console.settings.releases
    found = [each for each in dict.fromkeys(entry.bundle_id for entry in state.log[::-1]) if (folder / each).is_dir()]
    manifests = {bundle_id: manifest for bundle_id in found if (manifest := _manifest(console, bundle_id))}
    served = console.service.engine().bundle.manifest
    return show(
        request,
        "releases.html.j2",
        served=served,
        manifests=manifests,
        figures={name: _figures(manifest) for name, manifest in {**manifests, served.bundle_id: served}.items()},
        said=said,
        log=state.log[::-1][:30],
        current=state.stack[-1] if state.stack else "",
        before=state.stack[-2] if len(state.stack) > 1 else "",
        refused=console.background.live.reason if console.background.live.engine else "",
        own_bundle=console.settings.bundle,
        segments=_segments(served),
    )


@router.post("/promote")
async def promote(request: Request) -> Response:
    """Make a release of the list current."""
    asked, console = await form_of(request), console_of(request)
    bundle_id = asked.get("bundle_id", "")
    if not releases.is_id(bundle_id) or _manifest(console, bundle_id) is None:
        raise ApiError(422, f"bundle_id: {bundle_id!r:.40} is no release of this installation")
    source = console.settings.releases / bundle_id
    return await _change(request, "promote", lambda: _promote(source, console))


@router.post("/rollback")
async def roll_back(request: Request) -> Response:
    """Make the release before the current one current again."""
    await form_of(request)
    settings = console_of(request).settings
    return await _change(request, "roll back", lambda: releases.rollback(settings.releases, settings.public_key))


def _promote(source: Path, console: Console) -> str:
    return releases.promote(source, console.settings.releases, console.settings.public_key, check_apart)


async def _change(request: Request, action: str, change: Callable[[], str]) -> Response:
    console, key = console_of(request), key_of(request)
    if console.settings.bundle is not None:
        raise ApiError(422, "RECSYS_BUNDLE names the bundle that is served, so there are no releases to change")
    before = next(iter(_state(console).stack[-1:]), None)
    try:
        bundle_id = await asyncio.to_thread(change)
    except (RecsysError, OSError) as error:
        return await release_page(request, f"Nothing was changed: {error}")
    noted = ""
    try:
        store = console.service.store()
        await store.manage(lambda _: queries.note(key, action, bundle_id, before, bundle_id))
    except (StoreError, ApiError):
        noted = "The store is out of reach: the audit log has no line of it."
    if noted:
        return await release_page(request, f"{bundle_id} is current. {noted}")
    return RedirectResponse("/console/releases", 303)


@router.get("/diff")
async def compare(request: Request, a: str = "", b: str = "") -> HTMLResponse:
    """Show what changed from release a to release b: parameters, data, and metrics by segment."""
    console = console_of(request)
    first, second = (_manifest(console, each) for each in (a, b))
    if first is None or second is None:
        raise ApiError(404, f"{a if first is None else b!r:.40} is no release that can be read")
    return show(
        request,
        "diff.html.j2",
        a=first,
        b=second,
        parameters=_changes(first, second),
        segments=[(name, x, y, max(x or 0, y or 0)) for name, x, y in _paired(_segments(first), _segments(second))],
        figures=_paired(_figures(first), _figures(second)),
    )


@router.get("/lists")
async def compare_lists(request: Request, a: str = "", b: str = "") -> HTMLResponse:
    """Show how far the lists of two releases overlap, for some users of this release and a stranger."""
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


def _state(console: Console) -> releases.State:
    try:
        return releases.read(console.settings.releases)
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
    """Return the figures of the default variant that the pages name, at the first length that was measured."""
    found: dict[str, float] = {}
    for key, value in _offline(manifest).items():
        found.setdefault(key.partition("@")[0], value)
    return {name: found[name] for name in FIGURES if name in found}


def _segments(manifest: Manifest) -> dict[str, float]:
    """Return NDCG@10 of the default variant by segment, the main ones first."""
    ndcg = ".ndcg@10"
    offline = _offline(manifest)
    found = {key.removesuffix(ndcg): value for key, value in offline.items() if key.endswith(ndcg)}
    if "ndcg@10" in offline:
        found["all"] = offline["ndcg@10"]
    return {name: found[name] for name in [*FIRST, *sorted(found, key=_place)] if name in found}


def _place(segment: str) -> tuple[str, int]:
    """Return where a segment stands: `new_user_10` after `new_user_3`."""
    name, _, number = segment.rpartition("_")
    return (name, int(number)) if number.isdigit() else (segment, 0)


def _paired(a: Mapping[str, float], b: Mapping[str, float]) -> list[tuple[str, float | None, float | None]]:
    return [(name, a.get(name), b.get(name)) for name in dict.fromkeys([*a, *b])]


def _changes(first: Manifest, second: Manifest) -> list[tuple[str, str, str]]:
    """Return path, earlier and later value of every parameter that differs; what only one of them has is one line."""
    contents = [{name: getattr(each, name) for name in PARAMETERS} for each in (first, second)]
    lines: list[tuple[str, str, str]] = []
    for name in PARAMETERS:
        before, after = (
            content[name] if isinstance(content[name], dict) else {"": content[name]} for content in contents
        )
        for part in [*before, *(part for part in after if part not in before)]:
            path = f"{name}.{part}" if part else name
            if part not in before or part not in after:
                lines.append((path, *(("absent", "added") if part in after else ("there", "gone"))))
                continue
            x, y = _flat(before[part], path), _flat(after[part], path)
            lines += [(at, x.get(at, "absent"), y.get(at, "absent")) for at in {**x, **y} if x.get(at) != y.get(at)]
    return lines


def _flat(content: Any, start: str = "") -> dict[str, str]:
    """Return every leaf of nested settings by its path."""
    if hasattr(content, "model_dump"):
        content = content.model_dump()
    if isinstance(content, list):
        content = {str(at): each for at, each in enumerate(content)}
    if not isinstance(content, dict):
        return {start: "none" if content is None else str(content)}
    flat: dict[str, str] = {}
    for name, value in content.items():
        flat |= _flat(value, f"{start}.{name}" if start else str(name))
    return flat
