"""What the API adds to the job itself: CPU of one recommend call, in process, beside the same job in raw ASGI.

    python -m benchmarks.serving.cost [--bundle FOLDER]
    writes benchmarks/results/serving_cost.json

The job: read the user's events from the store, build the query, recommend under the business rules, queue the exposure.
The raw app does it with `json` and nothing else: no validation, documentation, keys, limits, metrics, cursors, timings.
Both take turns; CPU is that of the thread with the event loop. The writer of exposures works for both.
"""

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from itertools import islice
from pathlib import Path
from typing import Any
from uuid import uuid4

from starlette.types import Message, Receive, Scope, Send

from benchmarks import provenance
from benchmarks.serving import shop
from serving.api.schemas import RecommendRequest
from serving.app import create_app
from serving.engine.engine import Engine
from serving.engine.overlay import UserState
from serving.service.service import Service
from serving.settings import Settings
from serving.stores.migrations import migrate
from serving.stores.protocol import Exposed, Exposure

RULES = "cap: {every_category: 5}\nboost:\n  - {filter: 'price < 20', factor: 1.2}\n"
CALLS, ROUNDS, USERS = 200, 25, 200
HEADERS = [(b"content-type", b"application/json"), (b"host", b"localhost")]

App = Callable[[Scope, Receive, Send], Awaitable[None]]


def main(bundle: Path | None = None, calls: int = CALLS, rounds: int = ROUNDS) -> None:
    """Measure and write; the bundle is that of the shop of 10,000 items if none is named."""
    folder, origin = bundle or shop.bundle_folder(), provenance.describe()
    found = asyncio.run(measured(folder, calls, rounds))
    provenance.write("serving_cost", origin, found)
    print(json.dumps(found, indent=1))


async def measured(bundle: Path, calls: int, n_rounds: int) -> dict[str, Any]:
    """Microseconds of CPU per call, medians of the rounds."""
    with tempfile.TemporaryDirectory() as name:
        rules, url = Path(name) / "rules.yaml", f"sqlite:///{name}/events.sqlite"
        rules.write_text(RULES)
        migrate(url)
        app = create_app(Settings(bundle=bundle, store_url=url, rules=rules, deadline_ms=1e5, store_ms=1e5))
        async with app.router.lifespan_context(app):
            service: Service = app.state.service
            background = service._background
            while background.live.engine is None or background.exposures is None:
                await asyncio.sleep(0.05)
            users, items = people(service.engine())
            events = [
                {"user_id": user, "item_id": items[(7 * at + n) % len(items)], "event": "view"}
                for at, user in enumerate(users)
                for n in range(5)
            ]
            for start in range(0, len(events), 1000):
                await call(app, "/v1/events", events[start : start + 1000])
            bodies = [{"user_id": user, "k": 10} for user in islice(users * calls, calls)]
            rounds: dict[str, list[float]] = {"api": [], "raw": []}
            for _ in range(n_rounds + 1):
                for kind, target in (("api", app), ("raw", raw(service))):
                    began = time.thread_time()
                    for body in bodies:
                        await call(target, "/v1/recommend", body)
                    rounds[kind].append((time.thread_time() - began) / calls * 1e6)
                    await asyncio.sleep(0.2)  # the exposures are written
            counts = service.engine().bundle.manifest.counts
    pairs = list(zip(rounds["api"][1:], rounds["raw"][1:], strict=True))  # the first round warms up
    return {
        "counts": counts,
        "calls": calls * n_rounds,
        "api_us": round(statistics.median(api for api, _ in pairs)),
        "raw_us": round(statistics.median(raw_us for _, raw_us in pairs)),
        "ratio": round(statistics.median(api / raw_us for api, raw_us in pairs), 2),
        "cpu_seconds_per_1000_answers": round(statistics.median(api for api, _ in pairs) / 1e3, 3),
    }


def people(engine: Engine) -> tuple[list[str], list[str]]:
    """Ids of some users and of all items."""
    users, ids = engine.bundle.histories.users, engine.bundle.catalogue.ids
    return [users.external_id(at) for at in range(min(USERS, len(users)))], [
        ids.external_id(at) for at in range(len(ids))
    ]


def raw(service: Service) -> App:
    """The same job by hand."""
    background, engine = service._background, service.engine()
    store, exposures, rules = background.store, background.exposures, background.rules
    assert store is not None
    assert exposures is not None
    plain = RecommendRequest()
    name, recommender = (
        engine.bundle.manifest.default_variant,
        engine._recommenders[engine.bundle.manifest.default_variant],
    )

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        body = json.loads((await receive())["body"])
        version, told = await store.history(body["user_id"], None, 200)
        asked = plain.model_copy(update=body)
        query, _ = engine._queries.query(asked, UserState(told, version), float("inf"))
        found = recommender.recommend(query, rules.current(engine.bundle)[1])
        items: list[dict[str, Any]] = []
        for rank, slot in enumerate(found.slots, 1):
            item_id, title, categories = engine._presenter._item(slot.row)
            items.append({"item_id": item_id, "rank": rank, "score": slot.score, "source": slot.source,
                          "title": title, "categories": categories})  # fmt: skip
        request_id, bundle_id = uuid4().hex, engine.bundle.manifest.bundle_id
        shown = [Exposed(item["item_id"], item["rank"], item["score"], item["source"]) for item in items]
        user = body["user_id"]
        exposures.put(
            Exposure(request_id, time.time(), user, user, None, None, name, bundle_id, None, None, 1.0, shown)
        )
        answer = {"request_id": request_id, "items": items, "meta": {"variant": name, "bundle_id": bundle_id}}
        await send({"type": "http.response.start", "status": 200, "headers": HEADERS[:1]})
        await send({"type": "http.response.body", "body": json.dumps(answer).encode()})

    return app


async def call(app: App, path: str, body: Any) -> None:
    """One POST without a network; anything but 200 is an error."""
    content = json.dumps(body).encode()
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "scheme": "http",
        "path": path, "raw_path": path.encode(), "query_string": b"", "root_path": "",
        "headers": [*HEADERS, (b"content-length", str(len(content)).encode())],
        "client": ("127.0.0.1", 1), "server": ("localhost", 80),
    }  # fmt: skip
    statuses = []

    async def receive() -> Message:
        return {"type": "http.request", "body": content, "more_body": False}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    await app(scope, receive, send)
    if statuses != [200]:
        raise RuntimeError(f"{path} answered {statuses}")


if __name__ == "__main__":
    options = argparse.ArgumentParser()
    options.add_argument("--bundle", type=Path, help="instead of the shop of 10,000 items")
    main(options.parse_args().bundle)
