"""The short way through FastAPI answers as the general one does."""

from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Body, FastAPI, Request
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient

from serving.api import errors
from serving.api.errors import ApiError
from serving.api.schemas import Item, RecommendRequest
from serving.routes.direct import DirectRoute


async def endpoint(asked: Annotated[RecommendRequest, Body()], request: Request) -> Item:
    if asked.k == 13:
        raise ApiError(422, "k: not 13", "k")
    about: dict[str, Any] = {
        "confidence": None,
        "source": "als",
        "fallback": False,
        "title": "Cup — été",
        "categories": [],
    }
    return Item(item_id=asked.user_id or "", rank=asked.k, score=0.1 + 0.2, reasons=[], **about)


@pytest.fixture(scope="module")
def client() -> TestClient:
    app = FastAPI()
    for prefix, route_class in (("/direct", DirectRoute), ("/general", APIRoute)):
        router = APIRouter(prefix=prefix, route_class=route_class)
        router.post("/recommend")(endpoint)
        app.include_router(router)
    errors.handle(app)

    @app.middleware("http")
    async def with_id(request: Request, call_next):  # type: ignore[no-untyped-def]
        request.state.request_id = "r1"
        return await call_next(request)

    return TestClient(app)


@pytest.mark.parametrize("kind", ["application/json", "application/json; charset=utf-8", "text/plain", ""])
@pytest.mark.parametrize(
    "body",
    [
        b'{"user_id": "anna", "k": 5}',
        b"{}",
        b'{"k": "7"}',
        b'{"k": 13}',
        b'{"k": 0}',
        b'{"k": NaN}',
        b'{"k": 1, "k": 2}',
        b'{"unknown": 1}',
        b'{"user_id": "\xff"}',
        b'\xef\xbb\xbf{"k": 3}',
        b"[]",
        b"null",
        b'{"k": ',
        b"[" * 100_000,
        b'{"user_id": "\\ud800"}',
        b"",
    ],
)
def test_both_ways_answer_alike(client: TestClient, body: bytes, kind: str) -> None:
    direct, general = (
        client.post(f"/{way}/recommend", content=body, headers={"content-type": kind} if kind else {})
        for way in ("direct", "general")
    )
    assert (direct.status_code, direct.content) == (general.status_code, general.content)
    assert direct.headers == general.headers


def test_both_ways_are_documented_alike(client: TestClient) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    direct, general = (paths[f"/{way}/recommend"]["post"] for way in ("direct", "general"))
    assert {**direct, "operationId": ""} == {**general, "operationId": ""}
