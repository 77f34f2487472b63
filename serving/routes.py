"""The routes. The name of a function is its operation id: renaming one breaks generated clients."""

from typing import Annotated

from fastapi import APIRouter, Body, Depends, Path, Query, Request

from serving import examples
from serving.engine import Engine
from serving.errors import ApiError, documented
from serving.live import Live
from serving.schemas import (
    MAX_ID_LENGTH,
    About,
    Answer,
    Health,
    K,
    Ready,
    RecommendRequest,
    SimilarRequest,
    Variant,
)

v1 = APIRouter(prefix="/v1", tags=["v1"])
probes = APIRouter(tags=["probes"])


async def _engine(request: Request) -> Engine:
    live: Live = request.app.state.live
    if live.engine is None:
        raise ApiError(503, "no bundle is loaded yet; /readyz says why")
    return live.engine


async def _request_id(request: Request) -> str:
    request_id: str = request.state.request_id
    return request_id


Ours = Annotated[Engine, Depends(_engine)]
RequestId = Annotated[str, Depends(_request_id)]


@v1.post(
    "/recommend", response_model=Answer, responses=documented(422, 500, 503), summary="Items for a user or visitor"
)
async def recommend(
    asked: Annotated[RecommendRequest, Body(openapi_examples=examples.RECOMMEND)], engine: Ours, request_id: RequestId
) -> Answer:
    """Items for a user, for an anonymous visitor, or for what a client knows of its user.

    A user nobody knows gets what is popular now, and `meta.fallback_reason` says so.
    """
    return engine.recommend(asked, request_id)


@v1.get(
    "/recommend/{user_id:path}", response_model=Answer, responses=documented(422, 500, 503), summary="The simple case"
)
async def recommend_user(
    user_id: Annotated[str, Path(min_length=1, max_length=MAX_ID_LENGTH, examples=["u0000001"])],
    engine: Ours,
    request_id: RequestId,
    k: Annotated[K, Query()] = 10,
    variant: Annotated[Variant | None, Query()] = None,
) -> Answer:
    """Items for a user, with nothing else to say."""
    return engine.recommend(RecommendRequest(user_id=user_id, k=k, variant=variant), request_id)


@v1.post("/similar", response_model=Answer, responses=documented(404, 422, 500, 503), summary="Items like an item")
async def similar(
    asked: Annotated[SimilarRequest, Body(openapi_examples=examples.SIMILAR)], engine: Ours, request_id: RequestId
) -> Answer:
    """Items like a given one; when no model knows it, what is popular now, with the reason. An unknown id is a 404."""
    return engine.similar(asked, request_id)


@v1.get("/about", response_model=About, responses=documented(500, 503), summary="What is served")
async def about(engine: Ours) -> About:
    """Which bundle is served, what is in it, and how well it did offline."""
    return engine.about()


@probes.get("/healthz", response_model=Health, summary="Is the process alive?")
async def health() -> Health:
    """The process is alive: restart it when this fails."""
    return Health()


@probes.get("/readyz", response_model=Ready, responses=documented(503), summary="Can it answer?")
async def ready(request: Request) -> Ready:
    """A bundle is loaded: send traffic when this succeeds; a 503 says what is missing."""
    live: Live = request.app.state.live
    if live.engine is None:
        raise ApiError(503, live.reason)
    return Ready(bundle_id=live.engine.bundle.manifest.bundle_id)
