"""The real API in this process: the same app, routes, validation, store and exposures, without a network in between."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

from fastapi import FastAPI

from serving.app import create_app
from serving.settings import Settings

READY_SECONDS = 60.0


@dataclass
class Clock:
    """The time of the simulated shop, UTC seconds; what the API takes for the present."""

    now: float

    def __call__(self) -> float:
        return self.now

    def nanoseconds(self) -> int:
        """As `time.time_ns` gives them."""
        return round(self.now * 1e6) * 1000


class Api:
    """Requests to the app, one after the other."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app

    async def ask(self, method: str, path: str, body: Any = None) -> tuple[int, dict[str, Any]]:
        """Status and body of the answer."""
        status, data = await self._ask(method, path, body)
        return status, json.loads(data)

    async def text(self, path: str) -> str:
        """The body of a page."""
        return (await self._ask("GET", path))[1].decode()

    async def _ask(self, method: str, path: str, body: Any = None) -> tuple[int, bytes]:
        data = json.dumps(body).encode() if body is not None else b""
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "root_path": "",
            "scheme": "http",
            "headers": [(b"content-type", b"application/json"), (b"content-length", str(len(data)).encode())],
            "client": ("simulation", 1),
            "server": ("api", 80),
            "state": {},
        }
        status, parts = 0, []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": data, "more_body": False}

        async def send(message: dict[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            else:
                parts.append(message.get("body", b""))

        await self._app(scope, receive, send)  # type: ignore[arg-type]
        return status, b"".join(parts)


@asynccontextmanager
async def running(settings: Settings, clock: Clock) -> AsyncIterator[Api]:
    """The app with its background work, ready to answer; while it runs, `time` and `time_ns` are the clock's."""
    app = create_app(settings)
    with patch.object(time, "time", clock), patch.object(time, "time_ns", clock.nanoseconds):
        async with app.router.lifespan_context(app):
            api, deadline = Api(app), time.monotonic() + READY_SECONDS
            while (await api.ask("GET", "/readyz"))[0] != 200:
                if time.monotonic() > deadline:
                    raise SystemExit(f"the API did not become ready: {await api.ask('GET', '/readyz')}")
                await asyncio.sleep(0.05)
            yield api
