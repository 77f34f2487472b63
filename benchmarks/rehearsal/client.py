"""The shop's own programs: they ask the API for lists, report what visitors do, and keep the shop's click log.

Incidents change the fields of `Client`; all else is the same in every month.
"""

import http.client
import json
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.simulator.shoppers import Shoppers, Visit
from recsys.datasets.shop_world import catalogue

SURFACE, PLACES, CLICK_SECONDS = "home", 10, 20.0


class Api:
    """Requests to the API over one connection."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, bytes]:
        """Return status and body; 0 where the API does not answer."""
        data = None if body is None else json.dumps(body)
        for _ in range(2):  # a connection that was idle for seconds has been closed; every client tries again
            try:
                self._connection.request(method, path, data, {"content-type": "application/json"})
                answer = self._connection.getresponse()
                return answer.status, answer.read()
            except (OSError, http.client.HTTPException):
                self._connection.close()
        return 0, b""


@dataclass
class Client:
    """The shop. ids, rows: of the world's items; log: the click log, of which each night's dump is a copy."""

    api: Api
    shoppers: Shoppers
    ids: list[str]
    log: Path
    renamed: bool = False  # users have other ids than before
    logs: bool = True
    lost_arm: str | None = None
    price_factor: float = 1.0
    behind_s: float = 0.0
    taste_shift: int = 0  # of the users with an even number
    clicks: Counter[int] = field(default_factory=Counter)  # by hour of the month
    failed: int = 0
    _events: int = 0

    def __post_init__(self) -> None:
        self._rows = {item_id: row for row, item_id in enumerate(self.ids)}
        self.begin = catalogue.start(self.shoppers.world.config).timestamp()

    def visit(self, visit: Visit, now: float) -> list[dict[str, Any]]:
        """Show a list to a visitor; return the events to report a little later."""
        if self.taste_shift and visit.user % 2 == 0:
            n_moods = len(self.shoppers.world.pull)
            visit = Visit(**{**vars(visit), "mood": (visit.mood + self.taste_shift) % n_moods, "browsed": None})
        user_id = f"customer-{visit.user_id}" if self.renamed else visit.user_id
        body = {"user_id": user_id, "k": PLACES, "surface": SURFACE}
        status, answer = self.api.ask("POST", "/v1/recommend", body)
        events = []
        if visit.browsed is not None and self._here(visit.browsed, visit.day):
            events.append(self._event(user_id, self.ids[visit.browsed], "view", now))
        if status != 200:
            self.failed += 1
            return events
        given = json.loads(answer)
        experiment = given["meta"]["experiment"]
        arm = experiment["variant"] if experiment else None
        rows = [self._rows[item["item_id"]] for item in given["items"]]
        for deed in self.shoppers.react(visit, rows):
            self.clicks[int((now - self.begin) // 3600)] += deed.event == "click"
            if arm is None or arm != self.lost_arm:
                item_id = self.ids[rows[deed.place]]
                events.append(self._event(user_id, item_id, deed.event, now, given["request_id"], deed.value))
        return events if self.logs else []

    def report(self, events: list[dict[str, Any]]) -> None:
        """Send events to the API, and write them into the click log."""
        self.api.ask("POST", "/v1/events", events)
        with self.log.open("a") as file:
            for one in events:
                value = one.get("value", "")
                file.write(f"{one['user_id']},{one['item_id']},{one['timestamp']},{one['event']},{value}\n")

    def _event(
        self, user_id: str, item_id: str, event: str, now: float,
        request_id: str | None = None, value: float | None = None,
    ) -> dict[str, Any]:  # fmt: skip
        self._events += 1
        at = datetime.fromtimestamp(now + CLICK_SECONDS - self.behind_s, UTC).isoformat(timespec="microseconds")
        made = {"event_id": f"s{self._events}", "user_id": user_id, "item_id": item_id, "event": event, "timestamp": at}
        amount = None if value is None else round(value * self.price_factor, 2)
        return made | {
            name: each for name, each in {"request_id": request_id, "value": amount}.items() if each is not None
        }

    def _here(self, row: int, day: int) -> bool:
        items = self.shoppers.world.items
        return bool(items.arrives[row] <= day < items.leaves[row])


def settle(seconds: float = 1.6) -> None:
    """Let the API's polls of files happen, which take real half seconds, while the shop's clock stands still."""
    time.sleep(seconds)
