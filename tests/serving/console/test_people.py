"""One user and one item: what was done, what was shown when, and what is noted of the look."""

import re
from html import unescape
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.support.apps import until

HOSTILE = "<script>alert(1)</script>"


def shown(console: TestClient, user_id: str) -> Any:
    """An answer that has reached the store."""
    answer = console.post("/v1/recommend", json={"user_id": user_id, "surface": "home"}).json()
    until(lambda: answer["request_id"] in console.get("/console/users", params={"user_id": user_id}).text)
    return answer


def test_a_user_page_says_what_was_shown_and_clicked(console: TestClient) -> None:
    answer = shown(console, "anna")
    clicked = answer["items"][1]["item_id"]
    event = {"user_id": "anna", "item_id": clicked, "event": "click", "request_id": answer["request_id"]}
    console.post("/v1/events", json=event)
    page = console.get("/console/users?user_id=anna").text
    assert "on home · variant als" in page
    assert page.count('class="did-it"') == 1
    assert '<small class="good">click</small>' in page
    assert "6 events" in page
    assert "Because of Title of kitchen" in page


def test_an_answer_is_made_again_and_explained(console: TestClient) -> None:
    answer = shown(console, "anna")
    page = console.get("/console/why", params={"request_id": answer["request_id"]}).text
    assert "The replay is identical" in page
    assert re.findall(r"\d+\. (Title of [^<]*)<", page) == [f"{item['title']}" for item in answer["items"]]
    assert f"/console/why?request_id={answer['request_id']}" in console.get("/console/users?user_id=anna").text


@pytest.mark.parametrize("request_id", ["", "unknown", HOSTILE])
def test_what_cannot_be_made_again_says_why(console: TestClient, request_id: str) -> None:
    page = console.get("/console/why", params={"request_id": request_id}).text
    assert "It cannot be replayed:" in page
    assert HOSTILE not in page


def test_the_trace_says_what_each_step_kept_and_removed(console: TestClient) -> None:
    page = console.get("/console/users?user_id=anna").text
    assert re.search(r"<span>[^<]*</span><span class=\"value\">\d+ kept, \d+ removed, ", page)


def test_a_look_at_a_user_is_noted_without_the_id(console: TestClient) -> None:
    console.get("/console/users?user_id=anna")
    line = console.get("/v1/audit").json()[0]
    assert line["action"] == "look"
    assert line["what"] not in (None, "anna")


@pytest.mark.parametrize("user_id", ["nobody", HOSTILE, "x" * 300, "żółw/🐢", "newcomer"])
def test_any_user_has_a_page(console: TestClient, user_id: str) -> None:
    response = console.get("/console/users", params={"user_id": user_id})
    assert response.status_code == 200
    assert HOSTILE not in response.text


def test_an_item_page_has_neighbours_reach_and_sales(console: TestClient) -> None:
    answer = shown(console, "anna")
    item_id = answer["items"][0]["item_id"]
    console.post("/v1/events", json={"user_id": "anna", "item_id": item_id, "event": "purchase"})
    page = console.get("/console/items", params={"item_id": item_id}).text
    assert "1 of 1 answers" in page
    assert "1 of 1 persons" in page
    assert "<dt>Purchase</dt><dd>1 event</dd>" in page
    assert page.count("likeness ") == 8


def test_items_are_found_by_their_title(console: TestClient) -> None:
    assert "garden-10" in console.get("/console/items?title=GARDEN-1").text
    assert "No title holds this text" in console.get("/console/items?title=(.*").text
    page = console.get("/console/items", params={"item_id": HOSTILE}).text
    assert f"No item has the id '{HOSTILE}'" in unescape(page)
    assert HOSTILE not in page


def test_every_item_has_a_page_also_odd_ones(console: TestClient) -> None:
    for item_id in ("new-20", "sold-out", "ünï çødé/23?"):
        assert console.get("/console/items", params={"item_id": item_id}).status_code == 200


@pytest.mark.parametrize(
    ("image", "drawn"),
    [
        ("/img/a.png", True),
        ("data:image/gif;base64,R0lGODlhAQABAAAAACw=", True),
        ("https://elsewhere.example/a.png", False),
        ("//elsewhere.example/a.png", False),
        ("/\t/elsewhere.example/a.png", False),
        ("javascript:alert(1)", False),
    ],
)
def test_an_image_is_drawn_if_no_other_machine_is_asked_for_it(console: TestClient, image: str, drawn: bool) -> None:
    item = {"item_id": "kitchen-4", "attributes": {"image": image}}
    assert console.put("/v1/items", json=item).status_code == 200
    service = console.app.state.service  # type: ignore[attr-defined]
    until(lambda: service.engine().bundle.catalogue.fields(4, ["image"]) == {"image": image})
    page = console.get("/console/items?item_id=kitchen-4").text
    assert ('<img class="tile"' in page) == drawn
    assert ("elsewhere" in page, "javascript:" in page) == (False, False)
