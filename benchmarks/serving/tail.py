"""What makes an answer slow: the latency of lists alone, and with other work of the same server beside them.

    python -m benchmarks.serving.tail [--seconds 20]    writes benchmarks/results/serving_tail.json

One worker on a core of its own, the client on the other. Lists arrive at half of the rate at which the worker answers
them as fast as it can (open loop, so waiting counts). Each kind of work has its turn in every round. `ms`: milliseconds
from the moment at which a list was due; `histogram`: how many lists took at least so many milliseconds and less than
the next number.
"""

import argparse
import asyncio
import json
import shutil
import statistics
import tempfile
import time
import urllib.request
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import provenance
from benchmarks.serving import load, shop
from benchmarks.serving.server import Server, apart, running
from benchmarks.serving.swap import rewritten
from benchmarks.serving.traffic import Traffic
from recsys.bundle import releases

ROUNDS, SECONDS, EVENT_SHARE = 5, 20.0, 0.1
EDGES = [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512]  # ms
WAYS: dict[str, tuple[str, ...]] = {
    "lists alone": (),
    "one request in ten an event": ("events",),
    "an item changed each second": ("item changes",),
    "metrics read each second": ("scrapes",),
    "a release changed every five seconds": ("releases",),
    "events and item changes": ("events", "item changes"),
}
EVERY = {"item changes": 1.0, "scrapes": 1.0, "releases": 5.0}


def main(seconds: float = SECONDS, rounds: int = ROUNDS) -> None:
    """Measure and write."""
    origin = provenance.describe()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        home, first = folder / "releases", shop.bundle_folder()
        releases.promote(first, home)
        second = rewritten(Path(shutil.copytree(first, folder / "second")), {"data_hash": "0" * 16})
        with running("serving", folder, 1, RECSYS_RELEASES=str(home), **load.prepared(folder)) as server, apart(server):
            rate = saturation(folder, server) / 2
            works = {
                "item changes": change_item(server), "scrapes": lambda: fetch(server, "/metrics"),
                "releases": change_release(second, home),
            }  # fmt: skip
            found: dict[str, list[list[float]]] = {way: [] for way in WAYS}
            for number in range(rounds):
                for way, names in WAYS.items():
                    share = EVENT_SHARE if "events" in names else 0.0
                    requests = shop.requests(seed=number, event_share=share)
                    beside = {name: works[name] for name in names if name in works}
                    found[way].append(asyncio.run(stretch(Traffic(server.port, requests), rate, seconds, beside)))
    figures = {way: described(runs) for way, runs in found.items()}
    provenance.write("serving_tail", origin, {"lists_per_second": rate, "ways": figures})
    print(json.dumps(figures, indent=1))


async def stretch(traffic: Traffic, rate: float, seconds: float, beside: dict[str, Callable[[], None]]) -> list[float]:
    """Milliseconds of each list that was answered while other work went on."""
    async with AsyncExitStack() as stack:
        for name, work in beside.items():
            await stack.enter_async_context(repeated(work, EVERY[name]))
        replies = await traffic.run(rate, seconds)
    lists = [reply for reply in replies if reply.path == "/v1/recommend"]
    if failed := [reply for reply in lists if reply.status != 200]:
        raise SystemExit(f"{len(failed)} of {len(lists)} lists failed: {failed[0].status} {failed[0].body}")
    return [reply.ms for reply in lists]


@asynccontextmanager
async def repeated(work: Callable[[], None], every: float) -> AsyncIterator[None]:
    """Do it in a thread again and again, until the block ends."""

    async def repeat() -> None:
        while True:
            await asyncio.sleep(every)
            await asyncio.to_thread(work)

    task = asyncio.create_task(repeat())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})


def change_item(server: Server) -> Callable[[], None]:
    """Give one item after the other a new price."""
    ids = iter(shop._ids("items", "items") * 100)

    def change() -> None:
        fetch(server, "/v1/items", {"item_id": next(ids), "price": round(time.time() % 100, 2)})

    return change


def change_release(second: Path, home: Path) -> Callable[[], None]:
    """Promote the second release and roll it back, in turns."""

    def change() -> None:
        if releases.current(home).name == first:
            releases.promote(second, home)
        else:
            releases.rollback(home)

    first = releases.current(home).name
    return change


def fetch(server: Server, path: str, body: dict[str, Any] | None = None) -> None:
    """GET a path, or PUT a body."""
    data = None if body is None else json.dumps(body).encode()
    method, headers = ("GET" if body is None else "PUT"), {"content-type": "application/json"}
    request = urllib.request.Request(f"http://{server.address}{path}", data, headers, method=method)
    urllib.request.urlopen(request, timeout=30).read()


def saturation(folder: Path, server: Server) -> float:
    """Lists a second that the worker answers as fast as it can: the median of three turns after one that warms up."""
    body = load.script(folder, "default", [body for _, body in islice(shop.requests(1, event_share=0), 2000)])
    turns = [load.wrk(server.port, ["-s", str(body)], load.CONNECTIONS, 4).per_second for _ in range(4)]
    return statistics.median(turns[1:])


def described(runs: list[list[float]]) -> dict[str, Any]:
    """Percentiles of each round, their medians, and how all lists are spread."""
    at = {name: [round(float(np.percentile(run, q)), 2) for run in runs] for name, q in PERCENTILES.items()}
    counts, _ = np.histogram(np.concatenate(runs), [*EDGES, np.inf])
    ratios = [round(high / low, 2) for low, high in zip(at["p50"], at["p99"], strict=True)]
    return {
        "lists": sum(map(len, runs)),
        "ms": {name: statistics.median(values) for name, values in at.items()},
        "p99_by_p50": {"median": statistics.median(ratios), "rounds": ratios},
        "histogram": dict(zip(map(str, EDGES), counts.tolist(), strict=True)),
    }


PERCENTILES = {"p50": 50, "p95": 95, "p99": 99, "p99.9": 99.9}

if __name__ == "__main__":
    options = argparse.ArgumentParser()
    options.add_argument("--seconds", type=float, default=SECONDS, help="how long each turn lasts")
    main(options.parse_args().seconds)
