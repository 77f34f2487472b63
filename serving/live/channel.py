"""Follows the channel of the store: gives each change to what follows the files otherwise, when it counts.

A change is written some seconds before its `since`, and read at the next poll: at that moment, by the clock of the
store, every worker of every host applies it. A worker that has not read the channel for `LEASE_S`, or refuses what
counts, may differ from others: it says so and runs no experiment, so that nobody is in two arms of one.
"""

import asyncio
import logging
import time
from typing import NamedTuple

from recsys.errors import RecsysError
from recsys.schemas.channel import LEASE_S, POLL_S
from serving.engine.arms import ExperimentsFile
from serving.engine.business_rules import BusinessRulesFile
from serving.last_known import LastKnown
from serving.live.release_watcher import ReleaseWatcher
from serving.stores.protocol import StoreError
from serving.stores.store import Store

log = logging.getLogger(__name__)

PART = "channel"
KINDS = ("experiments", "rules", "releases")  # in this order: no release is served without the rules of before


class _Change(NamedTuple):
    number: int
    since: float
    text: str


class Channel:
    """Gives the changes of the channel to rules, experiments and releases."""

    def __init__(
        self, rules: BusinessRulesFile, experiments: ExperimentsFile, live: ReleaseWatcher, last_known: LastKnown
    ) -> None:
        self._rules, self._experiments, self._live, self._last_known = rules, experiments, live, last_known
        self._waiting: dict[str, dict[int, _Change]] = {kind: {} for kind in KINDS}
        self._applied: dict[str, int] = {}
        self._preparing: asyncio.Task[None] | None = None  # kept, or it could be collected before it ends
        self._refused: dict[str, tuple[object, ...]] = {}
        self._read_at = float("-inf")
        self._clock = 0.0  # the store's time minus the monotonic one
        experiments.certain = self.certain
        last_known.use(PART, True)  # until it was read

    def certain(self) -> bool:
        """Return whether the experiments here are those that count on every host now."""
        now = time.monotonic()
        late = any(change.since <= now + self._clock for change in self._waiting["experiments"].values())
        return now - self._read_at < LEASE_S and not late

    async def follow(self, store: Store) -> None:
        """Poll the channel, and apply each change at its time. Never returns."""
        reason = ""
        while True:
            try:
                await self.refresh(store)
                reason = ""
            except StoreError as error:
                if not reason:
                    log.error("the channel cannot be read, what this host read last goes on: %s", error)
                reason = str(error)
            self._last_known.use(PART, time.monotonic() - self._read_at >= LEASE_S)
            await asyncio.sleep(self._pause())
            await self._apply()

    async def refresh(self, store: Store) -> None:
        """Read the changes that count or will count, and apply those that count.

        Raises:
            StoreError: they cannot be read.
        """
        began = time.monotonic()
        heads = await store.channel()
        clock = heads[0][0] - (began + time.monotonic()) / 2
        for _, kind, number, since in heads:
            if kind in KINDS and number != self._applied.get(kind) and number not in self._waiting[kind]:
                change = self._waiting[kind][number] = _Change(number, since, await store.change(kind, number))
                if kind == "releases":
                    self._preparing = asyncio.create_task(asyncio.to_thread(self._live.prepare, change.text))
        self._clock, self._read_at = clock, began
        await self._apply()

    def _pause(self) -> float:
        """Return the seconds until the next poll, or until the next change counts."""
        now = time.monotonic() + self._clock
        ahead = [change.since - now for changes in self._waiting.values() for change in changes.values()]
        return min([POLL_S, *(seconds for seconds in ahead if seconds > 0)])

    async def _apply(self) -> None:
        now = time.monotonic() + self._clock
        for kind in KINDS:
            due = [change for change in self._waiting[kind].values() if change.since <= now]
            if due and await self._give(kind, newest := max(due)):
                self._applied[kind] = newest.number
                self._waiting[kind] = {n: change for n, change in self._waiting[kind].items() if n > newest.number}

    async def _give(self, kind: str, change: _Change) -> bool:
        """Apply a change; return whether it is applied. What is refused is tried again when the bundle changes."""
        bundle = self._live.engine.bundle if self._live.engine else None
        attempt = change.number, bundle.manifest.bundle_id if bundle else ""
        if self._refused.get(kind) == attempt:
            return False
        if kind == "experiments":
            given = self._experiments.give(change.text)
        elif kind == "rules":
            given = await asyncio.to_thread(self._rules.give, change.text, bundle)
        elif self._waiting["rules"] and self._rules.version is None:
            return False  # without the rules blocked items would be shown
        else:
            given = self._follow_release(change)
        if not given:
            self._refused[kind] = attempt
        return given

    def _follow_release(self, change: _Change) -> bool:
        try:
            self._live.give(change.text)
        except RecsysError as error:
            log.error("the release stays as it was: %s", error)
            return False
        return True
