"""Routes that write events, items and identity merges, forget users, export data. Success means stored durably."""

from typing import Annotated

from fastapi import APIRouter, Body, Depends, HTTPException, Path, Query, Request

from serving.api import events, examples, identities, items
from serving.api.errors import documented
from serving.api.fields import StoredId
from serving.routes import key_of, only_its_parameters, service_of, work_of
from serving.service import costs

router = APIRouter(prefix="/v1", tags=["events and items"])


@router.post(
    "/events", response_model_exclude_unset=True, responses=documented(422, 500, 503, 504), summary="What users did"
)
async def post_events(
    posted: Annotated[events.Posted, Body(openapi_examples=examples.EVENTS)], request: Request
) -> events.EventsAnswer:
    """Store one event or up to 1,000. Every worker uses them in the user's next answer.

    Each is validated by itself: valid ones are stored even if others are refused, and refused ones are stored apart
    with the reason. An event on an item that the API does not know is stored; `unknown_items` has the item's id.
    """
    listed = events.listed(posted)
    work_of(request).charge(costs.of_rows(len(listed)))
    return await service_of(request).take_events(listed, key_of(request))


@router.put("/items", responses=documented(422, 500, 503, 504), summary="Change items")
async def put_items(
    posted: Annotated[items.OneOrMany, Body(openapi_examples=examples.ITEMS)], request: Request
) -> items.ItemsAnswer:
    """Add or change one item or up to 1,000. Absent fields stay as they are. Within a second, all workers use them."""
    listed = posted if isinstance(posted, list) else [posted]
    work_of(request).charge(costs.of_rows(len(listed)))
    service = service_of(request)
    return await items.upsert(service.store(), listed, key_of(request), service.vector_length())


@router.post("/identity/merge", responses=documented(422, 500, 503, 504), summary="A guest logs in")
async def merge_identities(
    asked: Annotated[identities.MergeRequest, Body(openapi_examples=examples.MERGE)], request: Request
) -> identities.Merged:
    """Merge a visitor into a user: all events of the visitor, earlier and later ones, become the user's."""
    return await identities.merge(service_of(request).store(), asked, key_of(request))


@router.post("/identity/unmerge", responses=documented(404, 422, 500, 503, 504), summary="Undo a merge")
async def unmerge_identities(
    asked: Annotated[identities.UnmergeRequest, Body(openapi_examples=examples.UNMERGE)], request: Request
) -> identities.Merged:
    """Undo the visitor's last merge: the visitor's events belong again to their earlier owner."""
    return await identities.unmerge(service_of(request).store(), asked, key_of(request))


@router.get(
    "/users/{user_id:text}/export", responses=documented(422, 500, 503, 504), summary="What is stored about somebody"
)
async def export_user(
    user_id: Annotated[StoredId, Path(examples=["u0000001"])], request: Request
) -> identities.Exported:
    """Return all rows of the store about a user or visitor, by table, and the user's history in the served bundle."""
    return await service_of(request).export(user_id, key_of(request))


@router.delete("/users/{user_id:text}", responses=documented(422, 500, 503, 504), summary="Forget")
async def forget_user(
    user_id: Annotated[StoredId, Path(examples=["u0000001"])], request: Request
) -> identities.Forgotten:
    """Delete the events, exposures and identities of a user or visitor; their history in the bundle is not used again.

    The next training leaves them out. An unknown id is accepted. Events of others on the same device stay.
    """
    if request.scope["raw_path"].endswith((b"/", b"/export")):  # probably another path or user is meant
        detail = "Method Not Allowed; in an id that ends in / or /export, write this slash as %2F"
        raise HTTPException(405, detail, headers={"allow": "GET"})
    return await service_of(request).forget(user_id, key_of(request))


@router.get(
    "/audit",
    responses=documented(422, 500, 503, 504),
    summary="What administrators did",
    dependencies=[Depends(only_its_parameters)],
)
async def read_audit(request: Request, limit: Annotated[int, Query(ge=1, le=1000)] = 100) -> list[identities.AuditLine]:
    """Return the audit log, newest first: changes of items and settings, undone merges, and exports, views and
    deletions of a user's data. User ids are hashed."""
    return await identities.audit(service_of(request).store(), limit)
