"""Loads the released bundles that arms of experiments serve besides the current one, and drops unused ones."""

import asyncio
import logging

from recsys.bundle import releases
from recsys.errors import RecsysError
from recsys.recommend import self_check
from serving.engine.arms import ExperimentsFile
from serving.engine.engine import Engine
from serving.live.store_watcher import StoreWatcher
from serving.settings import Settings

log = logging.getLogger(__name__)

POLL_SECONDS = 0.5


class OtherBundles:
    """The bundles of arms. engines: bundle_id -> engine; a bundle that cannot be loaded is not in it."""

    def __init__(self, settings: Settings, experiments_file: ExperimentsFile, freshness: StoreWatcher) -> None:
        self._settings, self._following, self._freshness = settings, experiments_file, freshness
        self._refused: dict[str, str] = {}

    @property
    def engines(self) -> dict[str, Engine]:
        """Return bundle_id -> engine."""
        return self._freshness.others

    async def follow(self) -> None:
        """Reload the experiments' file when it changes, and load the bundles that it names. Never returns."""
        while True:
            await asyncio.to_thread(self._following.reload)
            await self.refresh()
            await asyncio.sleep(POLL_SECONDS)

    async def refresh(self) -> None:
        """Load bundles that are named and missing or outdated; drop those that are not named any more."""
        experiments = self._following.experiments.experiments.values()
        wanted = {arm.bundle for experiment in experiments for arm in experiment.arms.values() if arm.bundle}
        for bundle_id in self.engines.keys() - wanted:
            del self.engines[bundle_id]
        for bundle_id in wanted:
            engine = self.engines.get(bundle_id)
            if engine is not None and engine.overlay.revision == self._freshness.now.revision:
                continue
            try:
                self.engines[bundle_id] = await asyncio.to_thread(self._open, bundle_id, engine)
                self._refused.pop(bundle_id, None)
            except RecsysError as error:
                if self._refused.get(bundle_id) != str(error):
                    log.error("an arm cannot be served: %s", error)
                self._refused[bundle_id] = str(error)

    def _open(self, bundle_id: str, engine: Engine | None) -> Engine:
        if engine is not None:
            return self._freshness.engine(engine.base)
        bundle = releases.load(self._settings.releases / bundle_id, self._settings.public_key)
        self_check.check(bundle)
        return self._freshness.engine(bundle)
