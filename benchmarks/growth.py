"""What a larger catalogue and more users cost the API: benchmarks/results/growth.json

    python -m benchmarks.growth [--items 10000 100000 1000000]

A bundle of random vectors with three models, and as many users as items with 40 events each (1,000 users for 10,000
items). The models have no item tower: a new item gets no vector. CPU is that of the worker's process; `own`: every page
of the workers once.
"""

import argparse
import json
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import provenance, rules
from benchmarks.serving.load import prepared
from benchmarks.serving.server import Server, running
from benchmarks.serving.swap import rewritten
from recsys.bundle import releases

MEASURES = ("serving/__main__.py",)
USERS = {10_000: 1_000}
MODELS = ("als", "als_long", "content")
CALLS, WORKERS, WAIT_SECONDS = 200, 4, 120.0
FILTER = 'price < 20 and category = "c7"'


def main(sizes: list[int], calls: int = CALLS) -> None:
    """Measure each size and write the file."""
    origin, found = provenance.describe(), dict[str, Any]()
    for n_items in sizes:
        with tempfile.TemporaryDirectory() as folder:
            found[str(n_items)] = measure(n_items, Path(folder), calls)
        print(n_items, json.dumps(found[str(n_items)], indent=1), flush=True)
    provenance.write("growth", origin, {"models": len(MODELS), "sizes": found})


def measure(n_items: int, folder: Path, calls: int) -> dict[str, Any]:
    """One size: memory of one worker and of four, then what each kind of request and change costs."""
    users = USERS.get(n_items, n_items)
    rules.make(n_items, folder, MODELS, exact=False, users=users)
    home = folder / "releases"
    releases.promote(folder / "bundle", home)
    environment = {"RECSYS_RELEASES": str(home), "RECSYS_DEADLINE_MS": "10000", "RECSYS_RATE_LIMIT": "0"}
    environment |= prepared(folder)
    own = {}
    for workers in (WORKERS, 1):
        began = time.perf_counter()
        with running("serving", folder, workers, **environment) as server:
            seconds = round(time.perf_counter() - began, 2)
            all_are_ready(server)
            answers(server, users, calls)
            own[workers] = server.memory_mib()["own"]
            if workers == 1:
                return {
                    "users": users,
                    "ready_after_seconds": seconds,
                    "own_mib": own[1],
                    "own_mib_of_four_workers": own[WORKERS],
                    "answer_cpu_ms": answers(server, users, calls),
                    "answer_cpu_ms_with_filter": answers(server, users, calls, FILTER),
                    **changes(server, folder, home),
                }
    raise AssertionError("the last number of workers is one")


def all_are_ready(server: Server) -> None:
    """Return when twenty connections in a row reached a worker that is ready: of four one is the first."""
    ready = 0
    while ready < 20:
        try:
            urllib.request.urlopen(f"http://{server.address}/readyz", timeout=30).read()
            ready += 1
        except urllib.error.HTTPError:
            ready = 0
            time.sleep(0.5)


def answers(server: Server, users: int, calls: int, only: str | None = None) -> float:
    """Milliseconds of CPU for a list, over so many calls one after another."""
    before = server.cpu_seconds()
    for number in range(calls):
        body = {"user_id": f"u{number * 7919 % users}", "k": 10, "variant": "als"}
        post(server, "/v1/recommend", body if only is None else {**body, "filter": only})
    return round((server.cpu_seconds() - before) / calls * 1e3, 2)


def changes(server: Server, folder: Path, home: Path) -> dict[str, Any]:
    """Change a price, add an item, promote another release: seconds until it is seen, CPU, and memory afterwards."""
    found: dict[str, Any] = {}
    bundle = rewritten(folder / "bundle", {"data_hash": "0" * 16})
    things: dict[str, tuple[Callable[[], object], Callable[[], bool]]] = {
        "price": (
            lambda: post(server, "/v1/items", {"item_id": "i3", "price": 1001.0, "available": True}, "PUT"),
            lambda: ids(server, "price = 1001") == ["i3"],
        ),
        "new item": (
            lambda: post(server, "/v1/items", {"item_id": "new", "price": 1002.0}, "PUT"),
            lambda: ids(server, "price = 1002") == ["new"],
        ),
        "release": (
            lambda: releases.promote(bundle, home),
            lambda: about(server) == releases.current(home).name,
        ),
    }
    for name, (change, is_seen) in things.items():
        before = server.cpu_seconds()
        change()
        began = time.perf_counter()
        while not is_seen():
            if time.perf_counter() - began > WAIT_SECONDS:
                raise SystemExit(f"{name}: not seen after {WAIT_SECONDS:g} s")
            time.sleep(0.05)
        took = time.perf_counter() - began
        time.sleep(1)  # what is left to do, such as freeing the engine before
        found[name] = {
            "seen_after_seconds": round(took, 2),
            "cpu_seconds": round(server.cpu_seconds() - before, 3),
            "own_mib_after": server.memory_mib()["own"],
        }
    return found


def ids(server: Server, only: str) -> list[str]:
    """The items of the list of somebody without a history that pass a filter."""
    items = post(server, "/v1/recommend", {"user_id": "nobody", "k": 10, "variant": "popular", "filter": only})["items"]
    return [item["item_id"] for item in items]


def about(server: Server) -> str:
    """The id of the bundle that is served."""
    with urllib.request.urlopen(f"http://{server.address}/v1/about", timeout=30) as answer:
        return str(json.load(answer)["bundle_id"])


def post(server: Server, path: str, body: dict[str, Any], method: str = "POST") -> Any:
    """Send JSON and return the answer."""
    data, headers = json.dumps(body).encode(), {"content-type": "application/json"}
    request = urllib.request.Request(f"http://{server.address}{path}", data, headers, method=method)
    with urllib.request.urlopen(request, timeout=120) as answer:
        return json.load(answer)


if __name__ == "__main__":
    options = argparse.ArgumentParser()
    options.add_argument("--items", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    main(options.parse_args().items)
