"""Polls the store four times a second in every worker, and applies changes of stock, items and forgotten users."""

import asyncio
import json
import logging
import time
from dataclasses import replace
from importlib.metadata import version

import msgspec

from recsys.bundle.bundle import Bundle
from recsys.recommend.circuit_breaker import CircuitBreakers
from recsys.schemas.store_schema import fingerprint
from serving import process
from serving.encoding import to_json
from serving.engine.business_rules import BusinessRulesFile
from serving.engine.engine import Engine
from serving.engine.overlay import StoreOverlay
from serving.last_known import LastKnown
from serving.live.live_feed import LiveFeed
from serving.live.release_watcher import ReleaseWatcher
from serving.recorder.snapshots import BORN
from serving.stores.protocol import Item, StoreError
from serving.stores.store import Store

log = logging.getLogger(__name__)

POLL_SECONDS = 0.25
KEEP_SECONDS = 10.0
UNKNOWN = -1  # the version of items from this host's copy, before the store was read
FORGOTTEN, ITEMS = "forgotten.json", "items.json"


class StoreWatcher:
    """Polls the store. now: the present changes of items; forgotten: salted hashes of users whose history in the bundle
    may not be used; others: bundle_id -> engine of `OtherBundles`. Until the store was read for the first time, `now`
    and `forgotten` can come from a copy on this host."""

    def __init__(
        self, rules: BusinessRulesFile, breakers: CircuitBreakers, feed: LiveFeed, last_known: LastKnown
    ) -> None:
        self._last_known = last_known
        self._rules = rules
        self._breakers = breakers
        self._feed = feed
        self.now = StoreOverlay()
        self.forgotten: frozenset[str] = frozenset()
        self._forgotten_version = 0
        self._salt: str | None = None
        self._asked = False
        self._kept = (-1, float("-inf"))  # which version of the items, and when
        self.others: dict[str, Engine] = {}  # of bundles that arms of experiments serve
        self._newest: Engine | None = None

    def is_forgotten(self, user_id: str | None) -> bool:
        """Return whether a user's history in the bundle may not be used; True while that is unknown."""
        if self._salt is None or user_id is None:
            return user_id is not None
        return bool(self.forgotten) and fingerprint(self._salt, user_id) in self.forgotten

    def forget(self, *fingerprints: str, instead: bool = False) -> None:
        """Stop using the bundle's histories of these users. fingerprints: salted hashes of their ids, which are added
        to `forgotten` or, with `instead`, replace it."""
        self.forgotten = frozenset(fingerprints) | (frozenset() if instead else self.forgotten)
        self._last_known.keep(FORGOTTEN, json.dumps({"salt": self._salt, "forgotten": sorted(self.forgotten)}))

    def start_without_the_store(self) -> None:
        """Start with this host's copy of the store's state, so that no sold-out item or forgotten user comes back."""
        if self._asked or self._salt is not None:
            return
        try:
            kept = json.loads(self._last_known.path(FORGOTTEN).read_text(encoding="utf-8"))
            stock = msgspec.json.decode(self._last_known.path(ITEMS).read_bytes(), type=list[Item])
            self._salt, self.forgotten = str(kept["salt"]), frozenset(map(str, kept["forgotten"]))
        except (OSError, ValueError, TypeError, KeyError, msgspec.DecodeError) as error:
            log.error(
                "forgotten users are unknown, so no history of the bundle is used until the store answers: %s", error
            )
        else:
            items = {item.item_id: item for item in stock}
            self.now = replace(self.now, version=UNKNOWN, revision=self.now.revision + 1, items=items)
            self._last_known.use("store", True)

    @property
    def has_something(self) -> bool:
        """Whether the store's state is known, from the store or from this host's copy."""
        return self._salt is not None

    def engine(self, bundle: Bundle) -> Engine:
        """Build an engine of the bundle with the items that changed in the store, even while it is being built."""
        overlay = self.now
        engine = Engine(bundle, version("recsys"), overlay, self._rules, self._breakers)
        self._feed.snapshots.offer(BORN, overlay.born_version, overlay.packed_born)
        self._feed.count(engine)
        before, self._newest = self._newest, engine
        if self.now.version != overlay.version:
            engine.mark(self.now.items.values(), self.now.version)
        if before is None or before.base is not bundle:
            process.freeze_loaded_objects()
        return engine

    async def follow(self, store: Store, live: ReleaseWatcher) -> None:
        """Poll the store. Never returns. While the store cannot be read, the state that was read last stays."""
        reachable = True
        while True:
            try:
                await self.refresh(store, live)
                reachable = True
                self._last_known.use("store", False)
            except StoreError as error:
                if reachable:
                    log.error("the store cannot be read, the state that was read last stays: %s", error)
                    self._last_known.use("store", True)
                reachable = False
            await asyncio.sleep(POLL_SECONDS)

    async def refresh(self, store: Store, live: ReleaseWatcher) -> None:
        """Read the changes once and apply them.

        Raises:
            StoreError: the store cannot be read.
        """
        self._forgotten_version, more = await store.forgotten(self._forgotten_version)
        version, changed = await store.items_since(self.now.version)
        if more or not self._asked:
            self._salt = store.salt
            self.forget(*more, instead=not self._asked)
        if not self._asked:
            self.now = replace(self.now, version=0, revision=self.now.revision + bool(self.now.items), items={})
            self._last_known.use("store", False)
        if changed:
            self._take(version, changed, live.engine)
        self._asked = True
        if self._kept[0] != self.now.version and time.monotonic() - self._kept[1] >= KEEP_SECONDS:
            await asyncio.to_thread(self.keep_items)
        serving = live.engine
        if serving is None:
            return
        if not self._feed.born <= self.now.born:
            self.now = replace(self.now, revision=self.now.revision + 1, born=self._feed.born)
        if serving.overlay.revision != self.now.revision:
            fresher = await asyncio.to_thread(self.engine, serving.base)
            if live.engine is serving:  # otherwise a new release was loaded meanwhile, and the next poll rebuilds it
                live.engine = fresher

    def keep_items(self) -> None:
        """Write the store's items into this host's copy, for a start without the store; do nothing if the copy has them
        already, or if the store was never read."""
        if self._asked and self._kept[0] != self.now.version:
            self._kept = (self.now.version, time.monotonic())
            self._last_known.keep(ITEMS, to_json(list(self.now.items.values())).decode())

    def _take(self, version: int, changed: list[Item], serving: Engine | None) -> None:
        before = self.now
        items = {**before.items, **{item.item_id: item for item in changed}}
        more = any(_needs_new_engine(item, before.items.get(item.item_id), serving) for item in changed)
        self.now = StoreOverlay(version, before.revision + more, items, before.born)
        for engine in (serving, self._newest, *self.others.values()):
            if engine is not None:
                engine.mark(changed, version)


def _needs_new_engine(item: Item, before: Item | None, serving: Engine | None) -> bool:
    """Return whether more than the item's stock changed, which needs a new engine. before: None if unknown."""
    if before is None and (serving is None or not serving.knows(item.item_id)):
        return True
    was = before or Item(item.item_id)
    return msgspec.structs.replace(item, available=None) != msgspec.structs.replace(was, available=None)
