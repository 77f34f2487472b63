"""Serves the current release: loads a new one in a thread and swaps it in one assignment.

An `Engine` never changes, and a request keeps the one that it began with: no answer mixes two bundles, and the old
engine is freed when the last request that holds it ends. Every worker process watches the releases by itself.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from recsys.bundle import releases
from recsys.bundle.bundle import Bundle
from recsys.errors import RecsysError
from serving import metrics
from serving.engine.engine import Engine
from serving.file_stamp import stamp
from serving.last_known import SERVED, LastKnown
from serving.settings import Settings

log = logging.getLogger(__name__)

POLL_SECONDS = 0.5
RETRY_SECONDS = 2.0
PART = "releases"
RETRY_SECONDS_AT_MOST = 60.0  # while another bundle serves: each try hashes the refused one again


class ReleaseWatcher:
    """Watches the releases. engine: the served one, None before the first; reason: why the current one is refused."""

    def __init__(
        self, settings: Settings, build: Callable[[Bundle], Engine], last_known: LastKnown | None = None
    ) -> None:
        self._settings = settings
        self._last_known = last_known or LastKnown(settings)
        self._build = build
        self._path = settings.releases / releases.STATE
        self._given: releases.State | None = None  # by the channel
        if settings.channel == "store" and self._last_known.path(PART).is_file():
            self.give(self._last_known.path(PART).read_text(encoding="utf-8"))
        self.engine: Engine | None = None
        self.canary: releases.Canary | None = None
        self._variant: str | None = None  # served in place of the bundle's default
        self._prepared: Bundle | None = None  # of a state that counts soon
        self.reason = "the bundle is being loaded"
        self.looked = asyncio.Event()  # there is an engine, or it is known why not

    def give(self, text: str) -> None:
        """Follow a state of the channel in place of the file `state.json`.

        Raises:
            BundleError: it cannot be read.
        """
        self._given = releases.of_text(text, "the releases of the channel")
        self._last_known.keep(PART, text)

    def prepare(self, text: str) -> None:
        """Load the bundle of a state that counts soon, so that serving it then takes no time to copy and check it.

        A failure is only logged: when the state counts, the bundle is loaded again, and refused with the reason.
        """
        try:
            state = releases.of_text(text, "the releases of the channel")
            bundle_id = releases.current(self._settings.releases, state).name
            self._prepared = self._last_known.bundle(releases.source(self._settings.releases, state, bundle_id))
        except RecsysError as error:
            log.warning("the next release cannot be prepared: %s", error)

    def state(self) -> releases.State:
        """Return what is promoted; raises BundleError if it cannot be read."""
        if self._settings.channel == "store":
            return self._given or releases.State()
        return releases.read(self._settings.releases)

    def source(self, bundle_id: str) -> Path | str:
        """Return where a release lies: in the folder of the releases, or at the address that the channel gives."""
        state = self.state() if self._settings.channel == "store" else releases.State()
        return releases.source(self._settings.releases, state, bundle_id)

    async def follow(self) -> None:
        """Serve the current release, and each later one. Never returns."""
        wait = RETRY_SECONDS
        while True:
            seen = self._seen()  # before the look, so that what changes meanwhile is noticed afterwards
            try:
                await self._look()
            except RecsysError as error:
                self._refuse(str(error))
                await self._serve_last_good()
            except Exception as error:  # noqa: BLE001 (logged with its traceback; the next try may succeed)
                self._refuse("the bundle cannot be opened; the log says why", error)
                await self._serve_last_good()
            else:
                self.reason = ""
                metrics.REFUSED.set(0)
                if self._settings.bundle is None:
                    metrics.PROMOTED.set(self.state().log[-1].at.timestamp())
                self._last_known.use("release", False)
                wait = float("inf")
            self.looked.set()
            changed = await self._changed(seen, wait)
            wait = RETRY_SECONDS if changed or self.engine is None else min(2 * wait, RETRY_SECONDS_AT_MOST)

    async def _look(self) -> None:
        """Load and swap the bundle if another one is current.

        Raises:
            BundleError: it is missing, differs from its manifest, is not signed, or fails the self-check.
        """
        state = releases.State() if self._settings.bundle else self.state()
        current = self._settings.bundle or releases.current(self._settings.releases, state)
        source = self._settings.bundle or self.source(current.name)
        self.canary = state.canary
        if self.engine is None or (current.name, state.variant) != (self._id(), self._variant):
            await self._serve(source, state.variant)
            self._last_known.keep(SERVED, self._id())

    async def _serve(self, source: Path | str, variant: str | None = None) -> None:
        before = self._id() if self.engine else None
        self.engine = await asyncio.to_thread(lambda: self._build(self._opened(source, variant)))
        self._variant, self._prepared = variant, None
        served = self.engine.bundle.manifest
        metrics.swapped(before, served.bundle_id)
        metrics.TRAINED_UNTIL.set(served.trained_until.timestamp())
        metrics.CATALOGUE.set(len(self.engine.bundle.catalogue))
        log.info("serving bundle %s (%s, trained until %s)", served.bundle_id, served.dataset, served.trained_until)

    def _opened(self, source: Path | str, variant: str | None) -> Bundle:
        bundle = self._last_known.bundle(source)
        if variant not in bundle.manifest.variants:
            return bundle
        return replace(bundle, manifest=bundle.manifest.model_copy(update={"default_variant": variant}))

    async def _serve_last_good(self) -> None:
        """Serve the last bundle of this host, or an older release, if the current release is damaged at the start."""
        if self.engine is not None:
            return
        served = self._last_known.served()
        older: list[str] = []
        if self._settings.bundle is None:
            with suppress(RecsysError):
                older = self.state().stack[-2::-1]
        for bundle_id in dict.fromkeys([*([served] if served else []), *older]):
            with suppress(Exception):  # the next one may be good
                await self._serve(self.source(bundle_id))
                log.error("the current release cannot be served, bundle %s is", bundle_id)
                self._last_known.use("release", True)
                return

    def _seen(self) -> object:
        return stamp(self._path) if self._settings.channel == "files" else self._given

    def _id(self) -> str:
        return self.engine.bundle.manifest.bundle_id if self.engine else ""

    async def _changed(self, seen: object, wait: float) -> bool:
        """Wait this number of seconds, or until the releases change."""
        while wait > 0:
            pause = min(wait, POLL_SECONDS)
            await asyncio.sleep(pause)
            wait -= pause
            if self._seen() != seen:
                return True
        return False

    def _refuse(self, reason: str, error: Exception | None = None) -> None:
        """Record why a bundle is refused; log a new reason once, not at every try."""
        if reason != self.reason:
            serving = f"bundle {self.engine.bundle.manifest.bundle_id} goes on" if self.engine else "not ready"
            log.error("%s: %s", serving, reason, exc_info=error)
        metrics.REFUSED.set(1)
        self.reason = reason
