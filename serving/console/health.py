"""Health: rates, latency, faults and ages of this server, and what is wrong now.

The figures are those of `/metrics`, of all workers, kept every few seconds for an hour. A chart shows differences.
"""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from itertools import pairwise
from pathlib import Path

import numpy as np
from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import HTMLResponse

from serving import metrics
from serving.api.errors import ApiError
from serving.console.page import Console, console_of, show

EVERY_SECONDS = 5.0
LAST_SECONDS = 60.0
POINTS = 180  # of a chart: one each 20 s of the last hour
OWN = ("none", "/healthz", "/readyz", "/metrics", "/console")  # none: no route, such as a style of the Console
BELOW = "lists below "


class Counts(dict[str, float]):
    """Counts by name, by default 0."""

    def __missing__(self, name: str) -> float:
        return 0.0


@asynccontextmanager
async def sampled(app: FastAPI) -> AsyncIterator[None]:
    """Record samples of the metrics every few seconds while the app runs."""

    async def follow() -> None:
        while True:
            app.state.console.samples.append(await asyncio.to_thread(take))
            await asyncio.sleep(EVERY_SECONDS)

    following = asyncio.create_task(follow())
    yield
    following.cancel()
    with suppress(asyncio.CancelledError):
        await following


router = APIRouter(prefix="/console/health", lifespan=sampled)


@router.get("")
async def health_page(request: Request, part: bool = False) -> HTMLResponse:
    """Show the health of this server. part: only the figures, for the page that asks again every few seconds."""
    console, now = console_of(request), take()
    kept = [*console.samples, now]
    last = next(sample for sample in kept if sample["at"] >= now["at"] - LAST_SECONDS)
    return show(
        request,
        "figures.html.j2" if part else "health.html.j2",
        wrong=await wrong(console, since(kept[0], now)),
        last=since(last, now),
        own=_own(console, now),
        series=_series([since(a, b) for a, b in pairwise(kept[:: -max(1, len(kept) // POINTS)][::-1])]),
        begun=kept[0]["at"],
    )


def take() -> Counts:
    """Read the counts of all workers since their start, the moment `at`, and the CPU seconds `cpu` of this worker."""
    counts = Counts(at=time.time(), cpu=time.process_time())
    for family in metrics.registry().collect():
        for sample in family.samples if family.name.startswith("recsys_") else ():
            for name in _counted(sample.name, sample.labels):
                counts[name] += sample.value
    return counts


def _counted(metric: str, labels: dict[str, str]) -> list[str]:
    """Return the name that the value of a metric is counted under."""
    match metric.removeprefix("recsys_").removesuffix("_total"):
        case "requests" if not labels["route"].startswith(OWN):
            status = labels["status"]
            return ["requests", *["faults"] * (status in ("500", "504")), *["refused"] * (status in ("429", "503"))]
        case "request_seconds_bucket" if labels["route"].startswith("/v1/recommend"):
            return [BELOW + labels["le"]]
        case "answers":
            return ["lists", *["fallbacks"] * (labels["reason"] != "none")]
        case "events" | "exposures" as kind:
            return [f"{kind} {labels['outcome']}"]
        case "failed_parts":
            return [f"part {labels['part']}"]
        case "loop_delay_seconds":
            return ["delay"]
    return []


def since(a: Counts, b: Counts) -> Counts:
    """Return the counts between two samples, and the time, the seconds, and the `p50` and `p99` of lists in ms.

    A count that fell, as after a restart of a worker, is 0.
    """
    found = Counts({name: max(0.0, b[name] - a[name]) for name in b})
    found |= {"at": b["at"], "seconds": max(b["at"] - a["at"], 1e-9)}
    bounds = sorted(float(name.removeprefix(BELOW)) for name in found if name.startswith(BELOW))
    below = [found[f"{BELOW}{'+Inf' if bound == float('inf') else bound}"] for bound in bounds]
    if below and below[-1]:
        times = [0.0, *bounds[:-1], bounds[-2]]  # nothing is known above the last bound
        found["p50"], found["p99"] = 1e3 * np.interp(np.array([0.5, 0.99]) * below[-1], [0.0, *below], times)
    return found


async def wrong(console: Console, hour: Counts) -> list[tuple[str, str]]:
    """Return the present problems, each with what to do. hour: the counts of the last hour."""
    background, found = console.background, []
    try:
        if (await console.service.ready()).store != "reached":
            found.append(("The store is out of reach", "lists come from the bundle alone, and no event is accepted"))
    except ApiError as error:
        found.append(("Not ready", error.message))
    for what, reason in (
        ("The current release is kept out", background.live.reason if background.live.engine else None),
        ("The file of rules has no or not its full effect", background.rules.reason),
        ("The file of experiments has no effect", background.experiments.reason),
    ):
        found += [(what, reason)] if reason else []
    found += [(f"{part}: served as it last was", "the original cannot be read") for part in background.last_known.using]
    lost = {"exposures dropped": "the log has gaps", "events unavailable": "not accepted", "events unknown": "in doubt"}
    for name, n in hour.items():
        if n and name in lost:
            found.append((name.capitalize(), f"{n:.0f} in the last hour: {lost[name]}"))
        elif n and name.startswith("part "):
            found.append((f"Failed: {name[5:]}", f"{n:.0f} answers of the last hour were made without it"))
    return found


def _own(console: Console, now: Counts) -> dict[str, float]:
    """Return memory (MB), open files and waiting (ms) of this worker, and the ages of training and live counts (s)."""
    engine = console.background.live.engine
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    own = {"memory": pages * os.sysconf("SC_PAGE_SIZE") / 1e6, "files": float(len(os.listdir("/proc/self/fd")))}
    own["waiting"] = 1e3 * max(0.0, now["delay"])
    if engine is not None:
        own["training"] = now["at"] - engine.bundle.manifest.trained_until.timestamp()
    if engine is not None and engine.live is not None:
        own["live"] = now["at"] - engine.live.read_at
    return own


def _series(spans: list[Counts]) -> dict[str, list[float | None]]:
    """Return the rows of the charts by name, a value for each span; `at`: UTC seconds; None without requests."""
    rates = ("lists", "events accepted", "faults", "refused")
    found: dict[str, list[float | None]] = {"at": [round(span["at"]) for span in spans]}
    found |= {name: [round(span[name] / span["seconds"], 3) for span in spans] for name in rates}
    found |= {name: [round(span[name], 2) if name in span else None for span in spans] for name in ("p50", "p99")}
    shares = [100 * span["fallbacks"] / span["lists"] if span["lists"] else None for span in spans]
    return {**found, "fell back": shares}
