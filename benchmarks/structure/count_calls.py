"""Counts the calls of our own code that one request makes; prints JSON.

    python benchmarks/structure/count_calls.py BUNDLE    with the code to be counted on PYTHONPATH

A call is a `call` event of `sys.setprofile` in a file of `recsys` or `serving`, in the task of the request: a function
is entered, or a coroutine is entered or resumed. All steps of a generator count once. A move is a call into another
file than the call before. What runs in other threads or tasks (the writer of a store) is not counted.
"""

import asyncio
import inspect
import json
import os
import sys
import tempfile
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path
from types import FrameType
from typing import Any

import serving
from serving.app import create_app
from serving.settings import Settings
from serving.stores.migrations import migrate

TOP = Path(serving.__file__).parents[1]
READY_S = 120.0
OURS = (str(TOP / "recsys"), str(TOP / "serving"))


class Calls:
    """A profile function that notes the calls of one task."""

    def __init__(self) -> None:
        self._task = asyncio.current_task()
        self._generators: set[FrameType] = set()
        self.made: list[tuple[str, str]] = []

    def __call__(self, frame: FrameType, event: str, _: object) -> None:
        code = frame.f_code
        if event != "call" or not code.co_filename.startswith(OURS) or asyncio.current_task() is not self._task:
            return
        if code.co_flags & inspect.CO_GENERATOR:
            if frame in self._generators:
                return
            self._generators.add(frame)
        self.made.append((str(Path(code.co_filename).relative_to(TOP)), code.co_qualname))

    def figures(self) -> dict[str, Any]:
        """Calls, files, moves between files, and the calls of every function."""
        files = [file for file, _ in self.made]
        moves = sum(before != after for before, after in pairwise(files))
        functions = Counter(f"{file}: {name}" for file, name in self.made)
        return {
            "calls": len(files),
            "files": len(set(files)),
            "moves": moves,
            "functions": dict(functions.most_common()),
        }


async def count(bundle: Path) -> dict[str, Any]:
    """Requests to the app, each once to warm up and once counted: a recommendation, an event, an item."""
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/events.sqlite"
        migrate(url)
        os.chdir(folder)  # without rules.yaml and experiments.yaml
        app = create_app(Settings(bundle=bundle, store_url=url, deadline_ms=1e5, store_ms=1e5))
        async with app.router.lifespan_context(app):
            until = time.monotonic() + READY_S
            while await ask(app, "GET", "/readyz", None) != 200:
                if time.monotonic() > until:
                    raise SystemExit(f"{bundle}: this code cannot serve it")
                await asyncio.sleep(0.05)
            loaded = app.state.service.engine().bundle
            user, item = loaded.histories.users.external_id(0), loaded.catalogue.ids.external_id(0)
            chair = {"item_id": "chair", "title": "red chair", "categories": ["chairs"], "price": 3.0}
            event = {"user_id": user, "item_id": item, "event": "view"}
            requests: dict[str, tuple[str, str, Any]] = {
                "recommendation": ("POST", "/v1/recommend", {"user_id": user, "k": 10}),
                "event": ("POST", "/v1/events", [event]),
                "item": ("PUT", "/v1/items", [chair]),
            }
            return {name: await _counted(app, *request) for name, request in requests.items()}


async def _counted(app: Any, method: str, path: str, body: Any) -> dict[str, Any]:
    for profiled in (False, True):
        calls = Calls()
        sys.setprofile(calls if profiled else None)
        try:
            status = await ask(app, method, path, body)
        finally:
            sys.setprofile(None)
        if status != 200:
            raise SystemExit(f"{method} {path} answered {status}")
    return calls.figures()


async def ask(app: Any, method: str, path: str, body: Any) -> int:
    """The status of one request, without a network."""
    content = json.dumps(body).encode()
    headers = {"content-type": "application/json", "content-length": str(len(content)), "host": "localhost"}
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        "client": ("127.0.0.1", 1),
        "server": ("localhost", 80),
    }
    statuses = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": content, "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    await app(scope, receive, send)
    return int(statuses[0])


if __name__ == "__main__":
    print(json.dumps(asyncio.run(count(Path(sys.argv[1]).resolve()))))
