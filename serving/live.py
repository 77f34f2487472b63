"""What this process serves now, or why it serves nothing yet."""

import asyncio
import logging
from importlib.metadata import version

from recsys import bundle, releases
from recsys.errors import RecsysError
from serving.engine import Engine
from serving.schemas import RecommendRequest
from serving.settings import Settings

log = logging.getLogger(__name__)

RETRY_SECONDS = 2.0


class Live:
    """The engine, set in one assignment once it has answered a first request; `reason` says why there is none yet."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.engine: Engine | None = None
        self.reason = "the bundle is being loaded"

    def load(self) -> None:
        """Verify and open the bundle, let it answer once, then serve it.

        Raises:
            BundleError: the bundle is missing or not what its manifest says.
        """
        folder = self._settings.bundle or releases.current(self._settings.releases)
        engine = Engine(bundle.load(folder), version("recsys"))
        engine.recommend(RecommendRequest(), request_id="warm-up")
        self.engine = engine
        served = engine.bundle.manifest
        log.info("serving bundle %s (%s, trained until %s)", served.bundle_id, served.dataset, served.trained_until)

    async def load_when_there(self) -> None:
        """Try until there is a bundle that can be served."""
        while self.engine is None:
            try:
                await asyncio.to_thread(self.load)
            except RecsysError as error:
                self._explain(str(error))
            except Exception as error:  # noqa: BLE001 (logged with its traceback; the next try may succeed)
                self._explain("the bundle cannot be opened; the log says why", error)
            else:
                return
            await asyncio.sleep(RETRY_SECONDS)

    def _explain(self, reason: str, error: Exception | None = None) -> None:
        """Log a new reason once, not at every try."""
        if reason != self.reason:
            log.error("not ready: %s", reason, exc_info=error)
        self.reason = reason
