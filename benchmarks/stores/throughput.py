"""How many events a second the stores make durable, and how long a look-up takes: benchmarks/results/store.json

    python -m benchmarks.stores.throughput            10 seconds each
    python -m benchmarks.stores.throughput 3          another time

Each writer sends the next event when the one before is acknowledged. The processes share one database.
"""

import asyncio
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from statistics import median, quantiles
from typing import Any
from uuid import uuid4

from benchmarks import provenance
from benchmarks.stores import servers
from serving.stores import open_store
from serving.stores.migrations import migrate
from serving.stores.protocol import Event

WRITERS = 32
USERS, ITEMS = 2_000, 5_000
LOOKS = 5_000


def event() -> Event:
    """Of a random user and item, now."""
    now = time.time()
    user, item = f"user-{random.randrange(USERS)}", f"item-{random.randrange(ITEMS)}"
    return Event(uuid4().hex, user, None, item, "view", None, now, uuid4().hex, now)


def write(url: str, writers: int, size: int, seconds: float) -> dict[str, float]:
    """One process: events a second, and the wait for an acknowledgement in milliseconds."""

    async def run() -> dict[str, float]:
        store = await open_store(url)
        waits: list[float] = []
        end = time.perf_counter() + seconds

        async def writer() -> None:
            while (began := time.perf_counter()) < end:
                await store.add_events([event() for _ in range(size)])
                waits.append((time.perf_counter() - began) * 1e3)

        began = time.perf_counter()
        await asyncio.gather(*(writer() for _ in range(writers)))
        rate = len(waits) * size / (time.perf_counter() - began)
        await store.close()
        return {"events_per_s": rate, "p50_ms": median(waits), "p99_ms": quantiles(waits, n=100)[-1]}

    return asyncio.run(run())


def look(url: str) -> dict[str, float]:
    """One user's history of up to 200 events, in microseconds."""

    async def run() -> dict[str, float]:
        store = await open_store(url)
        waits = []
        for _ in range(LOOKS):
            began = time.perf_counter()
            await store.history(f"user-{random.randrange(USERS)}", None, 200)
            waits.append((time.perf_counter() - began) * 1e6)
        began = time.perf_counter()
        await store.newest(0.0, (float("inf"), ""), 2000)
        newest = (time.perf_counter() - began) * 1e3
        await store.close()
        return {
            "history_p50_us": median(waits),
            "history_p99_us": quantiles(waits, n=100)[-1],
            "newest_2000_ms": newest,
        }

    return asyncio.run(run())


def measure(new_store: Callable[[], str], seconds: float) -> dict[str, Any]:
    """Each on a store of its own, which is empty at the start."""
    found: dict[str, Any] = {}
    full = new_store()
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        for name, processes, size in (("single", 1, 1), ("batches_of_100", 1, 100), ("single_two_processes", 2, 1)):
            url = full if name == "batches_of_100" else new_store()
            migrate(url)
            runs = [pool.submit(write, url, WRITERS // processes, size, seconds) for _ in range(processes)]
            parts = [run.result() for run in runs]
            found[name] = {
                "events_per_s": round(sum(part["events_per_s"] for part in parts)),
                "p50_ms": round(median(part["p50_ms"] for part in parts), 2),
                "p99_ms": round(max(part["p99_ms"] for part in parts), 2),
            }
        found["reading"] = {name: round(value, 1) for name, value in pool.submit(look, full).result().items()}
    return found


def sync_ms(folder: Path) -> float:
    """The time of one durable write of 32 KiB: no commit can be faster."""
    waits = []
    with (folder / "probe").open("wb", buffering=0) as file:
        for _ in range(200):
            file.write(bytes(32_768))
            began = time.perf_counter()
            os.fdatasync(file.fileno())
            waits.append((time.perf_counter() - began) * 1e3)
    return median(waits)


def main(seconds: float = 10.0) -> None:
    """Measure both and write the file."""
    origin = provenance.describe()
    with tempfile.TemporaryDirectory() as folder, servers.postgres() as server:
        results = {
            "fdatasync_ms": round(sync_ms(Path(folder)), 3),
            "writers": WRITERS,
            "seconds": seconds,
            "sqlite": measure(lambda: f"sqlite:///{folder}/{uuid4().hex}.sqlite", seconds),
            "postgresql": measure(server.new_database, seconds),
        }
    provenance.write("store", origin, results)
    print(json.dumps(results, indent=1))


if __name__ == "__main__":
    main(*map(float, sys.argv[1:]))
