"""Keeps what is served up to date with the store: stock, items and forgotten users, four times a second.

Every worker asks the store by itself; nothing is passed between workers.
"""

import asyncio
import logging
from dataclasses import replace
from importlib.metadata import version

from recsys.bundle.bundle import Bundle
from recsys.recommend.circuit_breaker import CircuitBreakers
from serving import process
from serving.engine.business_rules import BusinessRulesFile
from serving.engine.engine import Engine
from serving.engine.overlay import StoreOverlay
from serving.live.live_feed import LiveFeed
from serving.live.release_watcher import ReleaseWatcher
from serving.stores.protocol import Item, Store, StoreError

log = logging.getLogger(__name__)

POLL_SECONDS = 0.25


class StoreWatcher:
    """Polls the store. now: its last state; forgotten: fingerprints of users whose bundle history may not be used."""

    def __init__(self, rules: BusinessRulesFile, breakers: CircuitBreakers, feed: LiveFeed) -> None:
        self._rules = rules
        self._breakers = breakers
        self._feed = feed
        self.now = StoreOverlay()
        self.forgotten: frozenset[str] = frozenset()
        self._forgotten_version = 0
        self.others: dict[str, Engine] = {}  # of bundles that arms of experiments serve
        self._newest: Engine | None = None

    def engine(self, bundle: Bundle) -> Engine:
        """Build an engine over the bundle, with the changes of stock that arrive meanwhile."""
        overlay = self.now
        engine = Engine(bundle, version("recsys"), overlay, self._rules, self._breakers)
        self._feed.count(engine)
        before, self._newest = self._newest, engine
        if self.now.version != overlay.version:
            engine.mark(self.now.items.values())
        if before is None or before.base is not bundle:
            process.spare_the_collector()
        return engine

    async def follow(self, store: Store, live: ReleaseWatcher) -> None:
        """Poll the store. Never returns. While the store cannot be read, its last state stays."""
        reachable = True
        while True:
            try:
                await self.refresh(store, live)
                reachable = True
            except StoreError as error:
                if reachable:
                    log.error("the store cannot be read, what it said last goes on: %s", error)
                reachable = False
            await asyncio.sleep(POLL_SECONDS)

    async def refresh(self, store: Store, live: ReleaseWatcher) -> None:
        """Read the changes once and apply them.

        Raises:
            StoreError: the store cannot be read.
        """
        self._forgotten_version, more = await store.forgotten(self._forgotten_version)
        self.forgotten |= more
        version, changed = await store.items_since(self.now.version)
        if changed:
            self._take(version, changed, live.engine)
        serving = live.engine
        if serving is None:
            return
        if not self._feed.born <= self.now.born:
            self.now = replace(self.now, revision=self.now.revision + 1, born=self._feed.born)
        if serving.overlay.revision != self.now.revision:
            fresher = await asyncio.to_thread(self.engine, serving.base)
            if live.engine is serving:  # or else a new release was swapped in meanwhile: the next time
                live.engine = fresher

    def _take(self, version: int, changed: list[Item], serving: Engine | None) -> None:
        before = self.now
        items = {**before.items, **{item.item_id: item for item in changed}}
        more = any(_tells_more(item, before.items.get(item.item_id), serving) for item in changed)
        self.now = StoreOverlay(version, before.revision + more, items, before.born)
        for engine in (serving, self._newest, *self.others.values()):
            if engine is not None:
                engine.mark(changed)


def _tells_more(item: Item, before: Item | None, serving: Engine | None) -> bool:
    """Return whether more than the item's stock has changed; True if unknown."""
    if before is None and (serving is None or not serving.knows(item.item_id)):
        return True
    return replace(item, available=None) != replace(before or Item(item.item_id), available=None)
