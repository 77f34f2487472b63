"""Stores the shared inputs of answers, once per version: rules, counts of recent likes, ids of new items without data.

They contain no personal data, and are kept as long as exposures: `serving/recorder/replay.py` needs them.
"""

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable

from serving.recorder.queries import PUT_SNAPSHOT
from serving.stores.protocol import Exposure, StoreError
from serving.stores.store import Store

log = logging.getLogger(__name__)

BORN, LIVE, RULES = "born", "live", "rules"
OFFERED = 20  # versions of a kind in memory: unwritten live counts are large, and new twice a minute
USED_SECONDS = 3600.0  # seconds between two updates of a version's last use in the store

Version = tuple[str, str]  # kind and version


class Snapshots:
    """The versions of these inputs that the answers of one process use, and when each was last written to the store."""

    def __init__(self) -> None:
        self._offered: dict[str, OrderedDict[str, Callable[[], str]]] = {
            kind: OrderedDict() for kind in (BORN, LIVE, RULES)
        }
        self._written: dict[Version, float] = {}

    def offer(self, kind: str, version: str | None, pack: Callable[[], str]) -> None:
        """Register a version before answers use it. pack: returns its text; it is called when an answer uses it."""
        offered = self._offered[kind]
        if version is not None and version not in offered:
            offered[version] = pack
            if len(offered) > OFFERED:
                offered.popitem(last=False)

    async def write(self, store: Store, exposures: Iterable[Exposure]) -> None:
        """Write the versions that these answers used and that were not written in the last hour.

        Raises:
            StoreError: the store cannot be written.
        """
        used = {(kind, shown.replay[kind]) for shown in exposures if shown.replay for kind in self._offered}
        now = time.time()
        for kind, version in sorted(one for one in used if one[1] and now - self._written.get(one, 0) > USED_SECONDS):
            pack = self._offered[kind].get(version)
            if pack is None:  # the answer came from the cache, and another worker computed it
                continue
            try:
                await store.execute(PUT_SNAPSHOT, kind, version, now, await asyncio.to_thread(pack))
            except StoreError:
                raise
            except Exception:
                log.exception("%s of version %s cannot be stored: answers from it cannot be replayed", kind, version)
            self._written[kind, version] = now
            if kind == LIVE:  # the next counts have another version
                self._offered[kind].pop(version, None)
        if len(self._written) > 10 * OFFERED:
            self._written = {one: at for one, at in self._written.items() if now - at <= USED_SECONDS}
