"""Traffic at a rate while one part after the other breaks and comes back.

    python -m benchmarks.serving.faults [--minutes 5] [FAULT ...]
    writes benchmarks/results/serving_fault_<fault>.json, a file for each fault

Each fault of `catalogue.py` has a server of its own (two workers) for so many minutes: sound, broken, sound again, a
third each. `missed` names the bars that it missed: every answer useful (k items), known users' lists their own, no 5xx
but those shed on purpose (503 with Retry-After), p99 of the lists below twice the deadline, sound again within 5 s. An
event has no deadline: it waits for the store, at most twice 5 s (`serving/stores/job.py`). What a fault may cost
(`catalogue.py`) is no miss. A fault that cannot be prepared here is said so.
"""

import asyncio
import json
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import provenance
from benchmarks.serving import shop
from benchmarks.serving.faults.catalogue import FAULTS, Fault
from benchmarks.serving.faults.place import WORKERS, Place, place
from benchmarks.serving.traffic import Reply, Traffic, recovered_after, summary
from serving.settings import Settings

RATE = 200.0
MINUTES = 0.5
USEFUL, PERSONALISED, P99_BY_DEADLINE, SOUND_AGAIN_SECONDS = 0.9999, 0.95, 2.0, 5.0
SHED = 503
PATHS = ("/v1/recommend", "/v1/events")


def main(names: list[str], rate: float = RATE, minutes: float = MINUTES) -> None:
    """Measure and write."""
    about = {"rate": rate, "minutes": minutes, "workers": WORKERS, "deadline_ms": Settings().deadline_ms}
    releases = shop.releases()
    for name in names:
        origin = provenance.describe() | {"command": f"python -m benchmarks.serving.faults --minutes {minutes:g}"}
        found = measure(FAULTS[name], releases, rate, 60 * minutes)
        print(name, json.dumps(found), flush=True)
        provenance.write(f"serving_fault_{name.replace(' ', '_')}", origin, {"fault": name, "load": about, **found})


def measure(fault: Fault, releases: Path, rate: float, seconds: float) -> dict[str, Any]:
    """One fault from start to end."""
    try:
        with place(releases, fault.store, cache=fault.cache, clock=fault.clock) as here:
            return asyncio.run(break_it(fault, here, rate, seconds))
    except (OSError, subprocess.CalledProcessError) as error:
        return {"left out": f"cannot be prepared here: {error}"}


async def break_it(fault: Fault, here: Place, rate: float, until: float) -> dict[str, Any]:
    """Traffic all along; the fault in the middle."""
    third = until / 3
    warm = Traffic(here.server.port, shop.requests(seed=3))
    await warm.run(rate / 4, third / 3)
    traffic = Traffic(here.server.port, shop.requests(seed=2))
    running_traffic = asyncio.create_task(traffic.run(rate, until))
    start = time.perf_counter()
    await asyncio.sleep(third)
    manager = fault.happens(here)
    await asyncio.to_thread(manager.__enter__)
    began = time.perf_counter() - start
    await asyncio.sleep(third)
    await asyncio.to_thread(manager.__exit__, None, None, None)
    ended = time.perf_counter() - start
    replies = await running_traffic
    errors = {str(reply.body.get("error", reply.body))[:120] for reply in replies if reply.status != 200}
    found = {
        "all": figures(replies, 0, until),
        "sound": figures(replies, 0, third),
        "broken": figures(replies, began, ended),
        "after": figures(replies, ended, until),
        "errors": sorted(errors)[:5],
        "sound_again_after_seconds": recovered_after(replies, third, ended),
    }
    return {"missed": missed(fault, replies, found), **found}


def missed(fault: Fault, replies: list[Reply], found: dict[str, Any]) -> list[str]:
    """Return the bars that were missed over all the time; what the fault may cost is no miss."""
    every, again = found["all"], found["sound_again_after_seconds"]
    cut = [reply for reply in replies if reply.status == 0]
    failed = [reply for reply in replies if reply.status >= 500 and reply.status != SHED]
    if "events" in fault.costs:
        failed = [reply for reply in failed if reply.path != "/v1/events"]
    held = {
        "useful": every["useful_share"] >= USEFUL,
        "personalised": "personal" in fault.costs or every["personalised_share_of_known"] >= PERSONALISED,
        "no 5xx but those shed": not failed and (not cut or "connections" in fault.costs),
        "p99": every["p99_by_deadline"] <= P99_BY_DEADLINE,
        "sound again": again is not None and again <= SOUND_AGAIN_SECONDS,
    }
    return [bar for bar, was_held in held.items() if not was_held]


def figures(replies: list[Reply], low: float, high: float) -> dict[str, Any]:
    """What came of the requests that were due between two moments."""
    part = [reply for reply in replies if low <= reply.due < high]
    asked = [reply for reply in part if reply.path == "/v1/recommend"]
    answered = [reply.body for reply in asked if reply.status == 200]
    known = [body for body in answered if body["meta"]["segment"] != "cold_user" or body["meta"]["degraded"]]
    own = [body for body in known if body["meta"]["personalised_share"]]
    useful = sum(len(body["items"]) == 10 for body in answered)
    p99 = {
        path: percentile([reply.ms for reply in part if reply.path == path and reply.status == 200]) for path in PATHS
    }
    return {
        **summary(part),
        "p99_ms": p99,
        "useful_share": round(useful / max(len(asked), 1), 5),
        "personalised_share_of_known": round(len(own) / max(len(known), 1), 5),
        "p99_by_deadline": round(p99["/v1/recommend"] / Settings().deadline_ms, 2),
    }


def percentile(ms: list[float]) -> float:
    """The 99th, 0 of nothing."""
    return round(float(np.percentile(ms or [0.0], 99)), 2)
