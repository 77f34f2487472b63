"""Routes that return lists: recommendations, similar items, the caller's own items in order.

`serving/front.py` calls those that have a body itself, not through FastAPI, so they take only body and request.
"""

from typing import Annotated

from fastapi import APIRouter, Body, Depends, Path, Query, Request

from recsys.schemas.field_limits import ATTRIBUTE_NAMES
from serving.api import examples
from serving.api.about import About
from serving.api.errors import documented
from serving.api.fields import Identifier, K, Variant
from serving.api.schemas import Answer, BatchAnswer, BatchRequest, RankRequest, RecommendRequest, SimilarRequest
from serving.routes import id_of, only_its_parameters, service_of, work_of

router = APIRouter(prefix="/v1", tags=["recommend"])


@router.post("/recommend", responses=documented(422, 500, 503), summary="Items for a user or visitor")
async def recommend(
    asked: Annotated[RecommendRequest, Body(openapi_examples=examples.RECOMMEND)], request: Request
) -> Answer:
    """Return items for a user, for an anonymous visitor, or for a history that the client sends.

    An unknown user gets popular items, and `meta.fallback_reason` says why. `next_cursor` leads to the next page, which
    repeats no item.
    """
    return await service_of(request).recommend(asked, id_of(request), work_of(request))


@router.post("/recommend:batch", responses=documented(422, 500, 503), summary="Several at once")
async def recommend_batch(
    asked: Annotated[BatchRequest, Body(openapi_examples=examples.BATCH)], request: Request
) -> BatchAnswer:
    """Answer up to 100 requests in one, such as for a mail to many users. If one is invalid, none is answered."""
    return await service_of(request).batch(asked.requests, id_of(request), work_of(request))


@router.get(
    "/recommend/{user_id:text}",
    responses=documented(422, 500, 503),
    summary="The simple case",
    dependencies=[Depends(only_its_parameters)],
)
async def recommend_user(
    user_id: Annotated[Identifier, Path(examples=["u0000001"])],
    request: Request,
    k: Annotated[K, Query()] = 10,
    variant: Annotated[Variant | None, Query()] = None,
    fields: Annotated[
        str | None, Query(pattern=ATTRIBUTE_NAMES, description="as in a body, such as title,price")
    ] = None,
) -> Answer:
    """Return items for a user, without other options."""
    names = None if fields is None else fields.split(",") if fields else []
    asked = RecommendRequest(user_id=user_id, k=k, variant=variant, fields=names)
    return await service_of(request).recommend(asked, id_of(request), work_of(request))


@router.post("/similar", responses=documented(404, 422, 500, 503), summary="Items like an item")
async def similar(
    asked: Annotated[SimilarRequest, Body(openapi_examples=examples.SIMILAR)], request: Request
) -> Answer:
    """Return items similar to one item; popular items, with the reason, if no model has it. An unknown id is a 404."""
    return service_of(request).similar(asked, id_of(request), work_of(request))


@router.post("/rank", responses=documented(422, 500, 503), summary="Your items in order")
async def rank(asked: Annotated[RankRequest, Body(openapi_examples=examples.RANK)], request: Request) -> Answer:
    """Order the caller's items, such as the results of a search, for this user, best first.

    Items that may not be shown, such as blocked ones, are left out, and `meta.shortfall` says so.
    """
    return await service_of(request).rank(asked, id_of(request), work_of(request))


@router.get("/about", responses=documented(500, 503), summary="What is served")
async def about(request: Request) -> About:
    """Return which bundle is served, its contents, and its offline metrics."""
    return service_of(request).engine().about()
