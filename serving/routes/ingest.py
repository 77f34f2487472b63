"""What the shop tells the API: events, items, who is who, and whom to forget. What is acknowledged is durable."""

from typing import Annotated

from fastapi import APIRouter, Body, Path, Request

from serving.api import events, examples, identities, items
from serving.api.errors import documented
from serving.api.fields import StoredId
from serving.routes import key_of, service_of

router = APIRouter(prefix="/v1", tags=["events and items"])


@router.post(
    "/events",
    response_model=events.EventsAnswer,
    response_model_exclude_unset=True,
    responses=documented(422, 500, 503, 504),
    summary="What users did",
)
async def post_events(
    posted: Annotated[events.Posted, Body(openapi_examples=examples.EVENTS)], request: Request
) -> events.EventsAnswer:
    """One event or up to 1,000: they count in the same user's next answer, in every worker.

    Each is checked by itself: the good ones are kept even if others are refused, and the refused ones are kept apart
    with the reason. An event on an item that nobody has described is kept, and the item is named in `unknown_items`.
    """
    return await service_of(request).take_events(events.listed(posted), key_of(request))


@router.put(
    "/items", response_model=items.ItemsAnswer, responses=documented(422, 500, 503, 504), summary="Change items"
)
async def put_items(
    posted: Annotated[items.OneOrMany, Body(openapi_examples=examples.ITEMS)], request: Request
) -> items.ItemsAnswer:
    """One item or up to 1,000, known or new; what is absent stays. Within a second every worker serves it."""
    return await items.upsert(service_of(request).store(), posted if isinstance(posted, list) else [posted])


@router.post(
    "/identity/merge",
    response_model=identities.Merged,
    responses=documented(422, 500, 503, 504),
    summary="A guest logs in",
)
async def merge_identities(
    asked: Annotated[identities.MergeRequest, Body(openapi_examples=examples.MERGE)], request: Request
) -> identities.Merged:
    """All that the visitor did, before and after, counts as done by the user."""
    return await service_of(request).merge(asked, key_of(request))


@router.post(
    "/identity/unmerge",
    response_model=identities.Merged,
    responses=documented(404, 422, 500, 503, 504),
    summary="Undo a merge",
)
async def unmerge_identities(
    asked: Annotated[identities.UnmergeRequest, Body(openapi_examples=examples.UNMERGE)], request: Request
) -> identities.Merged:
    """What the visitor did alone is again whose it was before the last merge: the user's before, or the visitor's."""
    return await service_of(request).unmerge(asked)


@router.delete(
    "/users/{user_id:text}",
    response_model=identities.Forgotten,
    responses=documented(422, 500, 503, 504),
    summary="Forget",
)
async def forget_user(
    user_id: Annotated[StoredId, Path(examples=["u0000001"])], request: Request
) -> identities.Forgotten:
    """Delete the events, exposures and identities of a user or visitor; what the bundle holds is not used any more.

    The next training leaves them out. Somebody nobody knows is forgotten too. What others did on the same device stays.
    """
    return await service_of(request).forget(user_id)
