"""Loads the bundles that arms of experiments or a canary need besides the current release; drops unused ones."""

import asyncio
import logging

from recsys.errors import RecsysError
from serving.engine.arms import ExperimentsFile
from serving.engine.engine import Engine
from serving.last_known import LastKnown
from serving.live.release_watcher import ReleaseWatcher
from serving.live.store_watcher import StoreWatcher

log = logging.getLogger(__name__)

POLL_SECONDS = 0.5


class OtherBundles:
    """The bundles besides the current release. reads_file: whether the experiments come from a file, not the store.
    engines: bundle_id -> the engine that answers from this bundle; one that cannot be loaded is missing."""

    def __init__(
        self,
        last_known: LastKnown,
        experiments_file: ExperimentsFile,
        freshness: StoreWatcher,
        live: ReleaseWatcher,
        reads_file: bool,
    ) -> None:
        self._live, self._reads_file = live, reads_file
        self._last_known = last_known
        self._following, self._freshness = experiments_file, freshness
        self._refused: dict[str, str] = {}

    @property
    def engines(self) -> dict[str, Engine]:
        return self._freshness.others

    async def follow(self) -> None:
        """Twice a second reload a changed file of experiments, and call `refresh`. Never returns."""
        while True:
            if self._reads_file:
                await asyncio.to_thread(self._following.reload)
            await self.refresh()
            await asyncio.sleep(POLL_SECONDS)

    async def refresh(self) -> None:
        """Load the bundles that the experiments or the canary name now; drop all others. Build an engine anew if
        anything but the stock of items changed in the store."""
        experiments = self._following.experiments.experiments.values()
        wanted = {arm.bundle for experiment in experiments for arm in experiment.arms.values() if arm.bundle}
        wanted |= {self._live.canary.bundle_id} if self._live.canary else set()
        for bundle_id in self.engines.keys() - wanted:
            del self.engines[bundle_id]
        for bundle_id in wanted:
            engine = self.engines.get(bundle_id)
            if engine is not None and engine.overlay.revision == self._freshness.now.revision:
                continue
            try:
                source = self._live.source(bundle_id)
                bundle = engine.base if engine else await asyncio.to_thread(self._last_known.bundle, source)
                self.engines[bundle_id] = await asyncio.to_thread(self._freshness.engine, bundle)
                self._refused.pop(bundle_id, None)
            except RecsysError as error:
                if self._refused.get(bundle_id) != str(error):
                    log.error("cannot load the bundle of an arm or canary, which is not served: %s", error)
                self._refused[bundle_id] = str(error)
