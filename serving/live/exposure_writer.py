"""Queues exposures, and writes them to the store in batches in the background.

An answer never waits for its exposure. While the store is slow or down, exposures wait in the queue; when the queue is
full, they are dropped and counted.
"""

import asyncio
import logging
from collections import deque
from contextlib import suppress
from itertools import islice

from prometheus_client import Counter

from serving.recorder.snapshots import Snapshots
from serving.stores.protocol import Exposure, StoreError
from serving.stores.store import Store

log = logging.getLogger(__name__)

ROOM = 20_000  # maximum length of the queue
BATCH = 500
PAUSE_SECONDS = 0.2
RETRY_SECONDS = 1.0
EXPOSURES = Counter("recsys_exposures", "Exposures: written, or dropped because the queue was full", ["outcome"])


class Exposures:
    """The queue of one process, written by a task in the running event loop."""

    def __init__(self, store: Store, snapshots: Snapshots) -> None:
        self._store, self._snapshots = store, snapshots
        self._queue: deque[Exposure] = deque()
        self._filled = asyncio.Event()
        self._failing = False
        self._task = asyncio.create_task(self._run())

    def put(self, exposure: Exposure) -> None:
        """Queue an exposure, or drop it if the queue is full; never waits, never raises."""
        if len(self._queue) >= ROOM:
            EXPOSURES.labels("dropped").inc()
            return
        self._queue.append(exposure)
        self._filled.set()

    async def flush(self) -> None:
        """Write the queued exposures. Raises: StoreError: the store cannot be written; the rest stays queued."""
        size = BATCH
        while self._queue:
            batch = list(islice(self._queue, size))
            try:
                await self._snapshots.write(self._store, batch)
                await self._store.add_exposures(batch)
            except StoreError:
                raise
            except Exception:  # one of them is invalid: write each alone
                if len(batch) > 1:
                    size = 1
                    continue
                log.exception("an exposure cannot be stored and is dropped")
                EXPOSURES.labels("dropped").inc()
                size = BATCH
            else:
                EXPOSURES.labels("written").inc(len(batch))
            for _ in batch:
                self._queue.popleft()

    async def close(self, timeout: float = 5.0) -> None:
        """Write the queued exposures within `timeout` seconds, and stop; the rest is dropped and counted."""
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task
        try:
            await asyncio.wait_for(self.flush(), timeout)
        except (StoreError, TimeoutError) as error:
            log.error("%d exposures dropped at shutdown: %s", len(self._queue), error or "the store took too long")
            EXPOSURES.labels("dropped").inc(len(self._queue))
            self._queue.clear()

    async def _run(self) -> None:
        while True:
            await self._filled.wait()
            await asyncio.sleep(PAUSE_SECONDS)  # collect more exposures, for fewer and larger commits
            self._filled.clear()
            try:
                await self.flush()
                self._failing = False
            except StoreError as error:
                if not self._failing:
                    log.error("exposures stay queued until the store can be written: %s", error)
                self._failing = True
                await asyncio.sleep(RETRY_SECONDS)
                self._filled.set()
