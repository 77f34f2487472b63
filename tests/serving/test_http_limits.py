"""A real server and clients that would hold it: large heads, slow heads and bodies, idle and very many connections."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.servers import answer, connected, cpu_seconds, head, many, read, sent, serving

LIMITS = {"RECSYS_RECEIVE_SECONDS": "2", "RECSYS_MAX_CONNECTIONS": "40", "RECSYS_MAX_BODY_BYTES": "100000"}
BODY = json.dumps({"user_id": "anna", "k": 3}).encode()
Running = tuple[str, "subprocess.Popen[bytes]"]


@pytest.fixture(scope="module")
def server(bundle_folder: Path, root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    log = tmp_path_factory.mktemp("limits") / "log"
    with serving([sys.executable, "-m", "serving"], bundle_folder, root, log, 1, **LIMITS) as running:
        yield running


def alive(url: str) -> bool:
    with urllib.request.urlopen(f"{url}/healthz", timeout=20) as response:
        return bool(response.status == 200)


def closed(url: str, limit: str) -> int:
    page = urllib.request.urlopen(f"{url}/metrics", timeout=20).read().decode()
    lines = [
        line for line in page.splitlines() if line.startswith(f'recsys_connections_closed_total{{limit="{limit}"}}')
    ]
    return int(float(lines[0].rpartition(" ")[2])) if lines else 0


def test_a_head_of_64_mb_costs_nothing(server: Running) -> None:
    url, process = server
    before = cpu_seconds(process.pid)
    with connected(url) as client:
        client.sendall(b"GET /healthz HTTP/1.1\r\nx: ")
        took = sent(client, (b"a" * 65536 for _ in range(1024)))
        assert alive(url)
    assert took < 64 * 2**20  # the server did not listen to the end; what it took lies in buffers of the kernel
    assert cpu_seconds(process.pid) - before < 0.5  # 4.5 s without the limit
    assert closed(url, "head bytes") == 1


@pytest.mark.parametrize(
    "parts",
    [
        [b"GET /healthz HTTP/1.1\r\nx: ", b"a" * 400_000],
        [b"GET /healthz HTTP/1.1\r\n", b"x: a\r\n" * 20_000],
        [b"GET /", b"a" * 400_000, b" HTTP/1.1\r\n\r\n"],
        [b"\r\n" * 40_000],
        [head("/v1/recommend", None, "transfer-encoding: chunked")[:-2] + b"\r\n0\r\n" + b"x: a\r\n" * 20_000],
    ],
    ids=["one header", "many headers", "the path", "empty lines", "trailers"],
)  # fmt: skip
def test_a_head_that_is_too_large_is_said_to_be_so(server: Running, parts: list[bytes]) -> None:
    url, _ = server
    with connected(url) as client:
        sent(client, parts)
        said = read(client)
    assert said.startswith(b"HTTP/1.1 431 ")
    assert alive(url)


@pytest.mark.parametrize("first", [b"", b"GET /hea", head("/v1/recommend", 100), head("/v1/recommend", 100) + b"{"])
def test_who_does_not_go_on_is_left(server: Running, first: bytes) -> None:
    url, _ = server
    with connected(url) as client:
        client.sendall(first)
        assert read(client) == b""  # ends when the server closes it


def test_trickling_does_not_buy_time(server: Running) -> None:
    url, _ = server
    for first, drop in ((b"GET / HTTP/1.1\r\nx: ", b"a"), (head("/v1/recommend", 1000), b" "), (b"", b"\r\n")):
        with connected(url) as client:
            client.sendall(first)
            deadline = time.monotonic() + 30
            while sent(client, [drop]):
                assert time.monotonic() < deadline, f"{drop!r} held it"
                time.sleep(0.1)


def test_who_does_not_read_the_answer_is_left(server: Running) -> None:
    url, _ = server
    before = closed(url, "time")
    with connected(url) as client:
        sent(client, [head("/openapi.json") * 500])
        deadline = time.monotonic() + 30
        while closed(url, "time") == before:
            assert time.monotonic() < deadline, "it waits for a reader for ever"
            time.sleep(0.2)


def test_a_body_in_chunks_is_counted_as_it_comes(server: Running) -> None:
    url, _ = server
    start = head("/v1/recommend", None, "transfer-encoding: chunked").replace(b"GET", b"POST")
    with connected(url) as client:
        took = sent(client, [start, *[b"1\r\na\r\n" * 10_000] * 200])
        read(client)
    assert took < 12_000_000
    assert alive(url)


def test_many_connections_shut_nobody_out(server: Running) -> None:
    url, _ = server
    for first in (b"", b"GET /", head("/v1/recommend", 100)):
        with many(url, 120, first):
            assert alive(url)
            with connected(url) as client:
                client.sendall(head("/v1/recommend", len(BODY)) + BODY)
                assert answer(client).startswith(b"HTTP/1.1 200 ")
    assert closed(url, "connections") >= 3 * 80


def test_where_it_is_crowded_a_connection_ends_with_its_answer(server: Running) -> None:
    url, _ = server
    request = head("/v1/recommend", len(BODY)) + BODY
    for others, ends in ((20, False), (35, True)):
        with many(url, others, b""), connected(url) as client:
            client.sendall(request)
            assert (b"connection: close" in answer(client)) is ends


def test_with_few_descriptors_the_connections_that_are_open_stay(server: Running) -> None:
    url, process = server
    with many(url, 20, b"") as clients, connected(url) as client:
        client.sendall(head("/healthz"))
        assert answer(client).startswith(b"HTTP/1.1 200 ")
        before = closed(url, "connections")
        limits = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)
        most = max(int(name) for name in os.listdir(f"/proc/{process.pid}/fd"))
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (most + 3, limits[1]))
        try:
            with many(url, 10, b"") as more, connected(url) as another:
                another.sendall(head("/v1/recommend", len(BODY)) + BODY)
                assert answer(another).startswith(b"HTTP/1.1 200 ")
                assert len(more) == 10
        finally:
            resource.prlimit(process.pid, resource.RLIMIT_NOFILE, limits)
        assert closed(url, "connections") == before
        assert len(clients) == 20


def test_requests_in_a_row_are_answered_in_order(server: Running) -> None:
    url, _ = server
    with connected(url) as client:
        client.sendall((head("/v1/recommend", len(BODY)) + BODY + head("/healthz")) * 20)
        answers = [answer_of(client) for _ in range(40)]
    assert answers == ["items", "status"] * 20


def answer_of(client: Any, kept: dict[Any, bytes] = {}) -> str:  # noqa: B006 (the rest of what was read)
    found = kept.pop(client, b"")
    while True:
        start, gap, body = found.partition(b"\r\n\r\n")
        lengths = [int(line[15:]) for line in start.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        if gap and len(body) >= lengths[0]:
            kept[client] = body[lengths[0] :]
            return "items" if b'"items"' in body[: lengths[0]] else "status"
        found += client.recv(65536)


def test_slow_bodies_of_one_key_are_nobody_elses_business(bundle_folder: Path, root: Path, tmp_path: Path) -> None:
    """101 made everybody's lists popular, 1,002 were answered 503; here the limits are 5 and 50."""
    limits = {"RECSYS_SHED_REQUESTS": "5", "RECSYS_RECEIVE_SECONDS": "60"}
    command = [sys.executable, "-m", "serving"]
    with serving(command, bundle_folder, root, tmp_path / "log", 1, **limits) as (url, _):  # noqa: SIM117
        with many(url, 80, head("/v1/recommend", len(BODY)) + BODY[:-1]) as clients, connected(url) as other:
            other.sendall(head("/v1/recommend", len(BODY)) + BODY)
            meta = json.loads(answer(other).partition(b"\r\n\r\n")[2])["meta"]
            assert (meta["fallback_reason"], meta["segment"]) == (None, "warm")
            clients[0].sendall(BODY[-1:])
            assert answer(clients[0]).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("workers", [1, 2])
def test_a_slow_socket_does_not_keep_the_process(bundle_folder: Path, root: Path, tmp_path: Path, workers: int) -> None:
    command = [sys.executable, "-m", "serving"]
    with serving(command, bundle_folder, root, tmp_path / "log", workers) as (url, process):  # noqa: SIM117
        with many(url, 10, head("/v1/recommend", 100)), many(url, 10, b"GET /"), many(url, 10, b""):
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=60) in (0, -signal.SIGTERM)


def test_it_leaves_in_two_steps(bundle_folder: Path, root: Path, tmp_path: Path) -> None:
    """First it is not ready and answers on, telling each client to go; then it ends, with what it has begun done."""
    settings = {"RECSYS_LEAVE_SECONDS": "3"}
    log = tmp_path / "log"
    with serving([sys.executable, "-m", "serving"], bundle_folder, root, log, 1, **settings) as (url, process):
        with connected(url) as idle, connected(url) as under_way:
            idle.sendall(head("/healthz"))
            assert b"connection: close" not in answer(idle)
            under_way.sendall(head("/v1/recommend", len(BODY)) + BODY[:-1])
            process.send_signal(signal.SIGTERM)
            while b" 503 " not in (said := one(url, head("/readyz"))):
                time.sleep(0.02)
            assert b"this process is shutting down" in said
            said = one(url, head("/v1/recommend", len(BODY)) + BODY)
            assert said.startswith(b"HTTP/1.1 200 ")
            assert b"connection: close" in said
            idle.sendall(head("/healthz"))  # on a connection that was open before
            assert b"connection: close" in answer(idle)
            under_way.sendall(BODY[-1:])
            assert read(under_way).startswith(b"HTTP/1.1 200 ")
        assert process.wait(timeout=60) in (0, -signal.SIGTERM)
    assert "Traceback" not in log.read_text()


def one(url: str, request: bytes) -> bytes:
    with connected(url) as client:
        client.sendall(request)
        return answer(client)


def test_a_second_signal_ends_it_at_once(bundle_folder: Path, root: Path, tmp_path: Path) -> None:
    settings = {"RECSYS_LEAVE_SECONDS": "1000"}
    with serving([sys.executable, "-m", "serving"], bundle_folder, root, tmp_path / "log", 1, **settings) as (
        _,
        process,
    ):
        for _ in range(2):
            os.kill(process.pid, signal.SIGTERM)
            time.sleep(0.2)
        assert process.wait(timeout=60) in (0, -signal.SIGTERM)
