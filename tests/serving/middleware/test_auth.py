"""Keys, scopes and limits, in front of a small app that says what reached it."""

import asyncio
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI, Request
from fastapi.testclient import TestClient

from recsys.errors import ParamsError
from serving import api_keys
from serving.api import errors
from serving.api.errors import ApiError
from serving.api_keys import Scope
from serving.front import FrontController
from serving.middleware.limits import BodyLimit, RateLimit
from serving.middleware.load_shedding import Load
from serving.process import MemoryReserve
from serving.settings import DEVELOPMENT_SECRET, Settings

MADE = {scope: api_keys.new(f"{scope.value}er", [scope]) for scope in Scope}
LINES = "\n".join(line for _, line in MADE.values())
ASKED = {
    "/v1/recommend": Scope.RECOMMEND, "/v1/recommend/anna": Scope.RECOMMEND, "/v1/recommend:batch": Scope.RECOMMEND,
    "/v1/similar": Scope.RECOMMEND, "/v1/rank": Scope.RECOMMEND, "/v1/about": Scope.RECOMMEND,
    "/v1/events": Scope.EVENTS, "/v1/identity/merge": Scope.EVENTS,
    "/v1/users/anna/export": Scope.ADMIN, "/v1/audit": Scope.ADMIN,
    "/v1/items": Scope.ADMIN, "/v1/users/anna": Scope.ADMIN, "/metrics": Scope.ADMIN,
    "/docs": Scope.ADMIN, "/openapi.json": Scope.ADMIN, "/v1/recommended": Scope.ADMIN, "//v1/recommend": Scope.ADMIN,
    "/v1/no-such-route": Scope.ADMIN, "/console": Scope.ADMIN, "/console/event": Scope.ADMIN,
}  # fmt: skip


def behind(**settings: Any) -> TestClient:
    """An app that answers every path and method, protected as the real one is."""
    app = FastAPI(openapi_url=None)
    app.add_middleware(FrontController, settings=Settings(**settings), load=Load(100, 1.0), memory=MemoryReserve())
    errors.handle(app)

    @app.api_route("/{path:path}", methods=["GET", "POST", "PUT", "DELETE"])
    async def echo(request: Request) -> dict[str, int]:
        if request.url.path == "/v1/recommend/broken":
            raise RuntimeError("broken")
        return {"bytes": len(await request.body())}

    return TestClient(app, raise_server_exceptions=False)


def bearing(scope: Scope) -> dict[str, str]:
    return {"authorization": f"Bearer {MADE[scope][0]}"}


def test_a_key_is_revoked_and_expires_without_a_restart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_keys, "LOOK_SECONDS", 0)
    file = tmp_path / "keys"
    file.write_text(LINES)
    client = behind(api_keys=str(file))
    asks = bearing(Scope.RECOMMEND)
    assert client.get("/v1/about", headers=asks).status_code == 200
    line = MADE[Scope.RECOMMEND][1]
    for text, status in (
        (LINES.replace(line, ""), 401),
        (LINES.replace(line, f"{line}:2999-12-31"), 200),
        ("nonsense", 200),  # what cannot be read changes nothing, and locks nobody out
        ("", 200),
        (LINES.replace(line, f"{line}:2001-01-31"), 401),
    ):
        file.write_text(text)
        assert client.get("/v1/about", headers=asks).status_code == status, text
        assert client.get("/v1/items", headers=bearing(Scope.ADMIN)).status_code == 200
    file.unlink()
    assert client.get("/v1/items", headers=bearing(Scope.ADMIN)).status_code == 200


@pytest.fixture(scope="module")
def client() -> TestClient:
    return behind(api_keys=LINES)


@pytest.mark.parametrize(("path", "wanted"), ASKED.items())
def test_every_path_opens_for_its_own_scope_only(client: TestClient, path: str, wanted: Scope) -> None:
    for method in ("GET", "POST", "PUT", "DELETE"):
        assert client.request(method, f"http://testserver{path}").status_code == 401
        for scope in Scope:
            answer = client.request(method, f"http://testserver{path}", headers=bearing(scope))
            assert answer.status_code == (200 if scope == wanted else 403), (method, path, scope)


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_probes_need_no_key(client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 200


def test_metrics_can_be_opened(client: TestClient) -> None:
    opened = behind(api_keys=LINES, open_metrics=True)
    assert (client.get("/metrics").status_code, opened.get("/metrics").status_code) == (401, 200)
    assert opened.get("/metrics/more").status_code == 401


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Bearer ", "Basic abc", "Bearer \xff", f"Bearer {MADE[Scope.EVENTS][1]}"],
    ids=["nothing", "no key", "an empty key", "another scheme", "no text", "the hash"],
)
def test_what_is_no_key_is_refused_with_our_body(client: TestClient, header: str) -> None:
    answer = client.post("/v1/events", headers={b"authorization": header.encode("latin-1")})
    problem = answer.json()["error"]
    assert (answer.status_code, problem["code"], problem["field"]) == (401, "unauthorized", None)
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.headers["x-request-id"] == problem["request_id"]


def test_a_key_without_the_scope_is_told_so(client: TestClient) -> None:
    problem = client.delete("/v1/users/anna", headers=bearing(Scope.EVENTS)).json()["error"]
    assert (problem["code"], problem["message"]) == (
        "forbidden",
        "the key of 'eventser' does not have the scope 'admin'",
    )


def test_without_keys_development_is_open() -> None:
    assert behind().delete("/v1/users/anna").status_code == 200


def test_no_secret_is_in_the_logs_or_in_a_repr(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    secret = "a secret that signs cursors"
    settings = Settings(api_keys=LINES, secret=secret)
    behind(api_keys=LINES, secret=secret).get("/v1/recommend/broken", headers=bearing(Scope.RECOMMEND))
    behind(api_keys=LINES, secret=secret).get("/v1/recommend/x", headers={"authorization": "Bearer mistyped-key"})
    seen = caplog.text + repr(settings) + str(settings) + repr(settings.keys)
    assert "Traceback" in seen
    assert "recommender" in seen
    for hidden in (
        "mistyped-key",
        secret,
        *(part for key, line in MADE.values() for part in (key, line.split(":")[2])),
    ):
        assert hidden not in seen


def test_a_body_may_be_as_large_as_the_limit() -> None:
    client = behind(max_body_bytes=1000)
    assert client.post("/x", content=b"a" * 1000).json() == {"bytes": 1000}
    answer = client.post("/x", content=b"a" * 1001)
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_large")


def test_a_body_without_a_length_is_counted() -> None:
    def chunks(n: int) -> Iterator[bytes]:
        yield from [b"a" * 100] * n

    client = behind(max_body_bytes=1000)
    assert client.post("/x", content=chunks(10)).json() == {"bytes": 1000}
    assert client.post("/x", content=chunks(11)).status_code == 413


@pytest.mark.parametrize(("messages", "status"), [(10, None), (11, 413)])
def test_the_parts_of_a_body_are_added_up(messages: int, status: int | None) -> None:
    """As a server hands them over: one message after another, the last one empty."""
    waiting = [{"type": "http.request", "body": b"a" * 100, "more_body": True}] * messages
    waiting += [{"type": "http.request", "body": b"", "more_body": False}]
    bodies = BodyLimit(1000)

    async def receive() -> Any:
        return waiting.pop(0)

    async def received() -> bytes | None:
        return await bodies.receive({b"transfer-encoding": b"chunked"}, receive, "shop")

    if status is None:
        assert asyncio.run(received()) == b"a" * 1000
        assert bodies._held.total == 1000
        bodies.release("shop", b"a" * 1000)
    else:
        with pytest.raises(ApiError) as refused:
            asyncio.run(received())
        assert refused.value.status == status
    assert bodies._held.total == 0


def test_a_length_beside_chunks_does_not_open_a_way_around() -> None:
    client = behind(max_body_bytes=1000)
    headers = {"content-length": "5", "transfer-encoding": "chunked"}
    assert client.post("/x", content=b"a" * 1001, headers=headers).status_code == 413


def test_the_rate_is_counted_for_each_key() -> None:
    client = behind(api_keys=LINES, rate_limit=2)
    answers = [client.get("/v1/recommend", headers=bearing(Scope.RECOMMEND)) for _ in range(6)]
    assert [answer.status_code for answer in answers[:4]] == [200] * 4  # two seconds' worth
    assert answers[5].status_code == 429
    assert answers[5].json()["error"]["code"] == "too_many_requests"
    assert int(answers[5].headers["retry-after"]) == 1
    assert client.post("/v1/events", headers=bearing(Scope.EVENTS)).status_code == 200
    assert client.get("/healthz").status_code == 200


def test_every_key_has_a_rate_unless_it_is_lifted() -> None:
    for settings, limited in ((Settings(), True), (Settings(rate_limit=0), False)):
        front = FrontController(FastAPI(), settings, Load(1, 1), MemoryReserve())
        assert (front._rates is not None) == limited


@pytest.mark.parametrize("rate", [0.5, 3.0])
def test_tokens_come_back_at_the_rate(rate: float) -> None:
    now = 100.0
    limit = RateLimit(rate, clock=lambda: now)
    passed = 0
    for _ in range(1000):
        passed += limit._wait("shop") == 0
        now += 0.1
    assert passed == pytest.approx(100 * rate, abs=2 * rate + 1)
    now += 1e6
    at_once = [limit._wait("shop") for _ in range(10)]
    assert at_once.count(0) == max(1, 2 * rate)  # who was silent for long has saved up two seconds' worth, no more


PRODUCTION: dict[str, Any] = {"environment": "production", "api_keys": LINES, "secret": "0123456789abcdef"}


def test_production_starts_with_keys_and_a_secret() -> None:
    assert len(Settings(**PRODUCTION).keys) == 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"RECSYS_API_KEYS": ""}, "RECSYS_API_KEYS is empty, so every request would be allowed; make a key with"),
        ({"RECSYS_API_KEYS": "\n "}, "RECSYS_API_KEYS is empty"),
        ({"RECSYS_SECRET": ""}, "RECSYS_SECRET is not set, and its default is public"),
        ({"RECSYS_SECRET": DEVELOPMENT_SECRET}, "RECSYS_SECRET is not set, and its default is public"),
        ({"RECSYS_SECRET": "short"}, "RECSYS_SECRET: String should have at least 16 characters"),
        ({"RECSYS_ENVIRONMENT": "prod"}, "RECSYS_ENVIRONMENT: Input should be 'development' or 'production'"),
        ({"RECSYS_API_KEYS": "/no/such/file"}, "key 1 of RECSYS_API_KEYS is not `name:scope+scope:sha256 in hex`"),
        ({"RECSYS_API_KEYS": "a:root:" + "0" * 64}, "key 'a' of RECSYS_API_KEYS: no scope 'root', expected one of "),
        ({"RECSYS_RATE_LIMIT": "-1"}, "RECSYS_RATE_LIMIT: Input should be greater than or equal to 0"),
        ({"RECSYS_MAX_BODY_BYTES": "5 MB"}, "RECSYS_MAX_BODY_BYTES: Input should be a valid integer"),
    ],
)  # fmt: skip
def test_insecure_and_unreadable_settings_are_refused(
    change: dict[str, str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in ({f"RECSYS_{name.upper()}": str(value) for name, value in PRODUCTION.items()} | change).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ParamsError) as refused:
        Settings.from_environment()
    assert str(refused.value).startswith(message)
    assert "\n" not in str(refused.value)


def test_the_server_ends_with_one_line(root: Path) -> None:
    environment = {**os.environ, "RECSYS_ENVIRONMENT": "production", "RECSYS_API_KEYS": "my-secret-key"}
    done = subprocess.run(
        [sys.executable, "-m", "serving"], env=environment, cwd=root, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "error: key 1 of RECSYS_API_KEYS is not `name:scope+scope:sha256 in hex`, nor is the value a file;"
        " make a line with `python -m serving.api_keys`\n"
    )


def test_a_key_made_by_the_command_opens_the_door(root: Path, tmp_path: Path, run: Callable[..., str]) -> None:
    printed = run("python -m serving.api_keys --name shop --scope recommend --scope events", root)
    key, line = (row.split()[1] for row in printed.splitlines())
    file = tmp_path / "keys"
    file.write_text(f"# who may ask\n{LINES}\n{line}  # the shop\n")
    client = behind(api_keys=str(file))
    headers = {"authorization": f"Bearer {key}"}
    assert client.get("/v1/recommend/anna", headers=headers).status_code == 200
    assert client.post("/v1/events", headers=headers).status_code == 200
    assert client.put("/v1/items", headers=headers).status_code == 403
    assert key not in file.read_text()
