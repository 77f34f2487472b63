"""The version before (21a7ebd) goes on to work: a bundle made by its code, and a client made from its OpenAPI document.

`bundle.tar.xz`: from `dvc repro` of that version on a shop of 8,000 events. `openapi.json`: /openapi.json of its API.
The client sends every example of that document and checks each answer against the schema there: it may have more
fields, but none of the schema's may be missing.
"""

import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from recsys.bundle import bundle, releases
from serving.settings import Settings
from tests.support.apps import Start, new_store, until_ready

HERE = Path(__file__).parent
DOCUMENT: dict[str, Any] = json.loads((HERE / "openapi.json").read_text())
for _schema in DOCUMENT["components"]["schemas"].values():
    _schema["required"] = list(_schema.get("properties", ()))
OPERATIONS = {op["operationId"]: (verb, path, op) for path, of in DOCUMENT["paths"].items() for verb, op in of.items()}


def _body(operation: dict[str, Any]) -> dict[str, Any]:
    content: dict[str, Any] = operation.get("requestBody", {}).get("content", {})
    return dict(content.get("application/json", {}))


REQUESTS = [
    pytest.param(name, example.get("value"), id=f"{name}: {title}")
    for name, (_, _, op) in OPERATIONS.items()
    for title, example in (_body(op).get("examples") or {"no body": {}}).items()
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle of the version before."""
    made = tmp_path_factory.mktemp("before") / "bundle"
    with tarfile.open(HERE / "bundle.tar.xz") as archive:
        archive.extractall(made, filter="data")
    return made


@pytest.fixture(scope="module")
def api(folder: Path, start: Start, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """The API of today, on that bundle."""
    settings = Settings(bundle=folder, store_url=new_store(tmp_path_factory.mktemp("store")), deadline_ms=60_000)
    with start(settings) as ready:
        yield until_ready(ready)


def test_the_bundle_is_verified_promoted_and_loaded(folder: Path, tmp_path: Path) -> None:
    assert releases.promote(folder, tmp_path / "releases") == bundle.load(folder).manifest.bundle_id


def test_every_variant_of_the_bundle_answers_in_full(api: TestClient) -> None:
    about = api.get("/v1/about").json()
    assert "learned" in about["variants"]
    for variant in about["variants"]:
        body = {"user_id": "u0000001", "variant": variant, "k": 5, "options": {"explain": True}}
        answer = api.post("/v1/recommend", json=body).json()
        assert len(answer["items"]) == 5, variant
        assert not answer["meta"]["degraded"], variant
    als = api.post("/v1/recommend", json={"user_id": "u0000001", "variant": "als", "options": {"explain": True}}).json()
    assert als["items"][0]["confidence"] is not None
    assert als["items"][0]["reasons"]


@pytest.mark.parametrize(("name", "body"), REQUESTS)
def test_an_answer_is_what_the_document_said(name: str, body: Any, api: TestClient) -> None:
    verb, path, operation = OPERATIONS[name]
    answer = api.request(verb, path.format(user_id="u0000002"), json=body)
    assert answer.status_code == 200, answer.text
    said = operation["responses"]["200"]["content"].get("application/json")
    if said and said["schema"]:
        schema = {**said["schema"], "components": DOCUMENT["components"]}
        Draft202012Validator(schema).validate(answer.json())


def test_an_error_is_what_the_document_said(api: TestClient) -> None:
    answer = api.post("/v1/similar", json={"item_id": "no such item"})
    said = OPERATIONS["similar"][2]["responses"]["404"]["content"]["application/json"]["schema"]
    assert answer.status_code == 404
    Draft202012Validator({**said, "components": DOCUMENT["components"]}).validate(answer.json())


def test_no_operation_has_changed_its_name(api: TestClient) -> None:
    today = api.get("/openapi.json").json()["paths"]
    for name, (verb, path, _) in OPERATIONS.items():
        assert today[path][verb]["operationId"] == name
