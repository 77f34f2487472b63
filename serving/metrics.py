"""The metrics at /metrics for Prometheus: requests, fallbacks, failed parts, events, the bundle.

If PROMETHEUS_MULTIPROC_DIR is set, every worker writes its values into files of that folder, and the worker that
answers /metrics adds up all files. `python -m serving` sets it before the first worker starts.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache, partial
from pathlib import Path

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector

from serving.answer_metrics import AnswerMetrics

FOLDER = "PROMETHEUS_MULTIPROC_DIR"
SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0)

REQUESTS = Counter("recsys_requests", "Requests by route and status", ["method", "route", "status"])
LATENCY = Histogram("recsys_request_seconds", "Time until the answer was sent", ["route"], buckets=SECONDS)
EVENTS = Counter(
    "recsys_events", "Events by outcome; unavailable, unknown: the store failed before or during the write", ["outcome"]
)
for _outcome in ("accepted", "duplicate", "rejected", "unavailable", "unknown"):
    EVENTS.labels(_outcome)  # start at 0: Prometheus' rate() does not see the first value of a new series
EVENTS_BY_KIND = Counter("recsys_events_by_kind", "Accepted events by kind", ["event"])
EVENT_VALUE = Counter("recsys_events_value", "Sum of the values above zero of accepted events, by kind", ["event"])
UNKNOWN_ITEMS = Counter("recsys_events_unknown_items", "Unknown items of accepted events, each once per request")
FLAG_FAILURES = Counter("recsys_flag_failures", "Requests whose arm was not found or not served", ["experiment"])
# "mostrecent" is the value of the worker that set it last; a sum would include workers that have ended
_newest = partial(Gauge, multiprocess_mode="mostrecent")
BUNDLE = _newest("recsys_bundle_info", "1 for the bundle that is served", ["bundle_id"])
LIVE_READ = _newest("recsys_live_read_timestamp_seconds", "Time when events were last read for the live counts")
NEWEST_EVENT = _newest("recsys_newest_event_timestamp_seconds", "When the newest event was received")
TRAINED_UNTIL = _newest("recsys_trained_until_timestamp_seconds", "End of the data of the served bundle")
PROMOTED = _newest("recsys_promoted_timestamp_seconds", "When a release was promoted or rolled back last")
CATALOGUE = _newest("recsys_catalogue_items", "Items of the served bundle")
PRICE = _newest("recsys_cpu_hour_price", "Price of an hour of CPU, RECSYS_CPU_HOUR_PRICE")
REFUSED = _newest("recsys_release_refused", "1 while the current release is not served")
FILE_REFUSED = _newest(
    "recsys_file_refused", "1 while the file of rules or experiments is not fully in force", ["file"]
)
LAST_KNOWN = _newest("recsys_last_known", "1 while a part is served from this host's copy", ["part"])
CONFIG = _newest(
    "recsys_config_info", "1 for the version of release, rules and experiments in force here", ["kind", "version"]
)
DELAY = _newest("recsys_loop_delay_seconds", "Minimum wait in the event loop")
TENTHS = tuple(tenth / 10 for tenth in range(11))
SHADOW = Counter("recsys_shadow_requests", "Requests by what the shadow deployment did with them", ["outcome"])
SHADOW_SECONDS = Histogram("recsys_shadow_seconds", "Time that the shadow took for a list", buckets=SECONDS)
SHADOW_OVERLAP = Histogram("recsys_shadow_overlap", "Share of items that are in both lists", buckets=TENTHS)
SHADOW_RBO = Histogram("recsys_shadow_rbo", "Rank-biased overlap of both lists, p = 0.9", buckets=TENTHS)


@lru_cache
def answers() -> AnswerMetrics:
    """Return the `AnswerMetrics` of this process."""
    folder = os.environ.get(FOLDER)
    return AnswerMetrics(Path(folder) if folder else None)


class Workers:
    """Collects CPU time, memory and descriptors of every worker: prometheus_client only has those of one process."""

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics, as a collector of prometheus_client does."""
        cpu = CounterMetricFamily("recsys_worker_cpu_seconds", "CPU time of a worker", labels=["worker"])
        memory = GaugeMetricFamily("recsys_worker_memory_bytes", "Resident memory of a worker", labels=["worker"])
        opened = GaugeMetricFamily("recsys_worker_descriptors", "Open descriptors of a worker", labels=["worker"])
        folder = os.environ.get(FOLDER)
        ours = {str(os.getpid())}
        for pid in sorted({path.stem.rpartition("_")[2] for path in Path(folder).glob("*.db")} if folder else ours):
            with suppress(OSError):  # it has ended
                process = Path("/proc") / pid
                fields = (process / "stat").read_text().rpartition(")")[2].split()
                pages = int((process / "statm").read_text().split()[1])
                descriptors = len(os.listdir(process / "fd"))
                cpu.add_metric([pid], (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"))
                memory.add_metric([pid], float(pages * os.sysconf("SC_PAGE_SIZE")))
                opened.add_metric([pid], float(descriptors))
        yield from (cpu, memory, opened)


def swapped(before: str | None, bundle_id: str) -> None:
    """Record that this worker now serves `bundle_id`. before: the bundle until then, None for the first."""
    if before is not None:
        BUNDLE.labels(before).set(0)
    BUNDLE.labels(bundle_id).set(1)


def config(kind: str, version: str, before: dict[str, str]) -> None:
    """Record the version in force of rules, experiments or release (kind). before: kind -> last version; is updated."""
    if before.setdefault(kind, version) != version:
        CONFIG.labels(kind, before[kind]).set(0)
    before[kind] = version
    CONFIG.labels(kind, version).set(1)  # at every call, so that the value of a worker with an old version is seen


def registry() -> CollectorRegistry:
    """Return a registry with the metrics of all workers."""
    answers().flush()
    found = CollectorRegistry()
    for collector in (answers(), Workers()):
        found.register(collector)
    if FOLDER in os.environ:
        MultiProcessCollector(found)  # type: ignore[no-untyped-call]
    else:
        found.register(REGISTRY)
    return found


def page() -> bytes:
    """Return the metrics of all workers in Prometheus' text format."""
    return generate_latest(registry())


@lru_cache(10_000)
def _of_request(method: str, route: str, status: int) -> tuple[Counter, Histogram]:
    return REQUESTS.labels(method, route, status), LATENCY.labels(route)


def request(method: str, route: str, status: int, seconds: float) -> None:
    """Count a request, and record its time. route: path of the route, such as /v1/recommend; seconds: its duration."""
    requests, latency = _of_request(method, route, status)
    requests.inc()
    latency.observe(seconds)
