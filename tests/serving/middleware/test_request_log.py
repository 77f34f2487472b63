"""The log in JSON: one line a request, with what was served, and without the id of a person."""

import json
import logging
import re
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from serving.middleware.request_log import JsonLines
from serving.settings import Settings
from tests.support.apps import Start, new_store, until, until_ready
from tests.support.servers import serving

KEY = "a key of our own, 32 characters."


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Iterator[list[dict[str, Any]]]:
    """What is logged, as it would be read from the file."""
    found: list[dict[str, Any]] = []

    class Reading(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            found.append(json.loads(JsonLines().format(record)))

    logger, handler = logging.getLogger("serving.middleware.request_log"), Reading()
    logger.addHandler(handler)
    with caplog.at_level(logging.INFO):
        yield found
    logger.removeHandler(handler)


@pytest.fixture
def settings(bundle_folder: Path, tmp_path: Path) -> Settings:
    return Settings(bundle=bundle_folder, store_url=new_store(tmp_path), log_format="json", log_key=KEY)


def served(client: TestClient, lines: list[dict[str, Any]], path: str, body: Any, **headers: str) -> dict[str, Any]:
    answer = client.post(path, json=body, headers=headers)
    (line,) = [line for line in lines if line["request_id"] == answer.headers["x-request-id"]]
    assert (line["status"], line["method"], line["route"]) == (answer.status_code, "POST", path)
    assert line["ms"] > 0
    return line


def test_a_line_says_who_got_what_without_naming_anybody(
    settings: Settings, start: Start, lines: list[dict[str, Any]]
) -> None:
    with start(settings) as client:
        until_ready(client)
        bundle = client.get("/v1/about").json()["bundle_id"]
        known = served(client, lines, "/v1/recommend", {"user_id": "anna"}, **{"x-request-id": "shop-17"})
        again = served(client, lines, "/v1/recommend", {"user_id": "anna", "variant": "mixed"})
        other = served(client, lines, "/v1/recommend", {"user_id": "ben"}, **{"x-request-id": "two words\x00"})
        stranger = served(client, lines, "/v1/recommend", {"anonymous_id": "cookie"})
        batch = served(client, lines, "/v1/recommend:batch", {"requests": [{"user_id": "anna"}, {"user_id": "ben"}]})
        refused = served(client, lines, "/v1/recommend", {"user_id": "anna", "k": 0})
        client.get("/v1/recommend/anna")
    assert [known[name] for name in ("caller_id", "variant", "bundle", "outcome")] == ["shop-17", "als", bundle, "full"]
    assert (again["user"], again["variant"]) == (known["user"], "mixed")
    assert re.fullmatch(r"[0-9a-f]{16}", known["user"])
    assert other["user"] != known["user"]
    assert "caller_id" not in other
    assert (stranger["outcome"], "user" in stranger) == ("fallback", True)
    assert (batch["lists"], "user" in batch, batch["bundle"]) == (2, False, bundle)
    assert (refused["outcome"], "variant" in refused) == ("refused", False)
    assert not any(name in json.dumps(lines) for name in ("anna", "ben", "cookie"))


def test_another_key_or_none_gives_nobody_away(settings: Settings, start: Start, lines: list[dict[str, Any]]) -> None:
    users = []
    for key in (KEY, "another key of our own, also 32.", ""):
        with start(settings.model_copy(update={"log_key": key})) as client:
            users.append(served(until_ready(client), lines, "/v1/recommend", {"user_id": "anna"}).get("user"))
    assert len(set(users)) == 3
    assert users[-1] is None


def test_a_share_is_logged_and_every_error(settings: Settings, start: Start, lines: list[dict[str, Any]]) -> None:
    with start(settings.model_copy(update={"log_share": 0.3})) as client:
        until_ready(client)
        lines.clear()
        for _ in range(200):
            client.get("/v1/about")
    assert 30 <= len(lines) <= 95, "60 of 200, by the ids"
    with start(settings.model_copy(update={"log_share": 0, "bundle": settings.bundle / "missing"})) as client:  # type: ignore[operator]
        lines.clear()
        assert client.post("/v1/recommend", json={}).status_code == 503
        client.get("/healthz")
    assert [line["outcome"] for line in lines] == ["unavailable"]


def test_a_server_writes_nothing_but_json(bundle_folder: Path, root: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with serving([sys.executable, "-m", "serving"], bundle_folder, root, log, 1, RECSYS_LOG_FORMAT="json") as (url, _):
        with pytest.raises(urllib.error.HTTPError):
            urllib.request.urlopen(f"{url}/v1/recommend/anna?k=0")
        urllib.request.urlopen(f"{url}/v1/recommend/anna").read()
        until(lambda: log.read_text().count('"route": "/v1') == 2)
    written = [json.loads(line) for line in log.read_text().splitlines()]
    requests = [line for line in written if "route" in line]
    assert [line["status"] for line in requests] == [422, 200]
    assert {"time", "level", "logger", "message"} <= written[0].keys()
    assert "anna" not in log.read_text()
