"""A body that cannot be read is said to be so, and HEAD works wherever GET does."""

import gzip
import json

import pytest
from fastapi.testclient import TestClient

EVENT = json.dumps({"user_id": "ü", "item_id": "garden-10", "event": "view"})


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (gzip.compress(EVENT.encode(), mtime=0), {"content-encoding": "gzip"}),
        (EVENT.encode(), {"content-encoding": "br"}),
        (EVENT.encode(), {"content-encoding": "gzip, identity"}),
        (EVENT.encode("latin-1"), {"content-type": "application/json; charset=latin-1"}),
        (EVENT.encode("utf-16"), {"content-type": 'application/json; charset="UTF-16"'}),
        (EVENT.encode(), {"content-type": "application/json; charset=no-such-one"}),
    ],
)
@pytest.mark.parametrize("route", ["/v1/events", "/v1/recommend"])
def test_a_body_in_an_encoding_that_cannot_be_read(
    client: TestClient, route: str, body: bytes, headers: dict[str, str]
) -> None:
    response = client.post(route, content=body, headers={"content-type": "application/json", **headers})
    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (415, "unsupported_media_type")
    assert "UTF-8" in error["message"]


@pytest.mark.parametrize(
    "headers",
    [
        {"content-type": "application/json; charset=UTF-8"},
        {"content-type": "application/json;charset=utf8"},
        {"content-type": "application/json", "content-encoding": "identity"},
    ],
)
def test_utf8_by_any_name_is_read(client: TestClient, headers: dict[str, str]) -> None:
    assert client.post("/v1/recommend", content=b'{"user_id": "\xc3\xbc"}', headers=headers).status_code == 200


def test_head_is_get_without_a_body(client: TestClient) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    routes = [path.replace("{user_id}", "anna") for path, methods in paths.items() if "get" in methods]
    assert {"/healthz", "/readyz", "/metrics", "/v1/about", "/v1/recommend/anna"} <= set(routes)
    for route in [*routes, "/docs", "/openapi.json"]:
        got, head = client.get(route), client.head(route)
        assert (head.status_code, head.content) == (got.status_code, b"")
        assert head.headers["content-type"] == got.headers["content-type"]
    refused = client.head("/v1/recommend/anna?k=0")
    assert (refused.status_code, refused.content) == (422, b"")
    assert client.head("/v1/events").status_code == client.get("/v1/events").status_code == 405
    assert 'method="HEAD",route="/v1/about",status="200"' in client.get("/metrics").text
