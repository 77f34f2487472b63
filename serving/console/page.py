"""Renders the pages of the Console, and checks who may see and change them.

Every response has a strict Content-Security-Policy: scripts, styles and pictures come from this server only. Every form
has a token that is bound to a cookie of the browser, so that no other site can send it (CSRF).
"""

import colorsys
import json
import secrets
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl
from zlib import crc32

from fastapi import Request
from fastapi.responses import HTMLResponse
from itsdangerous import BadSignature, URLSafeSerializer

from recsys.output import templates
from serving.api.errors import ApiError
from serving.engine.engine import Engine
from serving.live.background import Background
from serving.recorder.replay import Replays
from serving.service.service import Service
from serving.settings import Settings, is_loopback

HERE = Path(__file__).parent
STATIC = HERE / "static"
SAMPLES = 180
COOKIE = "recsys_console"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}
PAGES = (
    ("/console", "Shop window"),
    ("/console/users", "Users"),
    ("/console/items", "Items"),
    ("/console/releases", "Releases"),
    ("/console/experiments", "Experiments"),
    ("/console/health", "Health"),
    ("/console/data", "Data"),
)


@dataclass
class Console:
    """The state of the Console in this worker. samples: the metrics of the last hour, see `health.py`. compared:
    bundle_id -> engine of a release that is shown for comparison, at most one.
    """

    settings: Settings
    background: Background
    service: Service
    compared: dict[str, Engine] = field(default_factory=dict)
    replays: Replays | None = None
    samples: deque[Any] = field(default_factory=partial(deque, maxlen=SAMPLES))


def console_of(request: Request) -> Console:
    """Return the console of the app."""
    console: Console = request.app.state.console
    return console


def only_from_here(request: Request) -> None:
    """Check, while no API keys are configured, that the header Host is localhost: it prevents DNS rebinding.

    Raises:
        ApiError: 403 "without API keys the Console answers on localhost only, found ..."
    """
    host = request.url.hostname or ""
    if request.scope["state"].get("client") is None and not is_loopback(host):
        raise ApiError(403, f"without API keys the Console answers on localhost only, found {host!r:.80}")


def show(request: Request, template: str, **values: Any) -> HTMLResponse:
    """Render a template. The response sets the cookie to which forms are bound, if the browser does not have it."""
    console = console_of(request)
    session = request.cookies.get(COOKIE) or secrets.token_urlsafe(16)
    engine = console.background.live.engine
    bundle = engine.bundle.manifest if engine else None
    html = TEMPLATES.get_template(template).render(
        pages=PAGES, path=request.url.path, bundle=bundle, token=_signer(console).dumps(session), **values
    )
    response = HTMLResponse(html, headers=HEADERS)
    if COOKIE not in request.cookies:
        response.set_cookie(COOKIE, session, path="/console", httponly=True, samesite="strict")
    return response


async def form_of(request: Request) -> dict[str, str]:
    """Return the fields of a posted form, after a check of its token.

    Raises:
        ApiError: 403 "the form was not made for this browser: open the page again"
    """
    fields = dict(parse_qsl((await request.body()).decode("utf-8", "replace"), keep_blank_values=True))
    try:
        session = _signer(console_of(request)).loads(fields.pop("token", ""))
    except BadSignature:
        session = None
    if session is None or session != request.cookies.get(COOKIE):
        raise ApiError(403, "the form was not made for this browser: open the page again")
    return fields


def _signer(console: Console) -> URLSafeSerializer:
    return URLSafeSerializer(console.settings.secret, salt="console form")


def read_json(path: Path) -> dict[str, Any] | None:
    """Read a JSON object from a file; None if the file is missing or contains anything else."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def when(moment: float | datetime) -> str:
    """Format a datetime or UTC seconds as "2026-11-26 02:13 UTC"."""
    at = moment if isinstance(moment, datetime) else datetime.fromtimestamp(moment, tz=UTC)
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def age(seconds: float) -> str:
    """Format a duration in its largest unit, such as "3 hours"."""
    for unit, length in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} seconds"


def tile(item_id: str, categories: list[str]) -> dict[str, Any]:
    """Return colours (by the first category) and shapes (by the id) of an item's picture, always the same."""
    draws = crc32(item_id.encode())
    hue = crc32((categories[0] if categories else "").encode()) % 360
    shapes = [
        {
            "x": 8 + (draws >> 5 * at) % 32 * 2.7,
            "y": 8 + (draws >> (5 * at + 3)) % 32 * 1.5,
            "r": 9 + (draws >> at) % 17,
        }
        for at in range(3)
    ]
    return {"back": _colour(hue, 0.86), "shapes": shapes, "fore": _colour(hue + 25, 0.62), "deep": _colour(hue, 0.42)}


def _colour(hue: float, lightness: float) -> str:
    red, green, blue = colorsys.hls_to_rgb(hue % 360 / 360, lightness, 0.42)
    return f"#{round(255 * red):02x}{round(255 * green):02x}{round(255 * blue):02x}"


TEMPLATES = templates(HERE / "templates")
TEMPLATES.globals["tile"] = tile
TEMPLATES.filters.update(
    {"when": when, "age": age, "number": "{:,}".format, "sentence": lambda text: text[:1].upper() + text[1:]}
)
