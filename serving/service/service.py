"""The path of one request: the user's state in the store -> the engine -> the answer -> its exposure.

There is one `Service` per worker. Without the store, answers are computed from the bundle alone, and marked `degraded`.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from time import perf_counter
from typing import Any, TypeVar

from recsys.experiments.online.assignment import in_canary
from recsys.experiments.online.config import Arm, Unit
from recsys.recommend.trace import Step
from serving import metrics
from serving.api import cursors, events, identities
from serving.api.about import Ready
from serving.api.errors import ApiError
from serving.api.schemas import Answer, BatchAnswer, RankRequest, RecommendRequest, SimilarRequest
from serving.engine.arms import Picked
from serving.engine.engine import Engine
from serving.engine.overlay import NOBODY, UserState
from serving.live.background import Background
from serving.middleware.load_shedding import Work
from serving.service import costs, finish
from serving.service.answer_cache import AnswerCache
from serving.settings import Settings
from serving.stores.protocol import StoreError, UnknownOutcomeError
from serving.stores.store import Store

R = TypeVar("R", RecommendRequest, SimilarRequest)
AT_ONCE = float("-inf")  # a deadline in the past: all optional steps are skipped


class Service:
    """The operations behind the routes. background: provides the engine, the store and the queue of exposures."""

    def __init__(self, settings: Settings, background: Background) -> None:
        self._settings = settings
        self._background = background
        self._answers = AnswerCache(settings, background)

    async def close(self) -> None:
        await self._answers.close()

    def engine(self, unit: str | None = None) -> Engine:
        """Return the engine of the current release, or of the canary if this unit (user or visitor) belongs to it.

        A request calls it once, so that no answer mixes two bundles.

        Raises:
            ApiError: 503 "no bundle is loaded yet; the log says why"
        """
        engine = self._background.live.engine
        if engine is None:
            raise ApiError(503, "no bundle is loaded yet; the log says why")
        canary = self._background.live.canary
        if canary is not None and unit is not None and in_canary(canary.bundle_id, canary.share, unit):
            return self._background.other_bundles.engines.get(canary.bundle_id, engine)
        return engine

    async def recommend(self, request: RecommendRequest, request_id: str, work: Work) -> Answer:
        """Return items for a user or visitor, with the next page's cursor; charge the API key of `work` the cost."""
        work.charge(costs.of(request))
        return await self._recommend(request, request_id, work)

    async def _recommend(self, request: RecommendRequest, request_id: str, work: Work, *, paged: bool = True) -> Answer:
        """Do the same as `recommend` without charging the API key. paged: whether the answer may have a cursor."""
        started, request = perf_counter(), self._with_fields(request)
        engine = self.engine(request.user_id or request.anonymous_id)
        shown_ids = [] if request.cursor is None else cursors.decode(request.cursor, self._settings.secret)
        work.set_load(costs.of(request))
        sheds = work.sheds
        user = await self._user_state(request.user_id, request.anonymous_id, sheds)
        user_read = perf_counter()
        deadline = AT_ONCE if sheds else started + self._settings.deadline_ms / 1e3
        engine, picked = self._pick(request, engine, user)
        drafting = perf_counter()
        draft, kept = await self._answers.recommend(engine, request, request_id, user, shown_ids, deadline, picked)
        ended = perf_counter()
        timings = {"cache": (ended - drafting) * 1e3} if kept else draft.meta.timings_ms
        timings = {**timings, "store": (user_read - started) * 1e3, "total": (ended - started) * 1e3}
        cursor = None
        if paged and draft.meta.shortfall is None:
            cursor = cursors.encode([*shown_ids, *[item.item_id for item in draft.items]], self._settings.secret)
        assignment = picked.assignment if picked else None
        answer = finish.finished(draft, request_id, timings, assignment, sheds, cursor)
        if self._background.exposures is not None and answer.items:
            made_from = {
                **draft.inputs,
                "history": user.digest(),
                "events": self._settings.history_events,
                "forgotten": user.forgotten,
                "without_store": user.failed,
                "shed": sheds,
                "shown": shown_ids,
                "experiments": self._background.assigner.version,
                "arm": picked.arm.model_dump(exclude_none=True) if picked else None,
            }
            self._background.exposures.put(finish.exposure(request, answer, made_from))
        metrics.answers().add(answer)
        work.served.append((request, answer))
        if self._background.shadow is not None:
            self._background.shadow.compare(request, user, shown_ids, answer)
        return answer

    async def preview(
        self, request: RecommendRequest, request_id: str, engine: Engine, arm: Arm | None
    ) -> tuple[Answer, Sequence[Step]]:
        """Return the answer of an engine and arm, and the trace of its steps, without logging or counting the request.
        The Console, the operators' web pages, shows it."""
        started = perf_counter()
        user = await self._user_state(request.user_id, request.anonymous_id, sheds=False)
        draft = engine.recommend(request, request_id, user, arm=arm)
        timings = {**draft.meta.timings_ms, "total": (perf_counter() - started) * 1e3}
        return finish.finished(draft, request_id, timings), draft.steps

    async def rank(self, request: RankRequest, request_id: str, work: Work) -> Answer:
        widened = request.widened(k=len(set(request.candidates)))
        work.charge(costs.of(widened))
        return await self._recommend(widened, request_id, work, paged=False)

    async def batch(self, requests: Sequence[RecommendRequest], request_id: str, work: Work) -> BatchAnswer:
        """Return one answer for each request. They are computed one after another, so the worker's load counts one.

        Raises:
            ApiError: 422 "requests.3: variant: ..."
        """
        work.charge(sum(map(costs.of, requests)))
        answers = []
        for place, request in enumerate(requests):
            try:
                answers.append(await self._recommend(request, f"{request_id}-{place}", work))
            except ApiError as error:
                field = f"requests.{place}.{error.field}" if error.field else None
                raise ApiError(error.status, f"requests.{place}: {error.message}", field) from error
            await asyncio.sleep(0)  # let other requests run in between
        return BatchAnswer(answers=answers)

    def similar(self, request: SimilarRequest, request_id: str, work: Work) -> Answer:
        sheds = work.sheds
        deadline = AT_ONCE if sheds else perf_counter() + self._settings.deadline_ms / 1e3
        draft = self.engine().similar(self._with_fields(request), deadline)
        answer = finish.finished(draft, request_id, draft.meta.timings_ms, shed=sheds)
        metrics.answers().add(answer)
        return answer

    async def take_events(self, posted: list[Any], key: str | None) -> events.EventsAnswer:
        """Store the events that `serving.api.events.listed` returned, and count them. key: name of the API key.

        Raises:
            ApiError, StoreError: 503, nothing was stored.
            UnknownOutcomeError: 504, the events may or may not have been stored.
        """
        engine = self.engine()
        try:
            answer, new = await events.accept(self.store(), posted, engine.event_weights, engine.knows, key)
        except (ApiError, StoreError) as error:
            outcome = "unknown" if isinstance(error, UnknownOutcomeError) else "unavailable"
            metrics.EVENTS.labels(outcome).inc(len(posted))
            raise
        for event in new:
            metrics.EVENTS_BY_KIND.labels(event.event).inc()
            if event.value is not None and event.value > 0:
                metrics.EVENT_VALUE.labels(event.event).inc(event.value)
        if new:
            metrics.NEWEST_EVENT.set_to_current_time()
        metrics.EVENTS.labels("accepted").inc(answer.accepted)
        metrics.EVENTS.labels("duplicate").inc(answer.duplicates)
        metrics.EVENTS.labels("rejected").inc(len(answer.rejected))
        metrics.UNKNOWN_ITEMS.inc(len(answer.unknown_items))
        return answer

    def vector_length(self) -> int:
        """Return the length of the vectors that items of the current release bring, 0 without such items or release."""
        engine = self._background.live.engine
        return engine.vector_length if engine else 0

    async def export(self, user_id: str, key: str | None) -> identities.Exported:
        """Return the store's rows about a user or a visitor (then `user_id` is an anonymous_id), and the history in the
        bundle unless that was forgotten."""
        forgotten = self._background.freshness.is_forgotten(user_id)
        return await identities.export(self.store(), self.engine().bundle, user_id, forgotten, key)

    async def forget(self, user_id: str, key: str | None) -> identities.Forgotten:
        """Delete all data of the user in the store, and stop using the user's history in the bundle."""
        store = self.store()
        deleted = await store.forget(user_id, key)
        self._background.freshness.forget(store.fingerprint(user_id))
        await self._answers.forget(user_id)
        return identities.Forgotten(deleted=deleted)

    async def ready(self) -> Ready:
        """Return which bundle is served, and whether the store answers.

        Raises:
            ApiError: 503, no bundle is loaded, the process shuts down, or the store was never reached and this host has
                no copy of its state.
        """
        if self._background.leaving:
            raise ApiError(503, "this process is shutting down; send the request again")
        background = self._background
        bundle_id, store = self.engine().bundle.manifest.bundle_id, background.store
        if store is None and not background.freshness.has_something:
            self.store()
        refused = "the current release cannot be served, so another one is; the log says why"
        reached = False
        if store is not None:
            with suppress(StoreError):
                await store.ping()
                reached = True
        return Ready(
            bundle_id=bundle_id,
            store="reached" if reached else "out of reach",
            refused=refused if background.live.reason else None,
            last_known=sorted(background.last_known.using),
        )

    def store(self) -> Store:
        """Return the store.

        Raises:
            ApiError: 503 "the store could not be reached yet; the log says why"
        """
        if self._background.store is None:
            raise ApiError(503, "the store could not be reached yet; the log says why")
        return self._background.store

    def _with_fields(self, request: R) -> R:
        """Return the request with the item fields of the setting `answer_fields`, unless it names some itself."""
        if request.fields is not None or not self._settings.answer_fields:
            return request
        return request.model_copy(update={"fields": self._settings.answer_fields.split(",")})

    def _pick(self, request: RecommendRequest, engine: Engine, user: UserState) -> tuple[Engine, Picked | None]:
        """Return the request's engine, and its arm or None. An arm that cannot be served is counted, and ignored."""
        if request.variant is not None or not self._background.assigner.busy:
            return engine, None
        ids: dict[Unit, str | None] = {
            "user": request.user_id,
            "anonymous": request.anonymous_id,
            "session": request.session_id,
        }
        units = {kind: value for kind, value in ids.items() if value is not None}
        picked = self._background.assigner.assign(units, engine.targeting(request, user)) if units else None
        if picked is None:
            return engine, None
        other = self._background.other_bundles.engines.get(picked.arm.bundle) if picked.arm.bundle else engine
        variants = [variant for variant in (picked.arm.variant, picked.arm.interleave) if variant is not None]
        if other is None or not all(other.serves(variant) for variant in variants):
            metrics.FLAG_FAILURES.labels(picked.assignment.experiment).inc()
            return engine, None
        return other, picked

    async def _user_state(self, user_id: str | None, anonymous_id: str | None, sheds: bool) -> UserState:
        """Return the user's state in the store; `failed` if it could not be read, or was not, to shed load."""
        store = self._background.store
        lost = self._background.freshness.is_forgotten(user_id)
        if store is None:
            return UserState(forgotten=lost, failed=True)
        if user_id is None and anonymous_id is None:
            return NOBODY
        if sheds:
            return UserState(forgotten=lost, failed=True)
        try:
            version, latest = await store.history(user_id, anonymous_id, self._settings.history_events)
            more = len(latest) >= self._settings.history_events  # otherwise `latest` has all events
            seen = await store.seen(user_id, anonymous_id) if more else {}
        except StoreError:
            return UserState(forgotten=lost, failed=True)
        return UserState(latest, version, seen, lost)
