"""The shop window: who looks, what is compared, and what a click changes."""

import json
import re
from html import unescape

import pytest
from fastapi.testclient import TestClient

from tests.serving.console.conftest import Send
from tests.support import bundles
from tests.support.apps import until

HOSTILE = "<script>alert(1)</script> \"' {{ 7 * 7 }} <img src=x onerror=alert(2)>"


def titles(page: str) -> list[str]:
    return [unescape(title) for title in re.findall(r"<h3>(?:<a[^>]*>)?([^<]*)", page)]


def listed(console: TestClient, **request: object) -> list[str]:
    return [item["title"] for item in console.post("/v1/recommend", json={"k": 8, **request}).json()["items"]]


def test_a_user_sees_what_the_api_answers(console: TestClient) -> None:
    page = console.get("/console?user_id=anna").text
    assert titles(page) == listed(console, user_id="anna")
    assert "Because of Title of kitchen-" in page
    assert "5 events" in page


def test_two_variants_stand_side_by_side(console: TestClient) -> None:
    page = console.get("/console", params={"user_id": "anna", "a": "variant als", "b": "variant popular"}).text
    both = listed(console, user_id="anna", variant="als") + listed(console, user_id="anna", variant="popular")
    assert titles(page) == both


def test_a_purchase_is_stored_and_changes_the_next_list(console: TestClient, send: Send) -> None:
    before = listed(console, anonymous_id="console-1")
    first = bundles.ITEM_IDS[14]
    asked = {"who": "stranger", "person": "console-1", "did": "purchase", "item_id": first}
    page = send("/console/event", **asked, before0=json.dumps([first])).text
    assert f"Buy: Title of {first}. Stored as an event." in page
    stored = console.get("/v1/users/console-1/export").json()["store"]["events"]
    assert [(row["item_id"], row["event"]) for row in stored] == [(first, "purchase")]
    assert titles(page) == listed(console, anonymous_id="console-1") != before
    assert page.count("<b>new</b>") == 8


def test_a_session_is_sent_and_not_stored(console: TestClient, send: Send) -> None:
    page = send("/console/event", who="session", did="view", item_id="garden-12").text
    assert "not stored" in page
    assert titles(page) == listed(console, session=[{"item_id": "garden-12", "event": "view"}])
    state = re.search(r'name="session" value="([^"]+)"', page)
    assert state is not None
    again = send("/console/event", who="session", did="cart", item_id="garden-13", session=unescape(state[1])).text
    assert "2 events" in again


def test_looking_shows_nobody_anything(console: TestClient) -> None:
    console.get("/console?user_id=anna")
    assert console.get("/v1/users/anna/export").json()["store"]["exposures"] == []


def test_a_filter_holds_and_a_wrong_one_is_explained(console: TestClient) -> None:
    page = console.get("/console", params={"user_id": "anna", "filter": 'category = "garden"'}).text
    assert titles(page)
    assert all("garden" in title or "?" in title for title in titles(page))
    page = console.get("/console", params={"user_id": "anna", "filter": "prize < 3"}).text
    assert "at position 1, expected one of" in page
    assert "diversity: " in console.get("/console", params={"diversity": "3"}).text


def test_hostile_text_of_items_is_text(console: TestClient) -> None:
    console.put("/v1/items", json={"item_id": "kitchen-5", "title": HOSTILE, "categories": [HOSTILE]})
    until(lambda: HOSTILE in listed(console, user_id="anna", variant="als"))
    page = console.get("/console", params={"user_id": "anna", "a": "variant als"}).text
    assert unescape(page).count(HOSTILE) >= 2
    assert "<script>alert" not in page
    assert "<img src=x" not in page


@pytest.mark.parametrize("user_id", [HOSTILE, "żółw/🐢", "", "x" * 300, "\u202e"])
def test_any_user_id_is_answered(console: TestClient, user_id: str) -> None:
    response = console.get("/console", params={"user_id": user_id})
    assert response.status_code == 200
    assert "<script>alert" not in response.text
