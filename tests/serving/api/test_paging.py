"""Pages repeat nothing, whatever happens between them; a cursor that is not ours is refused."""

import base64
import hashlib
import json
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import assume, given
from hypothesis import strategies as st
from itsdangerous import Signer
from itsdangerous.encoding import base64_encode

from serving.api import cursors
from serving.api.errors import ApiError
from serving.settings import DEVELOPMENT_SECRET
from tests.support import bundles

SECRET = "a secret of tests"


def page(client: TestClient, cursor: str | None = None, **body: Any) -> dict[str, Any]:
    response = client.post("/v1/recommend", json={"user_id": "anna", **body, "cursor": cursor})
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def test_pages_are_the_long_list_in_parts(client: TestClient) -> None:
    whole = page(client, k=19)
    first = page(client, k=8)
    second = page(client, first["next_cursor"], k=8)
    third = page(client, second["next_cursor"], k=8)
    parts = [*first["items"], *second["items"], *third["items"]]
    assert [item["item_id"] for item in parts] == [item["item_id"] for item in whole["items"]]
    assert [item["rank"] for item in parts] == list(range(1, 20))
    assert third["next_cursor"] is None
    assert third["meta"]["shortfall"] == "only 3 of 24 items may be shown here, 8 were asked for"


def test_nothing_is_repeated_when_the_order_changes_between_pages(shop: TestClient) -> None:
    first = page(shop, k=8)
    shop.post("/v1/events", json={"user_id": "anna", "item_id": "garden-10", "event": "purchase"})
    second = page(shop, first["next_cursor"], k=8, variant="mixed")
    shown = [item["item_id"] for item in [*first["items"], *second["items"]]]
    assert len(shown) == len(set(shown)) == 16


@pytest.mark.parametrize("cursor", ["", "x", "%%%", "aGVsbG8=", "ü", base64.b64encode(b"0" * 40).decode()])
def test_a_cursor_that_is_not_ours(client: TestClient, cursor: str) -> None:
    response = client.post("/v1/recommend", json={"cursor": cursor})
    assert (response.status_code, response.json()["error"]["field"]) == (422, "cursor")
    assert response.json()["error"]["message"].startswith("cursor: not made by this API")


def forged(content: str) -> str:
    """A cursor by somebody who knows the secret, as everybody knows the one of development."""
    signer = Signer(DEVELOPMENT_SECRET, salt="cursor", key_derivation="hmac", digest_method=hashlib.sha256)
    return signer.sign(base64_encode(content)).decode()


@pytest.mark.parametrize(
    "content",
    ["{}", '{"a": 1}', "null", "5", "true", '"kitchen-1"', "[1]", "[null]", '[["kitchen-1"]]', '[{"a": "b"}]', "", "[",
     "NaN",     '["\\ud800"]', "[" * 100_000, json.dumps(["kitchen-1"] * 1001), '["a"] ["b"]'],
)  # fmt: skip
def test_a_forged_cursor_of_another_type_is_refused(client: TestClient, content: str) -> None:
    response = client.post("/v1/recommend", json={"cursor": forged(content)})
    assert (response.status_code, response.json()["error"]["field"]) == (422, "cursor")


def test_the_forger_signs_as_the_api_does(client: TestClient) -> None:
    assert page(client, forged('["kitchen-1"]'))["items"]


@pytest.mark.parametrize("shown", [["\U0001f422" * 256] * 1000, ["x" * 256] * 1000, ['"' * 256] * 1000])
def test_a_cursor_of_the_longest_ids_works(client: TestClient, shown: list[str]) -> None:
    cursor = cursors.encode(shown, DEVELOPMENT_SECRET)
    assert page(client, cursor)["items"]


@given(st.lists(st.sampled_from(bundles.ITEM_IDS) | st.text(st.characters(exclude_categories=["Cs"]), min_size=1)))
def test_a_cursor_holds_what_was_shown(shown: list[str]) -> None:
    cursor = cursors.encode(shown, SECRET)
    assert (cursor is None) == (not shown)
    assert cursor is None or cursors.decode(cursor, SECRET) == shown


@given(at=st.integers(0, 40), other=st.sampled_from("ABCDwxyz0189-_"))
def test_an_altered_cursor_is_refused(at: int, other: str) -> None:
    cursor = cursors.encode(["kitchen-1", "kitchen-2"], SECRET) or ""
    assume(cursor[at] != other)
    with pytest.raises(ApiError, match="not made by this API"):
        cursors.decode(cursor[:at] + other + cursor[at + 1 :], SECRET)


def test_a_cursor_of_another_secret_is_refused() -> None:
    foreign = cursors.encode(["kitchen-1"], "another secret") or ""
    with pytest.raises(ApiError, match="not made by this API"):
        cursors.decode(foreign, SECRET)


def test_pages_end_somewhere() -> None:
    assert cursors.encode([f"item-{at}" for at in range(cursors.MAX_SHOWN + 1)], SECRET) is None
    assert cursors.encode([f"item-{at}" for at in range(cursors.MAX_SHOWN)], SECRET) is not None
