"""Who may see the Console and send its forms."""

import base64
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from serving import api_keys
from serving.api_keys import Scope
from serving.console.page import POLICY
from serving.settings import Settings
from tests.serving.console.conftest import Send
from tests.support.apps import Start, until_ready

EVENT = {"who": "stranger", "person": "console-1", "did": "purchase", "item_id": "garden-12"}


def basic(key: str) -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(f"me:{key}".encode()).decode()}


def test_without_keys_only_this_machine_is_answered(console: TestClient) -> None:
    for host, status in (("localhost:8000", 200), ("127.0.0.1", 200), ("[::1]:8000", 200), ("shop.example", 403)):
        assert console.get("/console", headers={"host": host}).status_code == status, host


def test_with_keys_a_browser_signs_in_with_one_of_admin(bundle_folder: Path, start: Start) -> None:
    made = {scope: api_keys.new(scope.value, [scope]) for scope in Scope}
    with start(Settings(bundle=bundle_folder, api_keys="\n".join(line for _, line in made.values()))) as client:
        until_ready(client)
        refused = client.get("/console")
        assert refused.status_code == 401
        assert refused.headers["www-authenticate"].startswith("Basic ")
        assert client.get("/console", headers=basic(made[Scope.RECOMMEND][0])).status_code == 403
        assert client.get("/console", headers=basic(made[Scope.ADMIN][0])).status_code == 200
        for broken in ("Basic !!", "Basic " + base64.b64encode(b"nothing").decode()):
            assert client.get("/console", headers={"authorization": broken}).status_code == 401
        assert client.get("/console/static/console.css").status_code == 401
        # a password that a browser sends by itself opens nothing but the Console
        assert client.get("/v1/audit", headers=basic(made[Scope.ADMIN][0])).status_code == 401
        assert client.get("/").status_code == 200


def test_a_form_of_another_site_is_refused(console: TestClient, send: Send) -> None:
    assert send("/console/event", **EVENT).status_code == 200
    assert console.post("/console/event", data=EVENT).status_code == 403
    assert console.post("/console/event", data={**EVENT, "token": "made-up"}).status_code == 403


def test_a_token_is_bound_to_its_browser(console: TestClient) -> None:
    other = console.get("/console").text.partition('name="token" value="')[2].partition('"')[0]
    console.cookies.clear()
    console.get("/console")
    assert console.post("/console/event", data={**EVENT, "token": other}).status_code == 403


@pytest.mark.parametrize("path", ["/", "/console"])
def test_a_page_may_load_nothing_from_elsewhere(console: TestClient, path: str) -> None:
    response = console.get(path)
    assert response.headers["content-security-policy"] == POLICY
    assert "unsafe" not in POLICY
    assert "style=" not in response.text
    assert "<style" not in response.text


def test_the_start_names_where_to_go(console: TestClient) -> None:
    page = console.get("/").text
    for path in ("/console", "/docs", "/readyz"):
        assert f'href="{path}"' in page
        assert console.get(path).status_code == 200
