"""`Engine.recommend`, through the cache where there is one: what of a request makes another answer."""

from collections.abc import Sequence
from time import perf_counter

from serving.api.schemas import Answer, RecommendRequest
from serving.engine.arms import Picked
from serving.engine.engine import Engine
from serving.engine.overlay import UserState
from serving.live.background import Background
from serving.service.cache import Cache, CacheKey, open_cache
from serving.settings import Settings

NOT_IN_THE_ANSWER = {"session_id", "attributes"}  # experiments read them, and the arm is in the key
COMPUTED = "0" * 32  # stands for the request_id that each answer gets for itself


class AnswerCache:
    """One per worker process. Without `RECSYS_CACHE_URL` every answer is computed."""

    def __init__(self, settings: Settings, background: Background) -> None:
        self._background = background
        self._cache: Cache[Answer] | None = None
        if settings.cache_url:
            self._cache = open_cache(settings.cache_url, settings.cache_seconds, Answer, _may_be_given_again)

    async def recommend(
        self,
        engine: Engine,
        asked: RecommendRequest,
        request_id: str,
        known: UserState,
        shown: Sequence[str],
        deadline: float,
        picked: Picked | None,
    ) -> Answer:
        """See `Engine.recommend`. What an arm draws anew for each request is not kept."""
        arm = picked.arm if picked else None
        if self._cache is None or known.failed or (arm is not None and arm.drawn):
            return engine.recommend(asked, request_id, known, shown, deadline, arm)
        question = self._question(engine, asked, known, picked)  # before the answer: it may be newer, never older
        computed = False

        async def compute() -> Answer:
            nonlocal computed
            computed = True
            return engine.recommend(asked, COMPUTED, known, shown, deadline, arm)

        started = perf_counter()
        answer = await self._cache.answer(question, compute)
        ms = round((perf_counter() - started) * 1e3, 3)
        timings = dict(answer.meta.timings_ms) if computed else {"cache": ms, "total": ms}
        meta = answer.meta.model_copy(update={"timings_ms": timings})
        return answer.model_copy(update={"request_id": request_id, "meta": meta})

    async def forget(self, user_id: str) -> None:
        """Drop what is kept for a user."""
        if self._cache is not None:
            await self._cache.forget(user_id)

    async def close(self) -> None:
        """Let go of connections."""
        if self._cache is not None:
            await self._cache.close()

    def _question(self, engine: Engine, asked: RecommendRequest, known: UserState, picked: Picked | None) -> CacheKey:
        return CacheKey(
            owner=asked.user_id or asked.anonymous_id or "",
            bundle_id=engine.bundle.manifest.bundle_id,
            rules=self._background.rules.version or "",
            experiment=picked.assignment.experiment if picked else "",
            variant=asked.variant or (picked.arm.variant if picked else ""),
            history=f"{known.version} {known.forgotten}",
            items=f"{self._background.freshness.now.version} {engine.fresh.version}",
            request=asked.model_dump_json(exclude=NOT_IN_THE_ANSWER),
        )


def _may_be_given_again(answer: Answer) -> bool:
    """Not what was made without a part, or in a hurry."""
    return not answer.meta.degraded and answer.meta.fallback_reason not in ("deadline", "shed")
