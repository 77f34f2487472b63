"""Follows the channel, in which the store holds rules, experiments and releases, so that all hosts switch together.

A change is written some seconds before the time `since` at which it takes effect. Every worker reads it at its next
poll, and applies it at `since` by the clock of the store. A worker that has not read the channel for `LEASE_S` seconds,
or cannot apply a change, may differ from others: it reports this, and runs no experiment, as otherwise a user could get
two arms of the same experiment.
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
KINDS = ("experiments", "rules", "releases")  # in this order: rules are applied before a release that needs them


class _Change(NamedTuple):
    number: int
    since: float
    text: str


class Channel:
    """Applies the rules, experiments and releases that commands wrote into the store, in this worker."""

    def __init__(
        self, rules: BusinessRulesFile, experiments: ExperimentsFile, live: ReleaseWatcher, last_known: LastKnown
    ) -> None:
        self._rules, self._experiments, self._live, self._last_known = rules, experiments, live, last_known
        self._waiting: dict[str, dict[int, _Change]] = {kind: {} for kind in KINDS}
        self._applied: dict[str, int] = {}
        self._preparing: asyncio.Task[None] | None = None  # kept, or it could be collected before it ends
        self._refused: dict[str, tuple[object, ...]] = {}
        self._read_at = float("-inf")
        self._clock = 0.0  # the store's time minus the monotonic clock
        experiments.certain = self.certain
        last_known.use(PART, True)  # until the first read

    def certain(self) -> bool:
        """Return whether it is certain that this worker runs the same experiments as every other host now."""
        now = time.monotonic()
        late = any(change.since <= now + self._clock for change in self._waiting["experiments"].values())
        return now - self._read_at < LEASE_S and not late

    async def follow(self, store: Store) -> None:
        """Poll the channel, and apply each change at the time when it takes effect. Never returns."""
        reason = ""
        while True:
            try:
                await self.refresh(store)
                reason = ""
            except StoreError as error:
                if not reason:
                    log.error("the store cannot be read; rules, experiments and release stay as they are: %s", error)
                reason = str(error)
            self._last_known.use(PART, time.monotonic() - self._read_at >= LEASE_S)
            await asyncio.sleep(self._pause())
            await self._apply()

    async def refresh(self, store: Store) -> None:
        """Read the changes that are in force or scheduled, and apply those in force.

        Raises:
            StoreError: the store cannot be read.
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
        """Return the seconds until the next poll, or until the next scheduled change if that is earlier."""
        now = time.monotonic() + self._clock
        ahead = [change.since - now for changes in self._waiting.values() for change in changes.values()]
        return min([POLL_S, *(seconds for seconds in ahead if seconds > 0)])

    async def _apply(self) -> None:
        now = time.monotonic() + self._clock
        for kind in KINDS:
            due = [change for change in self._waiting[kind].values() if change.since <= now]
            if due and await self._apply_one(kind, newest := max(due)):
                self._applied[kind] = newest.number
                self._waiting[kind] = {n: change for n, change in self._waiting[kind].items() if n > newest.number}

    async def _apply_one(self, kind: str, change: _Change) -> bool:
        """Apply a change; return whether that worked. A change that failed is tried again when the bundle changes."""
        bundle = self._live.engine.bundle if self._live.engine else None
        attempt = change.number, bundle.manifest.bundle_id if bundle else ""
        if self._refused.get(kind) == attempt:
            return False
        if kind == "experiments":
            applied = self._experiments.apply_text(change.text)
        elif kind == "rules":
            applied = await asyncio.to_thread(self._rules.apply_text, change.text, bundle)
        elif self._waiting["rules"] and self._rules.version is None:
            return False  # a release without its rules would show blocked items
        else:
            applied = self._follow_release(change)
        if not applied:
            self._refused[kind] = attempt
        return applied

    def _follow_release(self, change: _Change) -> bool:
        try:
            self._live.set_state(change.text)
        except RecsysError as error:
            log.error("the new release in the store is invalid, the release stays as it was: %s", error)
            return False
        return True
