"""What goes on beside the requests of one worker: follow the releases and the store, write exposures."""

import asyncio
import logging

from serving.exposures import Exposures
from serving.freshness import Freshness
from serving.live import Live
from serving.settings import Settings
from serving.stores import open_store
from serving.stores.protocol import Store, StoreError

log = logging.getLogger(__name__)

RETRY_SECONDS = 1.0


class Background:
    """`store` and `exposures` are None until the store was opened; then `reason` says why not."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.freshness = Freshness()
        self.live = Live(settings, self.freshness.engine)
        self.store: Store | None = None
        self.exposures: Exposures | None = None
        self.reason = "the store is being opened"

    async def run(self) -> None:
        """Never returns; what was opened is closed when it is cancelled.

        The store comes first: an item that is sold out is so in the very first answer.
        """
        try:
            await self._open()
            async with asyncio.TaskGroup() as group:
                group.create_task(self.live.follow())
                group.create_task(self._follow_store())
        finally:
            if self.exposures is not None:
                await self.exposures.close()
            if self.store is not None:
                await self.store.close()

    async def _follow_store(self) -> None:
        while self.store is None:
            await asyncio.sleep(RETRY_SECONDS)
            await self._open()
        await self.freshness.follow(self.store, self.live)

    async def _open(self) -> None:
        try:
            store = await open_store(self._settings.store_url)
            await self.freshness.refresh(store, self.live)
        except StoreError as error:
            if str(error) != self.reason:
                log.error("going on without the store: %s", error)
            self.reason = str(error)
        else:
            self.store, self.exposures = store, Exposures(store)
