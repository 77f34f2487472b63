"""Ten times the expected traffic while one part after the other breaks and comes back.

    python -m benchmarks.serving.faults [FAULT ...]    writes benchmarks/results/serving_faults.json

Each fault has a server of its own (two workers): sound, broken, sound again, some seconds each. What counts: no 5xx
but those shed on purpose (503 with Retry-After), every answer useful (k items), sound again within 5 s.
The disk is a tmpfs of 48 MiB that another file fills, which needs root; without it that fault is left out and said so.
"""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any

import apsw

from benchmarks import provenance
from benchmarks.serving import shop
from benchmarks.serving.place import Place, clean, pg_ctl, prepare, start_redis
from benchmarks.serving.server import running
from benchmarks.serving.traffic import Reply, Traffic, recovered_after, summary
from recsys.output import write_text
from recsys.schemas.store_schema import SQLITE

TOP = Path(__file__).parents[2]
RATE = 200.0
SECONDS = {"sound": 8.0, "broken": 10.0, "after": 12.0}
APP = "benchmarks.serving.faulty:create_app"

Fault = Callable[[Place], AbstractContextManager[None]]


@contextmanager
def source_raises(place: Place) -> Iterator[None]:
    """The source of the collaborative model raises at every request."""
    with _flag(place.folder / "source_raises"):
        yield


@contextmanager
def source_slow(place: Place) -> Iterator[None]:
    """The same source takes 300 ms."""
    with _flag(place.folder / "source_slow"):
        yield


@contextmanager
def store_locked(place: Place) -> Iterator[None]:
    """Another process keeps the SQLite store locked."""
    other = apsw.Connection(place.environment["RECSYS_STORE_URL"].removeprefix(SQLITE))
    other.set_busy_timeout(5000)
    other.execute("BEGIN EXCLUSIVE")
    try:
        yield
    finally:
        other.execute("ROLLBACK")
        other.close()


@contextmanager
def disk_full(place: Place) -> Iterator[None]:
    """The disk of the store is full."""
    filler = place.folder / "store/filler"
    with suppress(OSError), filler.open("wb") as file:
        while True:
            file.write(b"\0" * 65536)
            file.flush()
    try:
        yield
    finally:
        filler.unlink()


@contextmanager
def worker_killed(place: Place) -> Iterator[None]:
    """One of the two workers dies at once."""
    assert place.server is not None
    os.kill(place.server.workers()[0], signal.SIGKILL)
    yield


@contextmanager
def bundle_half_written(place: Place) -> Iterator[None]:
    """The current release is a copy that broke off; afterwards the release before it is current again."""
    releases = place.folder / "releases"
    before = (releases / "state.json").read_text()
    state = json.loads(before)
    broken = releases / "0123456789abcdef"
    shutil.copytree(releases / state["stack"][-1], broken)
    catalogue = broken / "catalogue.parquet"
    catalogue.write_bytes(catalogue.read_bytes()[: catalogue.stat().st_size // 2])
    write_text(releases / "state.json", json.dumps({**state, "stack": [*state["stack"], broken.name]}))
    try:
        yield
    finally:
        write_text(releases / "state.json", before)


@contextmanager
def cache_down(place: Place) -> Iterator[None]:
    """The Redis cache is gone."""
    redis = place.environment["RECSYS_CACHE_URL"].rpartition(":")[2]
    subprocess.run(["redis-cli", "-p", redis, "shutdown", "nosave"], check=False, capture_output=True)
    try:
        yield
    finally:
        start_redis(int(redis))


@contextmanager
def postgres_down(place: Place) -> Iterator[None]:
    """The PostgreSQL store is stopped at once."""
    pg_ctl(place, "stop", "-m", "immediate")
    try:
        yield
    finally:
        pg_ctl(place, "start", "-w", "-l", str(place.folder / "pg.log"))


FAULTS: dict[str, Fault] = {
    "source raises": source_raises,
    "source slow": source_slow,
    "store down (SQLite locked)": store_locked,
    "store down (PostgreSQL stopped)": postgres_down,
    "cache down": cache_down,
    "bundle half-written": bundle_half_written,
    "worker killed": worker_killed,
    "disk full for events": disk_full,
}


def main(names: list[str], rate: float = RATE, seconds: dict[str, float] = SECONDS) -> None:
    """Measure and write."""
    origin, found = provenance.describe(), {}
    for name in names:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            os.chmod(folder, 0o755)
            found[name] = measure(name, Place(Path(folder)), rate, seconds)
        print(name, json.dumps(found[name]), flush=True)
    about = {"rate": rate, "seconds": seconds, "workers": 2}
    provenance.write("serving_faults", origin, {"load": about, "faults": found})


def measure(name: str, place: Place, rate: float, seconds: dict[str, float]) -> dict[str, Any]:
    """One fault from start to end."""
    try:
        prepare(name, place)
    except (OSError, subprocess.CalledProcessError) as error:
        return {"left out": f"cannot be prepared here: {error}"}
    try:
        url = place.environment["RECSYS_STORE_URL"]
        subprocess.run([sys.executable, "-m", "serving.stores", "migrate", "--url", url], check=True, cwd=TOP)
        with running(APP, place.folder, 2, **place.environment) as server:
            place.server = server
            return asyncio.run(break_it(FAULTS[name], place, rate, seconds))
    finally:
        clean(name, place)


async def break_it(fault: Fault, place: Place, rate: float, seconds: dict[str, float]) -> dict[str, Any]:
    """Traffic all along; the fault in the middle."""
    server, until = place.server, sum(seconds.values())
    assert server is not None
    warm = Traffic(server.port, shop.requests(seed=3))
    await warm.run(rate / 4, seconds["sound"] / 3)
    traffic = Traffic(server.port, shop.requests(seed=2))
    running_traffic = asyncio.create_task(traffic.run(rate, until))
    start = time.perf_counter()
    await asyncio.sleep(seconds["sound"])
    manager = fault(place)
    await asyncio.to_thread(manager.__enter__)
    began = time.perf_counter() - start
    await asyncio.sleep(seconds["broken"])
    await asyncio.to_thread(manager.__exit__, None, None, None)
    ended = time.perf_counter() - start
    replies = await running_traffic

    def between(low: float, high: float) -> list[Reply]:
        return [reply for reply in replies if low <= reply.due < high]

    return {
        "sound": summary(between(0, seconds["sound"])),
        "broken": summary(between(began, ended)),
        "after": summary(between(ended, until)),
        "errors": sorted({str(reply.body.get("error", reply.body))[:120] for reply in replies if reply.status != 200})[
            :5
        ],
        "sound_again_after_seconds": recovered_after(replies, ended),
    }


@contextmanager
def _flag(path: Path) -> Iterator[None]:
    path.touch()
    try:
        yield
    finally:
        path.unlink()


if __name__ == "__main__":
    main(sys.argv[1:] or list(FAULTS))
