"""The document that clients are generated from, its examples, and the page that shows it."""

import re
from typing import Any

import pytest
from fastapi.testclient import TestClient
from pydantic import TypeAdapter

from serving.api import examples
from serving.api.schemas import Answer
from serving.middleware import auth
from tests.support import bundles


@pytest.fixture(scope="module")
def document(client: TestClient) -> dict[str, Any]:
    found: dict[str, Any] = client.get("/openapi.json").json()
    return found


def test_operation_ids_are_a_promise(document: dict[str, Any]) -> None:
    operations = {
        (method, path): operation["operationId"]
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }
    assert operations == {
        ("post", "/v1/recommend"): "recommend",
        ("get", "/v1/recommend/{user_id}"): "recommend_user",
        ("post", "/v1/recommend:batch"): "recommend_batch",
        ("post", "/v1/similar"): "similar",
        ("post", "/v1/rank"): "rank",
        ("get", "/v1/about"): "about",
        ("post", "/v1/events"): "post_events",
        ("put", "/v1/items"): "put_items",
        ("post", "/v1/identity/merge"): "merge_identities",
        ("post", "/v1/identity/unmerge"): "unmerge_identities",
        ("delete", "/v1/users/{user_id}"): "forget_user",
        ("get", "/v1/users/{user_id}/export"): "export_user",
        ("get", "/v1/audit"): "read_audit",
        ("get", "/healthz"): "health",
        ("get", "/readyz"): "ready",
        ("get", "/metrics"): "figures",
    }


def test_every_error_is_documented_with_our_body(document: dict[str, Any]) -> None:
    assert "HTTPValidationError" not in document["components"]["schemas"]
    for methods in document["paths"].values():
        for operation in methods.values():
            for status, response in operation["responses"].items():
                if status != "200":
                    assert response["content"]["application/json"]["schema"]["$ref"].endswith("/ErrorBody")
    refused = {"401", "403", "404", "413", "415", "422", "429", "500", "503"}
    assert set(document["paths"]["/v1/similar"]["post"]["responses"]) == {"200"} | refused


def test_every_operation_and_request_field_is_described(document: dict[str, Any]) -> None:
    for methods in document["paths"].values():
        assert all(operation["description"] for operation in methods.values())
    fields = document["components"]["schemas"]["RecommendRequest"]["properties"]
    assert all("description" in field for field in fields.values())
    assert fields["k"] | {"maximum": 100, "minimum": 1, "default": 10} == fields["k"]
    when = document["components"]["schemas"]["SessionEvent"]["properties"]["timestamp"]
    assert {"type": "string", "format": "date-time"} in when["anyOf"]


@pytest.mark.parametrize("name", examples.RECOMMEND)
def test_the_example_requests_work(client: TestClient, document: dict[str, Any], name: str) -> None:
    body = document["paths"]["/v1/recommend"]["post"]["requestBody"]["content"]["application/json"]
    assert client.post("/v1/recommend", json=body["examples"][name]["value"]).status_code == 200


def test_the_example_answer_has_the_fields_of_a_real_one(client: TestClient) -> None:
    TypeAdapter(Answer).validate_python(examples.ANSWER)
    real = client.post("/v1/recommend", json={"user_id": "anna"}).json()
    assert real.keys() == examples.ANSWER.keys()
    assert real["meta"].keys() == examples.ANSWER["meta"].keys()
    assert real["items"][0].keys() == examples.ANSWER["items"][0].keys()


def test_the_example_errors_are_what_really_comes(client: TestClient) -> None:
    unknown = client.post("/v1/similar", json={"item_id": "p1"}).json()
    too_many = client.post("/v1/recommend", json={"k": 101}).json()
    for real, example in ((unknown, examples.ERRORS[404]), (too_many, examples.ERRORS[422])):
        assert real["error"] | {"request_id": ""} == example["error"] | {"request_id": ""}


def test_the_page_needs_nothing_from_another_host(client: TestClient) -> None:
    page = client.get("/docs")
    assert page.status_code == 200
    loaded = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(loaded) == 3
    for path in loaded:
        assert path.startswith("/")
        assert client.get(path).status_code == 200


def test_the_document_names_keys_scopes_and_refusals(document: dict[str, Any]) -> None:
    assert document["components"]["securitySchemes"]["key"]["scheme"] == "bearer"
    for path, methods in document["paths"].items():
        for operation in methods.values():
            statuses = {"401", "403", "429"} | ({"413", "415"} if "requestBody" in operation else set())
            if path in auth.OPEN:
                assert "security" not in operation
                assert not statuses & operation["responses"].keys()
            else:
                assert operation["security"] == [{"key": [auth.scope_of(path).value]}]
                assert statuses <= operation["responses"].keys()


def test_every_example_request_for_a_list_is_answered_whatever_shop_it_is(
    client: TestClient, document: dict[str, Any]
) -> None:
    tried = []
    for path in examples.READS:
        body = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]
        for name, example in body["examples"].items():
            response = client.post(path, json=example["value"])
            assert response.status_code == 200, (path, name, response.text)
            answers = response.json().get("answers", [response.json()])
            assert all(answer["items"] or "filter" in example["value"] for answer in answers), (path, name)
            tried.append(name)
    assert len(tried) == 7
    assert not any(item_id in str(document["paths"]["/v1/similar"]) for item_id in examples.MADE_UP)


def test_examples_that_change_something_name_nothing_that_there_is(document: dict[str, Any]) -> None:
    for path in ("/v1/events", "/v1/items", "/v1/users/{user_id}", "/v1/identity/merge"):
        said = str(document["paths"][path])
        assert not any(f"'{item_id}'" in said for item_id in bundles.ITEM_IDS)
