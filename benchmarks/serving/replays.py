"""Counts recorded answers whose replay is identical, after many changes between the answer and the replay.

    python -m benchmarks.serving.replays [--requests 1000] [--releases FOLDER]
    writes benchmarks/results/serving_replays.json

A real server of two workers answers known users, strangers, guests, sessions, filters, pages and rankings under two
releases and two files of rules, with events, changes of stock, prices and new items, merges and live counts in between.
Then it is restarted, goes back to the first release, and more happens. The replays run in this process.
"""

import argparse
import asyncio
import json
import random
import shutil
import tempfile
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

from benchmarks import provenance
from benchmarks.serving import shop
from benchmarks.serving.load import prepared
from benchmarks.serving.server import Server, running
from benchmarks.serving.swap import rewritten
from recsys.bundle import bundle as bundles
from recsys.bundle import releases
from serving.recorder.replay import Replay, Replays
from serving.settings import Settings
from serving.stores import open_store

RULES = (
    "boost:\n  - {{filter: 'category = {category}', factor: 1.5}}\n",
    "cap: {{every_category: 9}}\ndiversity: 0.2\n",
)
HAPPEN_EVERY = 10  # requests
MOST_WAIT_S = 60.0


def main(requests: int = 1000, folder: Path | None = None) -> None:
    """Answer, let things happen, replay, and write."""
    origin = provenance.describe()
    with tempfile.TemporaryDirectory() as name:
        place = Place(Path(name), folder or shop.releases())
        answers = place.answered(requests)
        began = time.process_time()
        replays = asyncio.run(replayed(place.settings, list(answers)))
        cpu_s = time.process_time() - began
    same = [each.identical and list(each.recorded) == answers[each.request_id] for each in replays]
    found = {
        "requests": len(answers),
        "identical": sum(same),
        "releases": len({each.bundle_id for each in replays}),
        "different_lists": len({tuple(items) for items in answers.values()}),
        "unavailable": Counter(each.unavailable for each in replays if each.unavailable),
        "cpu_ms_each": round(cpu_s / len(answers) * 1e3, 1),
    }
    provenance.write("serving_replays", origin, found)
    print(json.dumps(found, indent=1))


class Place:
    """A server that can be restarted, its two releases, rules and store."""

    def __init__(self, folder: Path, released: Path) -> None:
        self._folder, self._chance = folder, random.Random(7)
        self._rules = folder / "rules.yaml"
        self._first = first = releases.current(released)
        self._releases = folder / "releases"
        shutil.copytree(first, folder / "second")
        loaded = bundles.load(first)
        self._variants = sorted(loaded.manifest.variants)
        other = next(name for name in self._variants if name != loaded.manifest.default_variant)
        rewritten(folder / "second", {"default_variant": other, "recent_half_life_days": 2.0})
        for bundle in (folder / "second", first):
            releases.promote(bundle, self._releases)
        users, ids = loaded.histories.users, loaded.catalogue.ids
        self._users = [users.external_id(row) for row in range(len(users))]
        self._items = [ids.external_id(row) for row in range(len(ids))]
        self._category = json.dumps(loaded.catalogue.frame["categories"][0][0])
        self._environment = {
            **prepared(folder), "RECSYS_RELEASES": str(self._releases), "RECSYS_RULES": str(self._rules),
            "RECSYS_LIVE_SECONDS": "1", "RECSYS_DEADLINE_MS": "100000", "RECSYS_STORE_MS": "10000",
            "RECSYS_LAST_KNOWN": str(folder / "known"), "RECSYS_HISTORY_EVENTS": "20",
        }  # fmt: skip
        self.settings = Settings(releases=self._releases, store_url=self._environment["RECSYS_STORE_URL"])

    def answered(self, n: int) -> dict[str, list[str]]:
        """Return the item ids of so many answers, by request_id."""
        answers: dict[str, list[str]] = {}
        self._rules.write_text(RULES[0].format(category=self._category))
        lives: list[tuple[Callable[[], object], tuple[int, ...]]] = [
            (lambda: None, (0, 1)),
            (lambda: releases.rollback(self._releases), (1, 0)),
            (lambda: releases.promote(self._first, self._releases), ()),
        ]
        for change, rules in lives:
            with running("serving", self._folder, 2, **self._environment) as server:
                change()
                current = releases.current(self._releases).name
                self._until(server, "bundle_id", current)
                for version in rules:
                    text = RULES[version].format(category=self._category)
                    self._rules.write_text(text)
                    self._until(server, "rules_version", sha256(text.encode()).hexdigest()[:12])
                    answers.update(self._lists(server, n // 4))
                for _ in range(5):
                    self._happen(server)
                time.sleep(1)  # exposures are written
        return answers

    def _lists(self, server: Server, n: int) -> Iterator[tuple[str, list[str]]]:
        asked, cursor = self._request(), None
        for number in range(n):
            if number % HAPPEN_EVERY == 0:
                self._happen(server)
            if cursor is not None and self._chance.random() < 0.1:
                answer = self._ask(server, {**asked, "cursor": cursor})
            elif self._chance.random() < 0.1:
                some = self._chance.sample(self._items, 30)
                answer = self._ask(server, {"user_id": self._chance.choice(self._users), "candidates": some}, "rank")
            else:
                asked = self._request()
                answer = self._ask(server, asked)
                cursor = answer["next_cursor"]
            yield answer["request_id"], [item["item_id"] for item in answer["items"]]

    def _request(self) -> dict[str, Any]:
        chance = self._chance
        asked: dict[str, Any] = {"k": chance.choice((5, 10, 20))}
        kind = chance.random()
        if kind < 0.7:
            asked["user_id"] = chance.choice(self._users) if kind < 0.5 else f"stranger-{chance.randrange(20)}"
        elif kind < 0.85:
            asked["anonymous_id"] = f"guest-{chance.randrange(20)}"
        if chance.random() < 0.5:
            asked["variant"] = chance.choice(self._variants)
        if chance.random() < 0.3:
            asked["session"] = [{"item_id": item, "event": "view"} for item in chance.sample(self._items, 3)]
        if chance.random() < 0.2:
            asked["filter"] = f"category = {self._category}"
        if chance.random() < 0.2:
            asked["exclude_ids"] = chance.sample(self._items, 5)
        if chance.random() < 0.2:
            asked["options"] = {"seed": chance.randrange(100), "diversity": 0.5}
        return asked

    def _happen(self, server: Server) -> None:
        """Events of users, strangers and guests, changes of items, now and then a merge."""
        chance = self._chance
        who = [{"user_id": chance.choice(self._users)} for _ in range(8)]
        who += [{"user_id": f"stranger-{chance.randrange(20)}"}, {"anonymous_id": f"guest-{chance.randrange(20)}"}]
        some = [chance.choice([*self._items[:30], "only-events-1", "only-events-2"]) for _ in who]
        self._send(server, "/v1/events", [{**w, "item_id": i, "event": "view"} for w, i in zip(who, some, strict=True)])
        changed = [
            {"item_id": chance.choice(self._items), "available": chance.random() < 0.5},
            {"item_id": f"put-{chance.randrange(20)}", "title": "a new thing", "price": chance.randrange(100)},
        ]
        self._send(server, "/v1/items", changed, "PUT")
        if chance.random() < 0.2:
            merged = {"anonymous_id": f"guest-{chance.randrange(20)}", "user_id": f"stranger-{chance.randrange(20)}"}
            self._send(server, "/v1/identity/merge", merged)

    def _until(self, server: Server, name: str, value: str) -> None:
        """Wait until both workers say so in `meta`, in 20 answers one after another."""
        deadline, good = time.monotonic() + MOST_WAIT_S, 0
        while good < 20:
            good = good + 1 if self._ask(server, {"user_id": "looker"})["meta"][name] == value else 0
            if time.monotonic() > deadline:
                raise SystemExit("a change was not served in time")

    def _ask(self, server: Server, body: Any, route: str = "recommend") -> dict[str, Any]:
        return self._send(server, f"/v1/{route}", body)

    def _send(self, server: Server, path: str, body: Any, method: str = "POST") -> dict[str, Any]:
        url = f"http://127.0.0.1:{server.port}{path}"
        data = json.dumps(body).encode()
        request = urllib.request.Request(url, data, {"content-type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            raise SystemExit(f"{path}: {error.read().decode()}") from error


async def replayed(settings: Settings, request_ids: list[str]) -> list[Replay]:
    """Replay these answers one after another."""
    store = await open_store(settings.store_url)
    try:
        replays = Replays(store, settings)
        return [await replays.replay(request_id) for request_id in request_ids]
    finally:
        await store.close()


if __name__ == "__main__":
    options = argparse.ArgumentParser()
    options.add_argument("--requests", type=int, default=1000)
    options.add_argument("--releases", type=Path, help="instead of the shop of 10,000 items")
    given = options.parse_args()
    main(given.requests, given.releases)
