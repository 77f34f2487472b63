"""Health: rates, latency, faults and ages of this server, and what is wrong now.

The figures are those of `/metrics`, of all workers, kept every few seconds for an hour. A chart shows differences.
"""

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import HTMLResponse

from serving import metrics
from serving.api.errors import ApiError
from serving.console.page import Console, age, console_of, show

EVERY_SECONDS = 5.0
LAST_SECONDS = 60.0
POINTS = 180  # of a chart: one each 20 s of the last hour
OWN = ("none", "/healthz", "/readyz", "/metrics", "/console")  # none: no route, such as a style of the Console
BELOW = "lists below "


class Counts(dict[str, float]):
    """Counts by name; what was never counted is 0."""

    def __missing__(self, name: str) -> float:
        return 0.0


@asynccontextmanager
async def sampled(app: FastAPI) -> AsyncIterator[None]:
    """Take samples while the app runs."""

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
        figures=[*_figures(since(last, now)), *_own(console, now)],
        charts=_charts([since(a, b) for a, b in pairwise(kept[:: -max(1, len(kept) // POINTS)][::-1])]),
        since=kept[0]["at"],
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
    """Return what the value of a metric counts as."""
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
    """Return what was counted between two samples, and the time, the seconds, and the `p50` and `p99` of lists in ms.

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
    """Return what is wrong: what, and what it means or where to look. hour: what was counted in the last hour."""
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


def _figures(last: Counts) -> list[tuple[str, str, str]]:
    """Return label, value and explanation of the figures of the last minute."""

    def rate(name: str) -> str:
        return f"{last[name] / last['seconds']:.1f} a second"

    lists = last["lists"]
    return [
        ("Requests", rate("requests"), "without probes and this Console"),
        ("Lists", rate("lists"), "answers with items"),
        ("Median time", f"{last['p50']:.1f} ms" if "p50" in last else "no list", "half of the lists took no longer"),
        ("p99 time", f"{last['p99']:.1f} ms" if "p99" in last else "no list", "99 of 100 lists took no longer"),
        ("Faults", rate("faults"), "answers 500 and 504"),
        ("Refused", rate("refused"), "429 and 503: too much to do, or not ready"),
        ("Fell back", f"{100 * last['fallbacks'] / lists:.1f} %" if lists else "no list", "lists in part popular"),
        ("Events", rate("events accepted"), "accepted"),
        ("CPU", f"{100 * last['cpu'] / last['seconds']:.0f} % of a core", "of this worker"),
        ("Cost", f"{1e3 * last['cpu'] / lists:.1f} CPU s" if lists else "no list", "this worker's, for 1,000 lists"),
    ]


def _own(console: Console, now: Counts) -> list[tuple[str, str, str]]:
    """Return the same of this worker's resources and ages."""
    engine = console.background.live.engine
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    found = [
        ("Memory", f"{pages * os.sysconf('SC_PAGE_SIZE') / 1e6:,.0f} MB", "of this worker"),
        ("Open files", f"{len(os.listdir('/proc/self/fd')):,}", "files and connections of this worker"),
        ("Waiting", f"{1e3 * max(0.0, now['delay']):.1f} ms", "a request waits at least so long for its turn"),
    ]
    if engine is not None:
        trained = age(now["at"] - engine.bundle.manifest.trained_until.timestamp())
        found.append(("Age of the training", trained, "since the last event that the bundle knows"))
    if engine is not None and engine.live is not None:
        found.append(("Age of live counts", age(now["at"] - engine.live.read_at), "since events were counted last"))
    return found


def _charts(spans: list[Counts]) -> list[dict[str, Any]]:
    """Return title, unit, names and data of each chart; data: times in UTC seconds, then a row of each name."""

    def chart(title: str, unit: str, **rows: Iterable[float | None]) -> dict[str, Any]:
        values = [[None if value is None else round(value, 3) for value in row] for row in rows.values()]
        data = json.dumps([[round(span["at"]) for span in spans], *values])
        return {"title": title, "unit": unit, "names": list(rows), "data": data, "empty": not spans}

    def rate(name: str) -> list[float | None]:
        return [span[name] / span["seconds"] for span in spans]

    share = [100 * span["fallbacks"] / span["lists"] if span["lists"] else None for span in spans]
    return [
        chart("Rates", "a second", lists=rate("lists"), events=rate("events accepted")),
        chart("Time for a list", "ms", median=(s.get("p50") for s in spans), p99=(s.get("p99") for s in spans)),
        chart("Faults and refusals", "a second", faults=rate("faults"), refused=rate("refused")),
        chart("Lists that fell back", "%", share=share),
    ]
