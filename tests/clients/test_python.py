"""The Python client against a running API, and against servers that are away, slow, overloaded or lose answers."""

import asyncio
import json
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from clients.python.recommendations import ApiError, AsyncClient, Client, event
from tests.support import bundles
from tests.support.servers import serving

AWAY = "http://127.0.0.1:9"  # nobody listens on the port `discard`
BEST = ["a", "b", "c"]


@pytest.fixture(scope="module")
def url(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("client")
    command = [sys.executable, "-m", "serving"]
    with serving(command, bundles.write(folder / "bundle"), root, folder / "server.log", 1) as (address, _):
        yield address


@contextmanager
def answering(*answers: tuple[int, Any]) -> Iterator[tuple[str, list[Any]]]:
    """A server that gives these answers, one after the other, the last one for ever, and keeps what it was sent."""
    got: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            status, body = answers[min(len(got), len(answers)) - 1]
            if status == 0:  # the connection is cut before the answer
                self.close_connection = True
                return
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", got
        server.shutdown()


def test_a_list_and_the_click_on_it(url: str) -> None:
    with Client(url, timeout=20) as client:
        answer = client.recommend(user_id="anna", k=3)
        assert not answer.fallback
        assert len(answer.items) == 3
        assert answer.raw["request_id"] == answer.request_id
        click = event("click", answer.items[0].item_id, user_id="anna", request_id=answer.request_id)
        assert client.send(click).accepted == 1
        again = client.send(click)
        assert (again.accepted, again.duplicates) == (0, 1)
        similar = client.similar(answer.items[0].item_id, k=2)
        assert answer.items[0].item_id not in [item.item_id for item in similar.items]


def test_the_asynchronous_client_does_the_same(url: str) -> None:
    async def use() -> None:
        async with AsyncClient(url, timeout=20) as client:
            answers = await asyncio.gather(*(client.recommend(user_id=f"u{n}", k=2) for n in range(5)))
            assert len({answer.request_id for answer in answers}) == 5
            sent = await client.send(*(event("click", answers[0].items[0].item_id, user_id="bea") for _ in range(3)))
            assert sent.accepted == 3

    asyncio.run(use())


def test_more_than_one_request_holds_are_all_sent(url: str) -> None:
    with Client(url, timeout=20, event_timeout=60) as client:
        name = client.recommend(user_id="carl", k=1).items[0].item_id
        events = [event("click", name, user_id="carl") for _ in range(1001)]
        events[1000] = event("click", name)  # of nobody
        sent = client.send(*events)
    assert sent.accepted == 1000
    assert [one["index"] for one in sent.rejected] == [1000]


def test_a_wrong_request_is_an_error_and_no_fallback(url: str) -> None:
    with (
        Client(url, timeout=20, fallback=BEST) as client,
        pytest.raises(ApiError, match=r"/v1/recommend: 422 .*prize") as said,
    ):
        client.recommend(user_id="anna", filter="prize < 3")
    assert said.value.status == 422


def test_the_own_list_when_the_api_is_away() -> None:
    with Client(AWAY, fallback=BEST) as client:
        answer = client.recommend(user_id="anna", k=2, exclude_ids=["a"])
        assert [item.item_id for item in answer.items] == ["b", "c"]
        assert answer.fallback
        assert [item.item_id for item in client.similar("b").items] == ["a", "c"]


def test_the_own_list_when_the_api_is_overloaded_and_no_second_request() -> None:
    with answering((503, {})) as (url, got), Client(url, timeout=20, fallback=BEST) as client:
        assert client.recommend(user_id="anna").fallback
        assert len(got) == 1


def test_a_lost_answer_is_asked_for_again() -> None:
    found = {"request_id": "r", "items": [{"item_id": "x", "title": "X", "score": 1, "source": "als"}]}
    with answering((0, None), (200, found)) as (url, got), Client(url, timeout=20, fallback=BEST) as client:
        answer = client.recommend(user_id="anna")
    assert (answer.request_id, answer.items[0].title) == ("r", "X")
    assert got[0] == got[1]


def test_events_are_sent_again_with_the_same_ids_and_times() -> None:
    acknowledged = {"accepted": 1, "duplicates": 0, "rejected": []}
    with answering((0, None), (503, {}), (200, acknowledged)) as (url, got), Client(url) as client:
        assert client.send(event("click", "x", user_id="anna")).accepted == 1
    assert len(got) == 3
    assert got[0] == got[1] == got[2]
    assert {"event_id", "timestamp"} <= set(got[0][0])


def test_events_that_nobody_acknowledged_are_an_error() -> None:
    with (
        Client(AWAY, tries=2) as client,
        pytest.raises(ApiError, match=r"not acknowledged after 2 tries .ConnectError.") as said,
    ):
        client.send(event("click", "x", user_id="anna"))
    assert said.value.status is None


def test_the_key_is_sent() -> None:
    with Client("http://x", key="k") as client:
        request = client._post("/v1/events", [], 1.0)
    assert request.headers["authorization"] == "Bearer k"
    assert isinstance(request, httpx.Request)
