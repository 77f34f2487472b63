"""The page of the server's health: request rates, latency, errors, age of the data, and present problems.

It samples the metrics of all workers three times a minute for an hour; its charts show differences between samples.
Alerts come from Prometheus, and drift from the findings that `recsys watch` stored.
"""

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from itertools import pairwise

import numpy as np
from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import HTMLResponse

from serving import metrics
from serving.api.errors import ApiError
from serving.console import prometheus, queries
from serving.console.page import Console, console_of, show
from serving.stores.protocol import StoreError

EVERY_SECONDS = 20.0
LAST_SECONDS = 60.0
OWN = ("none", "/healthz", "/readyz", "/metrics", "/console")  # not counted; none: no route, such as a style sheet
BELOW = "lists below "
FINDINGS = 20  # the newest, on the page


class Counts(dict[str, float]):
    """Values by name; 0 for a name that is missing."""

    def __missing__(self, name: str) -> float:
        return 0.0


@asynccontextmanager
async def sampled(app: FastAPI) -> AsyncIterator[None]:
    """Sample the metrics while the app runs."""

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
    """Show the health of this server. part: return only the figures, which the page loads again every few seconds."""
    console, now = console_of(request), take()
    kept = [*console.samples, now]
    minute = since(next(sample for sample in kept if sample["at"] >= now["at"] - LAST_SECONDS), now)
    return show(
        request,
        "figures.html.j2" if part else "health.html.j2",
        wrong=await wrong(console, since(kept[0], now)),
        last=minute,
        own=_own(console, now),
        steps=means(minute, "step"),
        variants=means(minute, "variant"),
        workers=_workers(minute, now),
        findings=await found_by_the_watcher(console),
        series=_series([since(a, b) for a, b in pairwise(kept)]),
        begun=kept[0]["at"],
    )


def take() -> Counts:
    """Sample the counts of all workers, with the time `at` (UTC seconds) and `cpu`, CPU seconds of all workers."""
    counts = Counts(at=time.time())
    for family in metrics.registry().collect():
        for sample in family.samples if family.name.startswith("recsys_") else ():
            for name in _counted(sample.name, sample.labels):
                counts[sys.intern(name)] += sample.value  # an hour of samples holds each name once
    return counts


def _counted(metric: str, labels: dict[str, str]) -> list[str]:
    """Return the names in `Counts` to which the value of a metric is added."""
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
        case "step_seconds_sum" | "step_seconds_count" as name:
            of = "variant" if labels["step"] == "total" else "step"
            return [f"{of} {name[13:]} {labels[of]}"]
        case "worker_cpu_seconds":
            return ["cpu", f"cpu {labels['worker']}"]
        case "worker_memory_bytes":
            return [f"memory {labels['worker']}"]
        case "loop_delay_seconds":
            return ["delay"]
        case "newest_event_timestamp_seconds" | "promoted_timestamp_seconds" as moment:
            return [moment]
    return []


def since(a: Counts, b: Counts) -> Counts:
    """Return the differences of two samples (a the earlier), `at`, `seconds` between them, and, if there were requests
    for lists, the percentiles `p50` and `p99` of their time in ms. A count that fell, as after a restart, counts 0.
    """
    found = Counts({name: max(0.0, b[name] - a[name]) for name in b})
    found |= {"at": b["at"], "seconds": max(b["at"] - a["at"], 1e-9)}
    bounds = sorted(float(name.removeprefix(BELOW)) for name in found if name.startswith(BELOW))
    below = [found[f"{BELOW}{'+Inf' if bound == float('inf') else bound}"] for bound in bounds]
    if below and below[-1]:
        times = [0.0, *bounds[:-1], bounds[-2]]  # the last bucket has no upper bound
        found["p50"], found["p99"] = 1e3 * np.interp(np.array([0.5, 0.99]) * below[-1], [0.0, *below], times)
    return found


def means(span: Counts, of: str) -> list[tuple[str, float, float]]:
    """Return (name, number of answers, mean time in ms) of each step or variant (of) in a span of time, slowest first.

    The time of a variant is that of whole answers.
    """
    counted = {
        name.removeprefix(f"{of} count "): n for name, n in span.items() if n and name.startswith(f"{of} count ")
    }
    found = [(name, n, 1e3 * span[f"{of} sum {name}"] / n) for name, n in counted.items()]
    return sorted(found, key=lambda each: -each[2])


def _workers(span: Counts, now: Counts) -> list[tuple[str, float, float]]:
    """Return (process id, share of a CPU core in the span of time that ends now, memory in MB) of each worker."""
    pids = sorted(name.removeprefix("memory ") for name in now if name.startswith("memory "))
    return [(pid, span[f"cpu {pid}"] / span["seconds"], now[f"memory {pid}"] / 1e6) for pid in pids]


async def found_by_the_watcher(console: Console) -> list[tuple[float, str, str, str, str]]:
    """Return (UTC seconds, kind, description, bundle id, action) of the watcher's newest findings, none without the
    store."""
    with suppress(StoreError, ApiError):
        return await console.service.store().select(queries.FINDINGS, FINDINGS)
    return []


async def wrong(console: Console, hour: Counts) -> list[tuple[str, str]]:
    """Return (problem, its reason or consequence) for each present problem. hour: the differences of an hour."""
    background, found = console.background, []
    try:
        if (await console.service.ready()).store != "reached":
            found.append(("The store is out of reach", "lists come from the bundle alone, and no event is accepted"))
    except ApiError as error:
        found.append(("Not ready", error.message))
    for what, reason in (
        ("The current release is not served", background.live.reason if background.live.engine else None),
        ("The file of rules is not fully in force", background.rules.reason),
        ("The file of experiments is not in force", background.experiments.reason),
    ):
        found += [(what, reason)] if reason else []
    found += [(f"{part}: served from a copy", "the original cannot be read") for part in background.last_known.using]
    lost = {"exposures dropped": "the log has gaps", "events unavailable": "not accepted",
            "events unknown": "they may be stored"}  # fmt: skip
    for name, n in hour.items():
        if n and name in lost:
            found.append((name.capitalize(), f"{n:.0f} in the last hour: {lost[name]}"))
        elif n and name.startswith("part "):
            found.append((f"Failed: {name[5:]}", f"{n:.0f} answers of the last hour were computed without it"))
    return found + await _alerts(console.settings.prometheus_url)


async def _alerts(url: str) -> list[tuple[str, str]]:
    firing = await prometheus.alerts(url) if url else []
    if firing is None:
        return [("Prometheus does not answer", "alerts are not shown here")]
    return [(f"Alert {name}", labels or "see the runbook in docs/operations.md") for name, labels in firing]


def _own(console: Console, now: Counts) -> dict[str, float]:
    """Return this worker's open files and event-loop delay (ms), and the ages (s) of training data, live counts, newest
    event and last promotion, as far as they are known.
    """
    engine = console.background.live.engine
    own = {"files": float(len(os.listdir("/proc/self/fd"))), "waiting": 1e3 * max(0.0, now["delay"])}
    moments = {
        "event": now["newest_event_timestamp_seconds"],
        "promoted": now["promoted_timestamp_seconds"],
        "training": engine.bundle.manifest.trained_until.timestamp() if engine else 0.0,
        "live": engine.live.read_at if engine and engine.live else 0.0,
    }
    return own | {name: now["at"] - moment for name, moment in moments.items() if moment}


def _series(spans: list[Counts]) -> dict[str, list[float | None]]:
    """Return the series of the charts: name -> a value for each span of time, None if undefined; `at`: UTC seconds."""
    rates = ("lists", "events accepted", "faults", "refused")
    found: dict[str, list[float | None]] = {"at": [round(span["at"]) for span in spans]}
    found |= {name: [round(span[name] / span["seconds"], 3) for span in spans] for name in rates}
    found |= {name: [round(span[name], 2) if name in span else None for span in spans] for name in ("p50", "p99")}
    shares = [100 * span["fallbacks"] / span["lists"] if span["lists"] else None for span in spans]
    return {**found, "fell back": shares}
