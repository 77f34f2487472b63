"""The job of one request, from top to bottom: what the store knows -> the engine -> the exposure is put down.

One `Service` per worker process. Without the store the answer is made of the bundle alone, and says so.
"""

import asyncio
import time
from collections.abc import Sequence
from time import perf_counter
from typing import Any

from recsys.experiments.online.config import Unit
from serving import metrics
from serving.api import cursors, events, identities
from serving.api.about import Ready
from serving.api.errors import ApiError
from serving.api.schemas import Answer, BatchAnswer, Experiment, RankRequest, RecommendRequest, SimilarRequest
from serving.engine.arms import Picked
from serving.engine.engine import Engine
from serving.engine.overlay import NOBODY, UserState
from serving.live.background import Background
from serving.service.answer_cache import AnswerCache
from serving.settings import Settings
from serving.stores.protocol import Exposed, Exposure, Store, StoreError

AT_ONCE = float("-inf")  # a deadline that has passed: nothing but what costs next to nothing
STORE = "store"
FULL_PROPENSITY = 1.0  # no experiment: the variant was certain


class Service:
    """What the routes do. `background` holds the store and what follows it."""

    def __init__(self, settings: Settings, background: Background) -> None:
        self._settings = settings
        self._background = background
        self._kept = AnswerCache(settings, background)

    async def close(self) -> None:
        """Let go of connections."""
        await self._kept.close()

    def engine(self) -> Engine:
        """What is served now. A request asks once and keeps it, so that no answer mixes two bundles.

        Raises:
            ApiError: 503 "no bundle is loaded yet; /readyz says why"
        """
        engine = self._background.live.engine
        if engine is None:
            raise ApiError(503, "no bundle is loaded yet; /readyz says why")
        return engine

    async def recommend(self, asked: RecommendRequest, request_id: str) -> Answer:
        """Items for whoever asks; see `Engine.recommend`."""
        started = perf_counter()
        engine = self.engine()
        shown = cursors.decode(asked.cursor, self._settings.secret)
        known = await self._known(asked.user_id, asked.anonymous_id)
        read_ms = (perf_counter() - started) * 1e3
        deadline = self._deadline(started)
        engine, picked = self._pick(asked, engine, known)
        answer = await self._kept.recommend(engine, asked, request_id, known, shown, deadline, picked)
        if picked is not None:
            given = picked.assignment
            answer.meta.experiment = Experiment(
                name=given.experiment, variant=given.arm, propensity=given.probability, unit=given.unit
            )
        if deadline == AT_ONCE and answer.meta.fallback_reason == "deadline":  # and not one that was kept
            answer.meta.fallback_reason = "shed"
        if answer.meta.shortfall is None:
            ids = [*shown, *(item.item_id for item in answer.items)]
            answer.next_cursor = cursors.encode(ids, self._settings.secret)
        answer.meta.timings_ms["store"] = round(read_ms, 3)
        answer.meta.timings_ms["total"] = round((perf_counter() - started) * 1e3, 3)
        self._expose(asked, answer)  # with the whole time: an experiment may watch it
        metrics.answered(answer)
        if self._background.shadow is not None:
            self._background.shadow.compare(asked, known, shown, answer)
        return answer

    async def rank(self, asked: RankRequest, request_id: str) -> Answer:
        """All candidates that may be shown, in order."""
        answer = await self.recommend(asked.widened(k=len(set(asked.candidates))), request_id)
        answer.next_cursor = None
        return answer

    async def batch(self, requests: Sequence[RecommendRequest], request_id: str) -> BatchAnswer:
        """One answer for each.

        Raises:
            ApiError: 422 "requests.3: variant: ..."
        """
        answers = []
        for place, asked in enumerate(requests):
            try:
                answers.append(await self.recommend(asked, f"{request_id}-{place}"))
            except ApiError as error:
                field = f"requests.{place}.{error.field}" if error.field else None
                raise ApiError(error.status, f"requests.{place}: {error.message}", field) from error
            await asyncio.sleep(0)  # a batch may not hold up others
        return BatchAnswer(answers=answers)

    def similar(self, asked: SimilarRequest, request_id: str) -> Answer:
        """Items like an item; see `Engine.similar`."""
        deadline = self._deadline(perf_counter())
        answer = self.engine().similar(asked, request_id, deadline)
        if deadline == AT_ONCE and answer.meta.fallback_reason == "deadline":
            answer.meta.fallback_reason = "shed"
        metrics.answered(answer)
        return answer

    async def take_events(self, posted: list[Any]) -> events.EventsAnswer:
        """Keep events; see `serving/api/events.py`.

        Raises:
            ApiError: 503, nothing was kept.
        """
        engine = self.engine()
        try:
            answer = await events.accept(self.store(), posted, engine.event_weights, engine.knows)
        except (ApiError, StoreError):
            metrics.EVENTS.labels("unavailable").inc(len(posted))
            raise
        metrics.EVENTS.labels("accepted").inc(answer.accepted)
        metrics.EVENTS.labels("duplicate").inc(answer.duplicates)
        metrics.EVENTS.labels("rejected").inc(len(answer.rejected))
        metrics.UNKNOWN_ITEMS.inc(len(answer.unknown_items))
        return answer

    async def merge(self, asked: identities.MergeRequest) -> identities.Merged:
        """A visitor turned out to be a user."""
        return identities.Merged(events=await self.store().merge(asked.anonymous_id, asked.user_id))

    async def forget(self, user_id: str) -> identities.Forgotten:
        """Delete what the store holds of the user, and use what the bundle holds no more."""
        store = self.store()
        deleted = await store.forget(user_id)
        self._background.freshness.forgotten |= {store.fingerprint(user_id)}
        await self._kept.forget(user_id)
        return identities.Forgotten(deleted=deleted)

    async def ready(self) -> Ready:
        """Which bundle is served, and whether the store answers.

        Raises:
            ApiError: 503, no bundle is loaded yet, or the store was never reached.
        """
        live = self._background.live
        if live.engine is None:
            raise ApiError(503, live.reason)
        bundle_id, refused = live.engine.bundle.manifest.bundle_id, live.reason or None
        try:
            await self.store().ping()
        except StoreError:
            return Ready(bundle_id=bundle_id, store="out of reach", refused=refused)
        return Ready(bundle_id=bundle_id, store="reached", refused=refused)

    def store(self) -> Store:
        """The opened store.

        Raises:
            ApiError: 503 with the reason why it is not open.
        """
        if self._background.store is None:
            raise ApiError(503, self._background.reason)
        return self._background.store

    def _pick(self, asked: RecommendRequest, engine: Engine, known: UserState) -> tuple[Engine, Picked | None]:
        """The arm of whoever asks, and what serves it. One that cannot be served is none, and is counted."""
        ids: dict[Unit, str | None] = {
            "user": asked.user_id,
            "anonymous": asked.anonymous_id,
            "session": asked.session_id,
        }
        units = {kind: value for kind, value in ids.items() if value is not None}
        if asked.variant is not None or not units or not self._background.assigner.busy:
            return engine, None
        about = {**asked.attributes, "segment": engine.segment(asked, known)}
        if asked.surface is not None:
            about["surface"] = asked.surface
        picked = self._background.assigner.assign(units, about)
        if picked is None:
            return engine, None
        other = self._background.other_bundles.engines.get(picked.arm.bundle) if picked.arm.bundle else engine
        wanted = [variant for variant in (picked.arm.variant, picked.arm.interleave) if variant is not None]
        if other is None or not all(other.serves(variant) for variant in wanted):
            metrics.FLAG_FAILURES.labels(picked.assignment.experiment).inc()
            return engine, None
        return other, picked

    def _deadline(self, started: float) -> float:
        """When no optional part may begin any more; with too much to do, that is now."""
        return AT_ONCE if self._background.load.sheds else started + self._settings.deadline_ms / 1e3

    async def _known(self, user_id: str | None, anonymous_id: str | None) -> UserState:
        """What the store knows of the one who asks, or that it could not be asked in time."""
        store = self._background.store
        if store is None:
            return UserState(failed=True)
        if user_id is None and anonymous_id is None:
            return NOBODY
        forgotten = self._background.freshness.forgotten
        lost = bool(forgotten) and user_id is not None and store.fingerprint(user_id) in forgotten
        if self._background.load.sheds:
            return UserState(forgotten=lost, failed=True)
        try:
            version, told = await store.history(user_id, anonymous_id, self._settings.history_events)
        except StoreError:
            return UserState(forgotten=lost, failed=True)
        return UserState(told, version, lost)

    def _expose(self, asked: RecommendRequest, answer: Answer) -> None:
        """Put down who was shown what. Somebody without any id is a visitor for one request."""
        exposures = self._background.exposures
        if exposures is None or not answer.items:
            return
        meta = answer.meta
        nobody = asked.user_id is None and asked.anonymous_id is None
        exposures.put(
            Exposure(
                request_id=answer.request_id,
                timestamp=time.time(),
                unit=meta.experiment.unit
                if meta.experiment
                else asked.user_id or asked.anonymous_id or answer.request_id,
                user_id=asked.user_id,
                anonymous_id=answer.request_id if nobody else asked.anonymous_id,
                experiment=meta.experiment.name if meta.experiment else None,
                variant=meta.variant,
                bundle_id=meta.bundle_id,
                surface=asked.surface,
                segment=meta.segment,
                propensity=meta.experiment.propensity if meta.experiment else FULL_PROPENSITY,
                items=[
                    Exposed(item.item_id, item.rank, item.score, item.source, item.propensity) for item in answer.items
                ],
                context={
                    "arm": meta.experiment.variant if meta.experiment else None,
                    "fallback": meta.fallback,
                    "fallback_reason": meta.fallback_reason,
                    "degraded": meta.degraded,
                    "teams": [item.team for item in answer.items if item.team is not None],
                    "latency_ms": meta.timings_ms["total"],
                },
            )
        )
