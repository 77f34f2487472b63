"""Serves the current release: loads a new one in a thread, and switches to it by one assignment.

A request uses one `Engine` from beginning to end, so no answer mixes two bundles; an old engine is freed after its last
request. Every worker process watches the releases by itself.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from threading import Lock

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
RETRY_SECONDS_AT_MOST = 60.0  # while another bundle is served: each try hashes the invalid one again


class ReleaseWatcher:
    """Watches the releases. engine: the served one, or None; reason: why the current release is not served, or ""."""

    def __init__(self, settings: Settings, build: Callable[[Bundle], Engine], last_known: LastKnown) -> None:
        self._settings = settings
        self._last_known = last_known
        self._build = build
        self._path = settings.releases / releases.STATE
        self._from_store: releases.State | None = None  # the last state from the channel
        self._woken = asyncio.Event()  # by a state from there
        self._preparing = Lock()  # so that a bundle which is still being loaded when it is due is not loaded twice
        if settings.channel == "store" and self._last_known.path(PART).is_file():
            self.set_state(self._last_known.path(PART).read_text(encoding="utf-8"))
        self.engine: Engine | None = None
        self.canary: releases.Canary | None = None
        self._variant: str | None = None  # the default variant that the releases set in place of the bundle's
        self._prepared: Bundle | None = None  # the bundle of the next release, loaded before it takes effect
        self.reason = "the bundle is being loaded"
        self.looked = asyncio.Event()  # set after the first try to load a bundle

    def set_state(self, text: str) -> None:
        """Set the state of the releases to the one from the store, in place of `state.json`. text: the state as JSON.

        Raises:
            BundleError: the text is invalid.
        """
        self._from_store = releases.of_text(text, "the releases in the store")
        self._woken.set()
        self._last_known.keep(PART, text)

    def prepare(self, text: str) -> None:
        """Load the bundle of a scheduled state, to be quick when it takes effect; a failure is only logged."""
        try:
            state = releases.of_text(text, "the releases in the store")
            bundle_id = releases.current(self._settings.releases, state).name
            with self._preparing:
                self._prepared = self._last_known.bundle(releases.source(self._settings.releases, state, bundle_id))
        except RecsysError as error:
            log.warning("the next release cannot be prepared: %s", error)

    def state(self) -> releases.State:
        """Return the state of the releases. Raises: BundleError: it cannot be read."""
        if self._settings.channel == "store":
            return self._from_store or releases.State()
        return releases.read(self._settings.releases)

    def source(self, bundle_id: str) -> Path | str:
        """Return the folder of a release, or the address from which the state in the store says to fetch it."""
        state = self.state() if self._settings.channel == "store" else releases.State()
        return releases.source(self._settings.releases, state, bundle_id)

    async def follow(self) -> None:
        """Serve the current release, and each later one. Never returns."""
        wait = RETRY_SECONDS
        while True:
            seen = self._seen()  # before `_look`, so that a change during it is noticed afterwards
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
        """Load the current release and switch to it, unless it is served already.

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
        with self._preparing:
            bundle, name = self._prepared, str(source).rpartition("/")[2]
            if bundle is None or bundle.manifest.bundle_id != name:
                bundle = self._last_known.bundle(source)
        if variant not in bundle.manifest.variants:
            return bundle
        return replace(bundle, manifest=bundle.manifest.model_copy(update={"default_variant": variant}))

    async def _serve_last_good(self) -> None:
        """If there is no engine yet, serve the bundle that this host served last, or else the newest valid release."""
        if self.engine is not None:
            return
        served = self._last_known.served()
        older: list[str] = []
        if self._settings.bundle is None:
            with suppress(RecsysError):
                older = self.state().stack[-2::-1]
        for bundle_id in dict.fromkeys([*([served] if served else []), *older]):
            with suppress(Exception):  # the next one may be valid
                await self._serve(self.source(bundle_id))
                log.error("the current release cannot be served, so bundle %s is served instead", bundle_id)
                self._last_known.use("release", True)
                return

    def _seen(self) -> object:
        return stamp(self._path) if self._settings.channel == "files" else self._from_store

    def _id(self) -> str:
        return self.engine.bundle.manifest.bundle_id if self.engine else ""

    async def _changed(self, seen: object, wait: float) -> bool:
        """Wait up to `wait` seconds; return whether the state of the releases differs from `seen`."""
        while wait > 0:
            pause = min(wait, POLL_SECONDS)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._woken.wait(), pause)
            self._woken.clear()
            wait -= pause
            if self._seen() != seen:
                return True
        return False

    def _refuse(self, reason: str, error: Exception | None = None) -> None:
        """Record why the current release is not served; log it once, not at every try."""
        if reason != self.reason:
            serving = f"bundle {self._id()} is still served" if self.engine else "no bundle is served"
            log.error("%s: %s", serving, reason, exc_info=error)
        metrics.REFUSED.set(1)
        self.reason = reason
