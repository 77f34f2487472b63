"""Calls `Engine.recommend` through the response cache, and defines the cache key of a request."""

from collections.abc import Sequence
from dataclasses import replace

from serving.api.schemas import RecommendRequest
from serving.engine.arms import Picked
from serving.engine.engine import Draft, Engine
from serving.engine.overlay import UserState
from serving.live.background import Background
from serving.service.cache import Cache, CacheKey, open_cache
from serving.settings import Settings

NOT_IN_THE_ANSWER = {"session_id"}  # only experiments read it, and the key contains the arm


class AnswerCache:
    """The response cache of one worker process. Without `RECSYS_CACHE_URL` every answer is computed."""

    def __init__(self, settings: Settings, background: Background) -> None:
        self._background = background
        self._cache: Cache[Draft] | None = None
        if settings.cache_url:
            self._cache = open_cache(settings.cache_url, settings.cache_seconds, Draft, _may_be_cached)

    async def recommend(
        self,
        engine: Engine,
        request: RecommendRequest,
        request_id: str,
        user: UserState,
        shown_ids: Sequence[str],
        deadline: float,
        picked: Picked | None,
    ) -> tuple[Draft, bool]:
        """Return the result of `Engine.recommend`, and whether it came from the cache; partly random lists never do.
        deadline: seconds on `perf_counter`; picked: the arm that an experiment assigned, None without an experiment."""
        arm = picked.arm if picked else None
        if self._cache is None or user.failed or (arm is not None and arm.drawn):
            return engine.recommend(request, request_id, user, shown_ids, deadline, arm), False
        key = self._key(engine, request, user, picked)  # before the answer, which may be newer than its key, not older
        computed = False

        async def compute() -> Draft:
            nonlocal computed
            computed = True
            return engine.recommend(request, request_id, user, shown_ids, deadline, arm)

        shared = await self._cache.answer(key, compute)
        return replace(shared, meta=replace(shared.meta)), not computed

    async def forget(self, user_id: str) -> None:
        if self._cache is not None:
            await self._cache.forget(user_id)

    async def close(self) -> None:
        if self._cache is not None:
            await self._cache.close()

    def _key(self, engine: Engine, request: RecommendRequest, user: UserState, picked: Picked | None) -> CacheKey:
        return CacheKey(
            owner=request.user_id or request.anonymous_id or "",
            bundle_id=engine.bundle.manifest.bundle_id,
            rules=self._background.rules.version or "",
            experiment=picked.assignment.experiment if picked else "",
            variant=request.variant or (picked.arm.variant if picked else ""),
            history=user.digest(),
            items=f"{self._background.freshness.now.version} {engine.overlay.version}",
            request=request.model_dump_json(exclude=NOT_IN_THE_ANSWER),
        )


def _may_be_cached(draft: Draft) -> bool:
    """Return whether a draft may be cached, that is, no part failed and the deadline did not cut it short."""
    return not draft.meta.degraded and draft.meta.fallback_reason != "deadline"
