"""Reads the newest events from the store, and updates the live counts of every engine of this worker.

Live counts are the recent likes of each item, decayed, see `recsys/recommend/live_counts.py`. Every worker reads by
itself. While the store cannot be read, the events in memory stay, and decay with age. When a user is forgotten, all
events in memory are dropped and read again.
"""

import asyncio
import logging
import time
from base64 import b64encode
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import polars as pl

from recsys.recommend.live_counts import FEWEST_PERSONS, SCHEMA, LiveEvents, demand
from serving import metrics
from serving.engine.engine import Engine
from serving.recorder.snapshots import LIVE, Snapshots
from serving.settings import Settings
from serving.stores.protocol import PersonEvent, StoreError
from serving.stores.store import Store

log = logging.getLogger(__name__)

T = TypeVar("T")

PAGE = 2000  # events per read: larger reads would delay answers
OVERLAP_S = 30.0  # read again: an event can be seen only after its commit, and the clocks of hosts differ


class LiveFeed:
    """Holds the newest events. born: ids of items that are not in the catalogue and that enough users like."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.born: frozenset[str] = frozenset()
        self.snapshots = Snapshots()
        self._forgotten: frozenset[str] = frozenset()
        self._thread = ThreadPoolExecutor(1)  # polars keeps memory for every thread that it ever ran in
        self._failing = False
        self._begin({})

    def _begin(self, weights: dict[str, float]) -> None:
        self._weights = weights
        self._events = LiveEvents(self._settings.live_events, self._settings.live_person_events)
        self._until = 0.0  # `received` of the newest event in memory
        self._read_at: float | None = None

    async def refresh(self, store: Store, engines: Iterable[Engine], forgotten: frozenset[str]) -> None:
        """Read new events, and update the live counts of these engines, of which the first serves the current release.
        forgotten: salted hashes of the forgotten users; if it changes, all events are read again."""
        serving, *others = engines
        if not self._settings.live_events:
            return
        if forgotten != self._forgotten or serving.event_weights != self._weights:
            self._forgotten = forgotten
            self._begin(serving.event_weights)
            for engine in (serving, *others):
                engine.live = None
        try:
            await self._read(store)
            self._failing = False
        except StoreError as error:
            if not self._failing:
                log.error("events cannot be read, so the live counts get no new ones: %s", error)
            self._failing = True
        for engine in (serving, *others):
            await self._run(self.count, engine)
        if self._read_at is not None:
            self.born = await self._run(self._born, serving)

    async def _run(self, function: Callable[..., T], *values: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, function, *values)

    def count(self, engine: Engine) -> None:
        """Update the live counts of an engine from the events in memory."""
        if self._read_at is not None:
            now = time.time()
            live = engine.count_live(self._likes(engine, now), now, self._read_at)
            pack = live.pack  # what it keeps in memory is smaller than `live`
            self.snapshots.offer(LIVE, live.version, lambda: b64encode(pack()).decode())

    async def _read(self, store: Store) -> None:
        began, before, room = time.time(), (float("inf"), ""), self._settings.live_events
        pages: list[PersonEvent] = []
        while room > len(pages):
            page = await store.newest(self._until - OVERLAP_S, before, min(PAGE, room - len(pages)))
            pages += page
            if not page:
                break
            before = page[-1].received, page[-1].event_id
        rows = [
            (event_id, person, item_id, self._weights.get(event, 0.0) > 0, float(timestamp), float(received))
            for event_id, person, item_id, event, timestamp, received in pages
        ]
        await self._run(self._events.add, pl.DataFrame(rows, schema=SCHEMA, orient="row"))
        self._until = min(max([self._until, *[event.received for event in pages]]), began)
        self._read_at = began
        metrics.LIVE_READ.set(began)
        metrics.NEWEST_EVENT.set(self._until)

    def _likes(self, engine: Engine, now: float) -> pl.DataFrame:
        return self._events.likes(engine.base.manifest.trained_until.timestamp(), now)

    def _born(self, serving: Engine) -> frozenset[str]:
        now = time.time()
        liked = demand(self._likes(serving, now), serving.base.manifest.recent_half_life_days, now)
        enough = liked.filter(pl.col("persons") >= FEWEST_PERSONS)["item_id"].to_list()
        unknown = [item_id for item_id in enough if serving.base.catalogue.ids.position(item_id) is None]
        return frozenset(unknown[: self._settings.live_new_items])
