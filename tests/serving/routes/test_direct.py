"""The direct way to an endpoint answers as FastAPI's general one does."""

from signal import SIGTERM
from typing import Annotated, Any

import numpy as np
import pytest
from fastapi import Body, FastAPI, Request
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from httpx2 import Response

from serving.api import errors
from serving.api.errors import ApiError
from serving.api.schemas import Item, RecommendRequest
from serving.front import FrontController
from serving.middleware.load_shedding import Load
from serving.process import MemoryReserve
from serving.settings import Settings


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
    return Item(item_id=asked.user_id or "", rank=asked.k, score=np.float64(0.1) + 0.2, reasons=[], **about)


@pytest.fixture(scope="module")
def client() -> TestClient:
    app = FastAPI()
    for way in ("direct", "general"):
        app.post(f"/{way}/recommend")(endpoint)
    direct = [route for route in app.routes if getattr(route, "path", "") == "/direct/recommend"]
    app.add_middleware(FrontController, settings=Settings(), load=Load(100, 1.0), memory=MemoryReserve(), direct=direct)
    errors.handle(app)
    return TestClient(app)


def without_id(response: Response) -> tuple[int, dict[str, str], Any]:
    headers, request_id = dict(response.headers), response.headers["x-request-id"]
    del headers["x-request-id"]
    return response.status_code, headers, response.text.replace(request_id, "id")


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
    assert without_id(direct) == without_id(general)


def test_a_valid_body_skips_fastapi() -> None:
    async def general(*_: Any) -> None:
        raise AssertionError("FastAPI was called")

    direct = APIRoute("/v1/recommend", endpoint, methods=["POST"])
    client = TestClient(
        FrontController(general, Settings(), Load(100, 1.0), MemoryReserve(), [direct]), raise_server_exceptions=False
    )
    statuses = [client.post("/v1/recommend", json=body).status_code for body in ({"k": 5}, {"k": 13}, {"k": 0})]
    assert statuses == [200, 422, 500], "the last one is not valid, and would be FastAPI's"


def test_without_memory_the_reserve_is_used_and_then_the_worker_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    refusals, signals = iter([True, False, True, True, False]), list[int]()
    monkeypatch.setattr("serving.process.os.kill", lambda _, number: signals.append(number))

    async def scarce(asked: Annotated[RecommendRequest, Body()], request: Request) -> Item:
        if next(refusals):
            raise MemoryError
        return await endpoint(asked, request)

    direct = APIRoute("/v1/recommend", scarce, methods=["POST"])
    client = TestClient(FrontController(FastAPI(), Settings(), Load(100, 1.0), MemoryReserve(), [direct]))
    answers = [client.post("/v1/recommend", json={"k": 5}) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 503, 503, 200]
    assert "no memory left" in answers[1].json()["error"]["message"]
    assert answers[1].headers["retry-after"] == "1"
    assert signals == [SIGTERM], "once"
