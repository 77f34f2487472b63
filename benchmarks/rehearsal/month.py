"""One month of the shop: `python -m benchmarks.rehearsal.month`, which `benchmarks.rehearsal` starts.

The API is a process of its own; `recsys retrain` is, too. The watcher is this process: its check, policies and actions
are those of `recsys watch`, called every quarter of an hour of the shop in place of its sleep.
"""

import argparse
import json
import os
import resource
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.rehearsal import incidents, nightly, workspace
from benchmarks.rehearsal.agenda import Agenda
from benchmarks.rehearsal.client import CLICK_SECONDS, Api, Client
from benchmarks.rehearsal.clock import Clock
from benchmarks.rehearsal.scrape import EVERY, Scraper
from benchmarks.serving.server import running
from benchmarks.simulator.shoppers import Shoppers, Visit
from recsys.bundle import releases
from recsys.drift import policies
from serving.watch.__main__ import check_once
from serving.watch.cycle import Watcher

DAY, CHECK_SECONDS = 86_400.0, 900.0
SHOWN_SECONDS = 60.0


@dataclass
class Month:
    """Everything that a part of the simulation or an incident needs."""

    folder: Path
    clock: Clock
    agenda: Agenda
    client: Client
    scraper: Scraper
    workers: list[int]
    loop: bool
    items: Any
    retrains: bool = True
    feed: nightly.Feed = field(default_factory=nightly.Feed)
    notes: list[tuple[float, str, str]] = field(default_factory=list)

    @property
    def releases(self) -> Path:
        """The folder of the releases."""
        return self.folder / "releases"

    @property
    def rules(self) -> Path:
        """The file of the shop's rules."""
        return self.folder / "rules.yaml"

    @property
    def store_file(self) -> Path:
        """The database."""
        return self.folder / "store.sqlite"

    @property
    def store(self) -> str:
        """The address of the store."""
        return f"sqlite:///{self.store_file}"

    def note(self, what: str, text: str) -> None:
        """Write down what happened now."""
        self.notes.append((self.clock.now, what, text))
        print(f"{time.strftime('%m-%d %H:%M', time.gmtime(self.clock.now))} {what}: {text}"[:300], flush=True)

    def wait_for(self, sample: str) -> None:
        """Wait until the API's metrics show a sample, such as 'recsys_release_refused 1.0'; the clock stands still.

        Raises: TimeoutError: they did not show it within a minute.
        """
        until = time.monotonic() + SHOWN_SECONDS
        while f"\n{sample}\n" not in self.client.api.ask("GET", "/metrics")[1].decode():
            if time.monotonic() > until:
                raise TimeoutError(f"the metrics of the API did not show {sample} within {SHOWN_SECONDS:.0f} s")
            time.sleep(0.1)
        self.scraper.stale = True

    def bot(self, body: dict[str, Any]) -> None:
        """Ask once, as a bot does."""
        self.client.api.ask("POST", "/v1/recommend", body)
        self.scraper.stale = True

    def visit(self, visit: Visit) -> None:
        """Let one visitor come, and report a little later what happened."""
        events = self.client.visit(visit, self.clock.now)
        self.scraper.stale = True
        if events:
            self.agenda.at(self.clock.now + CLICK_SECONDS, lambda: self.report(events))

    def report(self, events: list[dict[str, Any]]) -> None:
        """Send events of a visit."""
        self.client.report(events)
        self.scraper.stale = True

    def day(self, day: int, visits: int) -> None:
        """Plan the visits of a day."""
        begin = self.client.begin + day * DAY
        for visit in self.client.shoppers.visits(day, visits):
            self.agenda.at(begin + visit.second, lambda visit=visit: self.visit(visit))  # type: ignore[misc]

    def night(self) -> None:
        """Export, and retrain."""
        nightly.export(self)
        if self.loop and self.retrains:
            nightly.retrain(self)

    def incident(self, planned: incidents.Planned, opening: float) -> None:
        """Plan beginning and end of an incident."""
        stack = ExitStack()

        def begin() -> None:
            self.note("begins", planned.incident.name)
            stack.enter_context(planned.incident.fault(self))
            self.scraper.stale = True

        def end() -> None:
            stack.close()
            self.note("ends", planned.incident.name)
            self.scraper.stale = True

        self.agenda.at(opening + planned.begin * 3600, begin)
        self.agenda.at(opening + planned.end * 3600, end)

    def watch(self) -> "Watching":
        """Return the watcher of this shop."""
        return Watching(self, Watcher(self.store, self.releases), policies.load(self.folder / "watch.yaml"))


@dataclass
class Watching:
    """`recsys watch`, one check at a time; a retraining that it starts ends before the clock goes on."""

    month: Month
    watcher: Watcher
    policies: policies.Policies

    def check(self) -> None:
        """Check once and act."""
        month = self.month
        check_once(self.watcher, self.policies, "rehearsal", month.store, month.releases, CHECK_SECONDS)
        for thread in threading.enumerate():
            if thread.name == "retrain":
                thread.join()
                month.note("retrain", "by a finding")


@contextmanager
def opened(folder: Path, loop: bool, seed: int) -> Iterator[Month]:
    """Start the shop and its API in a workspace that is there."""
    clock, shop = Clock(), workspace.shop_world()
    items = workspace.items(shop)
    store = f"sqlite:///{folder}/store.sqlite"
    variables = {
        "RECSYS_RELEASES": "releases", "RECSYS_STORE_URL": store, "RECSYS_RULES": "rules.yaml",
        "RECSYS_EXPERIMENTS": "experiments.yaml", "RECSYS_LAST_KNOWN": str(folder / "last-known"),
        "RECSYS_LIVE_SECONDS": "2", "RECSYS_RATE_LIMIT": "0", "RECSYS_DEADLINE_MS": "2000", "RECSYS_STORE_MS": "1000",
    }  # fmt: skip
    log = folder / "clicks.csv"
    workspace.interactions(shop, workspace.OPENING_DAY).write_csv(log, datetime_format="%Y-%m-%dT%H:%M:%S%.6f+00:00")
    clock.set(workspace_opening(shop) - 60)
    workspace.begin(folder)
    workspace.policies(folder, store)
    with running("serving", folder, 1, **variables) as server:
        api = Api(server.port)
        client = Client(api, Shoppers(shop, seed), items["item_id"].to_list(), log)
        with Scraper(api, folder / "scrapes.om") as scraper:
            yield Month(folder, clock, Agenda(clock), client, scraper, server.workers(), loop, items)


def workspace_opening(shop: Any) -> float:
    """Return the moment the month begins, UTC seconds."""
    from benchmarks.story.shop import opening

    return opening(shop.config)


def run(month: Month, days: int, visits: int, planned: list[incidents.Planned], seconds: float) -> dict[str, Any]:
    """Run the month, at most so many real seconds; return what happened on its whole days."""
    until, done = time.monotonic() + seconds, 0

    def begin_day(day: int) -> None:
        nonlocal done
        done = day - first
        if time.monotonic() > until:
            agenda.stop()
        elif done < days:
            month.day(day, visits)

    opening, agenda = workspace_opening(month.client.shoppers.world), month.agenda
    first, end = workspace.OPENING_DAY, opening + days * DAY
    agenda.at(end, lambda: begin_day(first + days))
    for day in range(first, first + days):
        begin = month.client.begin + day * DAY
        agenda.at(begin, lambda day=day: begin_day(day))  # type: ignore[misc]
        agenda.at(begin + nightly.HOUR * 3600, month.night)
        agenda.at(begin + 6 * 3600, lambda: nightly.put_items(month, only_new=True))
    for each in planned:
        month.incident(each, opening)
    if month.loop:
        agenda.every(EVERY, opening, end, lambda: month.scraper.scrape(month.clock.now))
        agenda.every(CHECK_SECONDS, opening + 60, end, month.watch().check)
    agenda.run()
    return {
        "opening": opening,
        "days": done,
        "retrained": month.loop and month.retrains,
        "visits_a_day": visits,
        "clicks": {str(hour): n for hour, n in sorted(month.client.clicks.items())},
        "requests_without_a_list": month.client.failed,
        "incidents": [{"name": each.incident.name, "begin": each.begin, "end": each.end} for each in planned],
        "notes": month.notes,
        "findings": findings(month),
        "releases": [entry.model_dump(mode="json") for entry in releases.read(month.releases).log],
    }


def findings(month: Month) -> list[dict[str, Any]]:
    """Return what the watcher found, by time."""
    with sqlite3.connect(month.store_file) as store:
        rows = store.execute("SELECT at, kind, what, bundle_id, policy FROM findings ORDER BY at").fetchall()
    return [dict(zip(("at", "kind", "what", "bundle_id", "policy"), row, strict=True)) for row in rows]


def main() -> None:
    """Run one month in the folder that is given, and write month.json there."""
    options = argparse.ArgumentParser()
    options.add_argument("folder", type=Path)
    for name in ("seed", "days", "visits", "minutes"):
        options.add_argument(f"--{name}", type=int)
    options.add_argument("--no-loop", action="store_true")
    options.add_argument("--incident", action="append", default=[])
    options.add_argument("--no-retrain", action="store_true")
    options.add_argument("--quiet", action="store_true")
    chosen = options.parse_args()
    os.chdir(chosen.folder)
    began = time.monotonic()
    planned = (
        [] if chosen.quiet else incidents.plan(chosen.seed, chosen.days, tuple(chosen.incident), not chosen.no_retrain)
    )
    with opened(chosen.folder, not chosen.no_loop, chosen.seed) as month:
        month.retrains = not chosen.no_retrain
        found = run(month, chosen.days, chosen.visits, planned, chosen.minutes * 60)
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    found["cpu_seconds"] = round(sum(each.ru_utime + each.ru_stime for each in used))
    found["wall_seconds"] = round(time.monotonic() - began)
    (chosen.folder / "month.json").write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
