"""Days in the shop: shoppers come, the API answers, they click and buy, and the shop tells the API what they did."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from benchmarks.simulator.shoppers import Shoppers, Visit
from benchmarks.story.in_process import Api, Clock
from recsys.datasets.shop_world import catalogue

SURFACE = "home"
CLICK_SECONDS = 20.0
START = "start of the log"


@dataclass
class Counts:
    """What happened, by arm: requests, those that filled every place, and answers that were no success."""

    requests: dict[str, int] = field(default_factory=dict)
    complete: dict[str, int] = field(default_factory=dict)
    errors: dict[str, int] = field(default_factory=dict)

    def add(self, arm: str, complete: bool, error: bool) -> None:
        """Count one request."""
        for counter, more in ((self.requests, 1), (self.complete, complete), (self.errors, error)):
            counter[arm] = counter.get(arm, 0) + int(more)

    def availability(self) -> dict[str, float]:
        """Share of requests where the visitor saw a full list."""
        return {arm: round(self.complete[arm] / n, 5) for arm, n in self.requests.items()}


@dataclass(frozen=True)
class Days:
    """How the days go: how many visits, how long the lists, and which arms have no plan B: no fallback, and no list at
    all when a part fails.
    """

    visits: int
    k: int = 10
    bare_arms: frozenset[str] = frozenset()


class Simulation:
    """The shop on consecutive days. Items that arrive are sent to the API on the morning of that day."""

    def __init__(self, api: Api, clock: Clock, shoppers: Shoppers, items: pl.DataFrame) -> None:
        self._api, self._clock, self._shoppers = api, clock, shoppers
        self._items = items  # the published catalogue of the whole world, in the order of the world's items
        self._rows = {item_id: row for row, item_id in enumerate(items["item_id"].to_list())}
        self._ids = items["item_id"].to_list()
        self._begin = catalogue.start(shoppers.world.config).timestamp()
        self._events = 0
        self.counts = Counts()

    async def day(self, day: int, days: Days, before: Callable[[Visit], None] | None = None) -> None:
        """One day; `before` is called ahead of every visit, such as to switch on a fault."""
        self._clock.now = self._begin + day * 86_400.0
        await self._arrivals(day)
        for visit in self._shoppers.visits(day, days.visits):
            self._clock.now = self._begin + day * 86_400.0 + visit.second
            if before is not None:
                before(visit)
            await self._visit(visit, days)

    async def _visit(self, visit: Visit, days: Days) -> None:
        events: list[dict[str, Any]] = []
        if visit.browsed is not None and self._here(visit.browsed, visit.day):
            events.append(self._event(visit, self._ids[visit.browsed], "view"))
        body = {"user_id": visit.user_id, "k": days.k, "surface": SURFACE}
        status, answer = await self._api.ask("POST", "/v1/recommend", body)
        if status != 200:
            self.counts.add("none", complete=False, error=True)
            return
        experiment = answer["meta"]["experiment"]
        arm = experiment["variant"] if experiment else answer["meta"]["variant"]
        bare = arm in days.bare_arms
        failed = bare and answer["meta"]["degraded"]  # without a plan B there would be no list at all
        rows = [
            -1 if failed or (bare and item["fallback"]) else self._rows[item["item_id"]] for item in answer["items"]
        ]
        rows += [-1] * (days.k - len(rows))
        self.counts.add(arm, complete=-1 not in rows, error=False)
        for deed in self._shoppers.react(visit, rows):
            item = answer["items"][deed.place]["item_id"]
            events.append(self._event(visit, item, deed.event, answer["request_id"], deed.value))
        self._clock.now += CLICK_SECONDS
        if events:
            told, _ = await self._api.ask("POST", "/v1/events", events)
            if told != 200:
                self.counts.add(arm, complete=False, error=True)

    def _event(
        self, visit: Visit, item_id: str, event: str, request_id: str | None = None, value: float | None = None
    ) -> dict[str, Any]:
        self._events += 1
        made = {"event_id": f"s{self._events}", "user_id": visit.user_id, "item_id": item_id, "event": event}
        extra = {"request_id": request_id, "value": value}
        return made | {name: known for name, known in extra.items() if known is not None}

    async def _arrivals(self, day: int) -> None:
        """Tell the API of the items that are new today."""
        arrived = (self._shoppers.world.items.arrives == day).nonzero()[0].tolist()
        fields = ("item_id", "title", "text", "categories", "price")
        told = [
            {name: value for name, value in row.items() if value is not None and not (name == "price" and value < 0)}
            for row in self._items[arrived].select(fields).iter_rows(named=True)
        ]
        if told:
            status, answer = await self._api.ask("PUT", "/v1/items", told)
            if status != 200:
                raise SystemExit(f"the API refused new items: {status} {answer}")

    def _here(self, row: int, day: int) -> bool:
        world = self._shoppers.world.items
        return bool(world.arrives[row] <= day < world.leaves[row])
