"""Shadow deployment: a second bundle answers the same requests after the first; nobody sees its lists.

The metrics show the time it takes and how far its lists overlap with the served ones. It skips requests while the
worker is busy or its queue is full.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from recsys.bundle.bundle import Bundle
from recsys.errors import RecsysError
from serving import metrics
from serving.api.errors import ApiError
from serving.api.schemas import Answer, RecommendRequest
from serving.engine.engine import Engine
from serving.engine.overlay import UserState
from serving.last_known import LastKnown
from serving.live.list_overlap import overlap, rank_biased_overlap
from serving.middleware.load_shedding import Load

log = logging.getLogger(__name__)

ROOM = 100
PAUSE_SECONDS = 0.02  # before each request, so that the user's answer is sent, and other requests come first
REBUILD_SECONDS = 60.0  # after which a new engine gets the changes that the store had meanwhile


@dataclass(frozen=True)
class _Served:
    """A request, the user's state in the store, the item ids of earlier pages, and the served answer."""

    asked: RecommendRequest
    known: UserState
    shown: Sequence[str]
    answer: Answer


class Shadow:
    """The shadow deployment in one worker. folder: the second bundle; build: returns its engine, with the changes to
    items that are in the store now."""

    def __init__(self, folder: Path, last_known: LastKnown, build: Callable[[Bundle], Engine], load: Load) -> None:
        self._folder = folder
        self._last_known = last_known
        self._build = build
        self._load = load
        self._waiting: asyncio.Queue[_Served] = asyncio.Queue(ROOM)
        self._engine: Engine | None = None

    def compare(self, asked: RecommendRequest, known: UserState, shown: Sequence[str], answer: Answer) -> None:
        """Queue a served request if the worker has time and the answer is not degraded. known: the user's state in the
        store; shown: ids of the items of earlier pages; answer: the one that was served."""
        if self._engine is None or self._load.busy or self._waiting.full() or answer.meta.degraded:
            metrics.SHADOW.labels("left_out").inc()
        else:
            self._waiting.put_nowait(_Served(asked, known, shown, answer))

    async def run(self) -> None:
        """Answer the queued requests. It ends only when the bundle cannot be loaded or built, which it logs."""
        try:
            await self._follow(await asyncio.to_thread(self._open))
        except RecsysError as error:
            log.error("the shadow bundle cannot be loaded, nothing is compared: %s", error)
        except Exception:
            log.exception("the shadow ended by an unexpected error")
        self._engine = None

    def _open(self) -> Bundle:
        bundle = self._last_known.bundle(self._folder)
        log.info("bundle %s answers in the shadow", bundle.manifest.bundle_id)
        return bundle

    async def _follow(self, bundle: Bundle) -> None:
        built = float("-inf")
        while True:
            if perf_counter() - built > REBUILD_SECONDS:
                self._engine = engine = await asyncio.to_thread(self._build, bundle)
                built = perf_counter()
            served = await self._waiting.get()
            await asyncio.sleep(PAUSE_SECONDS)
            self._ask(engine, served)

    def _ask(self, engine: Engine, served: _Served) -> None:
        began = perf_counter()
        try:
            answer = engine.recommend(served.asked, served.answer.request_id, served.known, served.shown)
        except ApiError:  # the request names a variant that the shadow's bundle does not have
            metrics.SHADOW.labels("refused").inc()
            return
        except Exception:
            log.exception("the shadow failed")
            metrics.SHADOW.labels("failed").inc()
            return
        metrics.SHADOW.labels("degraded" if answer.meta.degraded else "answered").inc()
        metrics.SHADOW_SECONDS.observe(perf_counter() - began)
        theirs, ours = ([item.item_id for item in found.items] for found in (served.answer, answer))
        metrics.SHADOW_OVERLAP.observe(overlap(theirs, ours))
        metrics.SHADOW_RBO.observe(rank_biased_overlap(theirs, ours))
