"""The metrics at /metrics for Prometheus: requests, fallbacks, failed parts, events, the bundle.

With PROMETHEUS_MULTIPROC_DIR every worker writes into files of that folder, and the worker that is asked adds up all of
them; `python -m serving` sets it to a new folder before the first worker starts.
"""

import os
from time import perf_counter

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.api.schemas import Answer

FOLDER = "PROMETHEUS_MULTIPROC_DIR"
SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0)

REQUESTS = Counter("recsys_requests", "Requests by route and status", ["method", "route", "status"])
LATENCY = Histogram("recsys_request_seconds", "Time until the answer was sent", ["route"], buckets=SECONDS)
ANSWERS = Counter(
    "recsys_answers", "Lists by variant and reason of the fallback, `none` without", ["variant", "reason"]
)
PLACES = Counter(
    "recsys_personalised_places",
    "Places of lists by segment, and whether they are this user's own",
    ["segment", "personalised"],
)
FAILED = Counter("recsys_failed_parts", "Answers made without a part, by part", ["part"])
EVENTS = Counter(
    "recsys_events", "Events: accepted, duplicate, rejected, unavailable or unknown because of the store", ["outcome"]
)
UNKNOWN_ITEMS = Counter("recsys_events_unknown_items", "Items of accepted events that nobody described, by request")
FLAG_FAILURES = Counter("recsys_flag_failures", "Arms that could not be had or served, by experiment", ["experiment"])
# of several workers the one that spoke last: a sum would go on counting workers that have ended
BUNDLE = Gauge("recsys_bundle_info", "1 for the bundle that is served", ["bundle_id"], multiprocess_mode="mostrecent")
LIVE_READ = Gauge(
    "recsys_live_read_timestamp_seconds",
    "When events were last read for what people do now",
    multiprocess_mode="mostrecent",
)
REFUSED = Gauge("recsys_release_refused", "1 while the current release is kept out", multiprocess_mode="mostrecent")
LAST_KNOWN = Gauge(
    "recsys_last_known", "1 while a part is served as it last was known", ["part"], multiprocess_mode="mostrecent"
)
DELAY = Gauge("recsys_loop_delay_seconds", "How long a request waits at least", multiprocess_mode="mostrecent")
TENTHS = tuple(tenth / 10 for tenth in range(11))
SHADOW = Counter("recsys_shadow_requests", "What became of requests in the shadow", ["outcome"])
SHADOW_SECONDS = Histogram("recsys_shadow_seconds", "Time that the shadow took for a list", buckets=SECONDS)
SHADOW_OVERLAP = Histogram("recsys_shadow_overlap", "Share of items that both lists hold", buckets=TENTHS)
SHADOW_RBO = Histogram("recsys_shadow_rbo", "Rank-biased overlap of both lists, p = 0.9", buckets=TENTHS)


def answered(answer: Answer) -> None:
    """Count one list that was served."""
    ANSWERS.labels(answer.meta.variant, answer.meta.fallback_reason or "none").inc()
    if answer.meta.personalised_share is not None:
        own = round(answer.meta.personalised_share * len(answer.items))
        PLACES.labels(answer.meta.segment, "yes").inc(own)
        PLACES.labels(answer.meta.segment, "no").inc(len(answer.items) - own)
    for part in answer.meta.failed:
        FAILED.labels(part).inc()


def swapped(before: str | None, bundle_id: str) -> None:
    """Record that this worker serves another bundle."""
    if before is not None:
        BUNDLE.labels(before).set(0)
    BUNDLE.labels(bundle_id).set(1)


def registry() -> CollectorRegistry:
    """Return the metrics of all workers."""
    if FOLDER not in os.environ:
        return REGISTRY
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return registry


def page() -> bytes:
    """Return the metrics of all workers in Prometheus' text format."""
    return generate_latest(registry())


class Measured:
    """Counts and times every request under the route that answered it. Plain ASGI."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = perf_counter()
        status = 500

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, noting)
        finally:
            route = getattr(scope.get("route"), "path_format", "none")
            REQUESTS.labels(scope["method"], route, status).inc()
            LATENCY.labels(route).observe(perf_counter() - started)
