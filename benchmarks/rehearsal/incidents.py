"""The incidents of the month: how each begins and ends, what should notice it, and how soon. One line each in a table.

A fault at night begins just before the nightly run. `right` names alerts, findings of `recsys watch` with their feature
("finding events: amount"), or refusals of a promotion ("refused"). A fault of data or clients ends by itself after some
hours; a bad release, and a change of taste, stay until something acts.
"""

import random
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.rehearsal import nightly, releasing
from benchmarks.rehearsal.client import settle

if TYPE_CHECKING:
    from benchmarks.rehearsal.month import Month

HARD, DRIFT = 15.0, 24 * 60.0  # minutes
LOCK = """import sqlite3, sys
store = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=60)
store.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
sys.stdin.read()"""
NIGHT = nightly.HOUR - 0.1
FIRST_DAY, OPEN, CLOSE = 2, 9, 20


@contextmanager
def client(month: "Month", **changes: object) -> Iterator[None]:
    """Change what the shop's programs do."""
    before = {name: getattr(month.client, name) for name in changes}
    vars(month.client).update(changes)
    yield
    vars(month.client).update(before)


@contextmanager
def feed(month: "Month", **changes: object) -> Iterator[None]:
    """Change what the nightly export and the feed of items hold."""
    before = {name: getattr(month.feed, name) for name in changes}
    vars(month.feed).update(changes)
    if "price_factor" in changes:
        nightly.put_items(month)
    yield
    vars(month.feed).update(before)
    if "price_factor" in changes:
        nightly.put_items(month)


@contextmanager
def currency(month: "Month") -> Iterator[None]:
    """Amounts and prices are in another currency."""
    with client(month, price_factor=100.0), feed(month, price_factor=100.0):
        yield


@contextmanager
def store_frozen(month: "Month") -> Iterator[None]:
    """Another program locks the store for writing: a process, as its locks end when a process closes the file once."""
    with subprocess.Popen(
        [sys.executable, "-c", LOCK, month.store_file], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        yield
        other.communicate()
    settle()


@contextmanager
def disk_full(month: "Month") -> Iterator[None]:
    """No file of the API can grow."""
    most = [resource.prlimit(pid, resource.RLIMIT_FSIZE)[1] for pid in month.workers]
    for pid, limit in zip(month.workers, most, strict=True):
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, limit))
    yield
    for pid, limit in zip(month.workers, most, strict=True):
        with suppress(OSError):
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (limit, limit))
    settle()


@contextmanager
def rules_emptied(month: "Month") -> Iterator[None]:
    """The file of rules is empty."""
    before = month.rules.read_text()
    month.rules.write_text("")
    month.wait_for('recsys_file_refused{file="rules"} 1.0')
    yield
    month.rules.write_text(before)
    month.wait_for('recsys_file_refused{file="rules"} 0.0')


@contextmanager
def bot_storm(month: "Month") -> Iterator[None]:
    """A program asks twice a second, under a new name each time."""
    for number in range(2 * 40 * 60):
        body = {"user_id": f"bot-{number}", "k": 10, "surface": "home"}
        month.agenda.at(month.clock.now + number / 2, lambda body=body: month.bot(body))  # type: ignore[misc]
    yield


Fault = Callable[["Month"], AbstractContextManager[None]]


@dataclass(frozen=True)
class Incident:
    """One kind. hours: it lasts; within: minutes in which `right` must notice it; night: it begins with the export."""

    name: str
    fault: Fault
    right: tuple[str, ...]
    within: float
    hours: float
    night: bool = False


def _client(**changes: object) -> Fault:
    return lambda month: client(month, **changes)


def _feed(**changes: object) -> Fault:
    return lambda month: feed(month, **changes)


REFUSED = ("RecsysRetrainFailed",)
STORE = ("RecsysEventsRefused", "RecsysBudgetEvents", "RecsysExposuresDropped")
INCIDENTS = (
    Incident("scrambled model promoted", releasing.scrambled, ("refused",), HARD, 24),
    Incident("scrambled model promoted at once", releasing.scrambled_at_once, ("finding model",), HARD, 24),
    Incident("model trained on last year", releasing.stale, ("refused",), HARD, 24),
    Incident("half-written data dump", _feed(dump_share=0.4), REFUSED, HARD, 26, night=True),
    Incident("source of items offline", _feed(items_there=False), REFUSED, HARD, 26, night=True),
    Incident("price feed of zeros", _feed(price_factor=0.0), REFUSED, HARD, 26, night=True),
    Incident("currency changed", currency, ("finding events: amount",), DRIFT, 24),
    Incident("clicks no longer logged", _client(logs=False), ("RecsysEventsStopped", "RecsysNoEvents"), HARD, 6),
    Incident("one arm's logs lost", _client(lost_arm="new-page"), ("finding outcomes: arm",), DRIFT, 24),
    Incident("bot storm", bot_storm, ("RecsysRequestsJump",), HARD, 1),
    Incident("ids of users renamed", _client(renamed=True), ("RecsysMoreStrangers",), HARD, 6),
    Incident(
        "taste shift of a segment",
        _client(taste_shift=7),
        ("finding events: item", "finding outcomes: outcome"),
        DRIFT,
        48,
    ),
    Incident("clock of the clients off", _client(behind_s=9 * 3600.0), ("finding events: delay",), DRIFT, 24),
    Incident("store frozen", store_frozen, STORE, HARD, 0.5),
    Incident("disk full", disk_full, STORE, HARD, 0.5),
    Incident("release damaged", releasing.damaged, ("RecsysReleaseRefused",), HARD, 1),
    Incident("rules emptied", rules_emptied, ("RecsysFileRefused",), HARD, 1),
)


@dataclass(frozen=True)
class Planned:
    """An incident and its hours since the opening."""

    incident: Incident
    begin: float
    end: float


def plan(seed: int, days: int, names: tuple[str, ...] = (), nights: bool = True) -> list[Planned]:
    """Spread incidents over the days in a random order, each at a random hour; names: only these; nights: there are
    nightly runs."""
    chance = random.Random(seed)
    chosen = [one for one in INCIDENTS if (not names or one.name in names) and (nights or not one.night)]
    chance.shuffle(chosen)
    planned = []
    for number, incident in enumerate(chosen):
        first = min(FIRST_DAY, days - 1)
        day = int(first + number * (days - first - 1) / len(chosen))
        hour = NIGHT + 24 if incident.night else chance.uniform(OPEN, CLOSE)
        begin = day * 24 + hour
        planned.append(Planned(incident, begin, begin + incident.hours))
    return planned
