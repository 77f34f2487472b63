"""Attributes of items: from a file through `prepare`, the split and the bundle, or from the API."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from fastapi.testclient import TestClient
from pydantic import TypeAdapter

from recsys.bundle import bundle
from recsys.bundle._checks import catalogue as checks
from recsys.errors import ParamsError
from recsys.schemas.field_limits import MAX_ATTRIBUTE_LENGTH, MAX_ATTRIBUTES
from serving.api.schemas import Answer, RecommendRequest
from serving.encoding import to_json
from serving.engine.engine import Engine
from serving.settings import Settings
from tests.data.made_split import make
from tests.support import bundles, own_files
from tests.support.apps import Start, until, until_ready

ITEMS = """item_id,title,price,brand,cover,kg,organic,tags
a,Lamp,9.5,Acme,/img/a.png,1.5,yes,red|blue
b,Chair,,Acme,,much,no,
c,Table,30,O'Neil,data:image/gif;base64,4,,red
"""
ATTRIBUTES = {
    "brand": "brand",
    "image": "cover",
    "weight": {"column": "kg", "kind": "number"},
    "organic": {"column": "organic", "kind": "yes_no"},
    "tags": {"column": "tags", "kind": "list"},
}


@pytest.fixture(scope="module")
def own_shop(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    """The engine of a shop with own files; everybody liked one item."""
    folder = tmp_path_factory.mktemp("own")
    events = "".join(f"u{user},{item},2024-05-{day + 1:02}\n" for day in range(20) for user, item in enumerate("abc"))
    items = ITEMS.replace("data:image/gif;base64,4", '"data:image/gif;base64,R0",4')
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        outcome = own_files.run(own_files.EVENTS + events, items, {"attributes": ATTRIBUTES})
    assert outcome.notes("items") == {"attributes.weight emptied: unreadable": 1}
    params = own_files.settings().split.model_copy(update={"allow_repeat": True})
    cut = make(outcome.interactions.lazy(), outcome.items, params, seed=1)
    parts = bundle.Parts(cut.fit_rows("all"), cut.catalogue, cut.users, cut.now("all"), {}, None, {})
    chosen = bundles.settings().model_copy(
        update={"models": {}, "variants": {"popular": bundles.settings().variants["popular"]}}
    )
    metrics = {"gate": "by hand", "default_variant": "popular", "variants": {}}
    bundle.write(parts, chosen, metrics, folder / "bundle")
    return Engine(bundle.load(folder / "bundle"), "0")


def answered(engine: Engine, **body: Any) -> dict[str, Any]:
    draft = engine.recommend(RecommendRequest(variant="popular", **body), "id")
    return {item["item_id"]: item for item in json.loads(to_json(draft.items))}


def test_what_a_file_says_is_in_the_answer_that_asks_for_it(own_shop: Engine) -> None:
    asked = ["title", "price", "image", "url", "weight", "organic", "tags", "categories"]
    found = {item_id: item["fields"] for item_id, item in answered(own_shop, fields=asked).items()}
    assert found == {
        "a": {
            "title": "Lamp", "price": 9.5, "image": "/img/a.png", "weight": 1.5, "organic": True,
            "tags": ["red", "blue"], "categories": [],
        },
        "b": {"title": "Chair", "organic": False, "categories": []},
        "c": {
            "title": "Table", "price": 30.0, "image": "data:image/gif;base64,R0", "weight": 4, "tags": ["red"],
            "categories": [],
        },
    }  # fmt: skip
    assert all("fields" not in item for item in answered(own_shop).values())
    assert all("fields" not in item for item in answered(own_shop, fields=[]).values())


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ('attributes.brand = "Acme"', "ab"),
        ('attributes.brand != "Acme"', "c"),
        ('attributes.brand in ("O\'Neil", "Other")', "c"),
        ('attributes.brand not in ("O\'Neil")', "ab"),
        ('attributes.tags = "red"', "ac"),
        ('attributes.tags = "blue" or attributes.weight between 3 and 5', "ac"),
        ('attributes.tags != "blue"', "bc"),
        ("attributes.weight < 2", "a"),
        ("attributes.weight = 4 and price > 3", "c"),
        ("attributes.weight != 4", "ab"),  # also where it is not known
        ("not attributes.weight > 2", "ab"),
        ("attributes.organic = true", "a"),
        ("attributes.organic = false", "b"),
        ('attributes.Brand = "Acme"', ""),  # names are as they are written
        ('attributes.missing = "x"', ""),
        ("attributes.missing > 0", ""),
        ('attributes.missing != "x"', "abc"),
    ],
)
def test_filters_compare_attributes(own_shop: Engine, text: str, items: str) -> None:
    assert sorted(answered(own_shop, filter=text)) == list(items)


@pytest.mark.parametrize(
    ("body", "warning"),
    [
        ({"filter": 'attributes.Brand = "Acme" or attributes.kg > 1 and not attributes.tags = "red"'},
         "filter: no item has the attribute 'Brand', 'kg'; the attributes are brand, image, organic, tags, weight"),
        ({"fields": ["title", "brand", "kg", "kg"]},
         "fields: no item has the attribute 'kg'; the attributes are brand, image, organic, tags, weight"),
        ({"filter": 'attributes.brand = "Nobody"', "fields": ["text", "weight"]}, None),
    ],
)  # fmt: skip
def test_an_attribute_that_no_item_has_is_named_in_a_warning(
    own_shop: Engine, body: dict[str, Any], warning: str | None
) -> None:
    request = RecommendRequest(variant="popular", **body)
    for _ in range(2):  # a filter is compiled once
        assert own_shop.recommend(request, "id").warnings == [warning] * (warning is not None)


def test_a_name_inside_a_text_is_no_attribute(own_shop: Engine) -> None:
    texts = ['{"a":"\\"b\\":1"}', '{"c":["d","e:"],"f":true}', None, '{"g-1": "h\\\\"}']
    catalogue = replace(own_shop.bundle.catalogue, frame=pl.DataFrame({"attributes": texts}))
    assert sorted(catalogue.attribute_names) == ["a", "c", "f", "g-1"]
    assert not replace(catalogue, frame=pl.DataFrame({"attributes": [None]}, {"attributes": pl.String})).attribute_names


def put(client: TestClient, **item: Any) -> Any:
    return client.put("/v1/items", json={"item_id": "kitchen-4", **item})


def fields(client: TestClient, **body: Any) -> dict[str, Any]:
    response = client.post("/v1/recommend", json={"user_id": "anna", **body})
    assert response.status_code == 200, response.text
    TypeAdapter(Answer).validate_json(response.content)
    return {item["item_id"]: item.get("fields") for item in response.json()["items"]}


def client_warnings(client: TestClient, **body: Any) -> list[str]:
    found: list[str] = client.post("/v1/recommend", json={"anonymous_id": "guest", **body}).json()["warnings"]
    return found


def test_an_item_of_a_bundle_without_attributes_gets_them_by_the_api(shop: TestClient) -> None:
    assert "attributes" not in bundles.catalogue().columns, "as bundles were before"
    asked = ["image", "stars"]
    assert fields(shop, fields=asked)["kitchen-4"] == {}
    missing = "fields: no item has the attribute 'image', 'stars'; the items have no attributes"
    assert client_warnings(shop, fields=asked) == [missing]
    alike = shop.post("/v1/similar", json={"item_id": "kitchen-1", "fields": ["title", *asked]})
    assert alike.json()["warnings"] == [missing]
    assert put(shop, attributes={"image": "/a.png", "stars": 4.0, "size": ["s", "m"]}).status_code == 200
    until(lambda: fields(shop, fields=asked)["kitchen-4"] == {"image": "/a.png", "stars": 4})
    assert not client_warnings(shop, fields=asked), "they are attributes now"
    assert [*fields(shop, filter='attributes.size = "m" and attributes.stars >= 4', k=1)] == ["kitchen-4"]
    put(shop, title="Our kettle")
    until(lambda: fields(shop, fields=["title"])["kitchen-4"] == {"title": "Our kettle"})
    assert fields(shop, fields=asked)["kitchen-4"] == {"image": "/a.png", "stars": 4}, "what is absent stays"
    put(shop, attributes={"stars": 5})
    until(lambda: fields(shop, fields=asked)["kitchen-4"] == {"stars": 5})  # replaced as a whole
    put(shop, attributes={})
    until(lambda: fields(shop, fields=asked)["kitchen-4"] == {})


def test_a_setting_asks_where_a_request_does_not(start: Start, bundle_folder: Path, store_url: str) -> None:
    settings = Settings(bundle=bundle_folder, store_url=store_url, answer_fields="price,image")
    with start(settings) as client:
        until_ready(client)
        assert fields(client)["kitchen-5"] == {"price": 1.5}
        assert fields(client, fields=["title"])["kitchen-5"] == {"title": "Title of kitchen-5"}
        assert fields(client, fields=[])["kitchen-5"] is None
        by_id = client.get("/v1/recommend/anna").json()["items"]
        alike = client.post("/v1/similar", json={"item_id": "kitchen-1"}).json()["items"]
        assert {str(item["fields"]) for item in by_id + alike if item["item_id"] != "kitchen-0"} == {"{'price': 1.5}"}
        by_id = client.get("/v1/recommend/anna?fields=title,categories").json()["items"]
        assert all(item["fields"].keys() == {"title", "categories"} for item in by_id)
        assert all("fields" not in item for item in client.get("/v1/recommend/anna?fields=").json()["items"])
        asked = {"item_id": "kitchen-1", "fields": ["title"]}
        assert client.post("/v1/similar", json=asked).json()["items"][0]["fields"].keys() == {"title"}


def test_a_setting_that_names_no_attribute_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECSYS_ANSWER_FIELDS", "price, image")
    with pytest.raises(ParamsError, match="RECSYS_ANSWER_FIELDS"):
        Settings.from_environment()


@pytest.mark.parametrize(
    ("attributes", "why"),
    [
        ({"a b": 1}, "the name of an attribute has"),
        ({"a": {"b": 1}}, "expected an object of texts"),
        ({"a": None}, "expected an object of texts"),
        ({"a": ["x", 1]}, "each text of a list"),
        ({"a": [""]}, "each text of a list"),
        ({"a": ["x"] * 101}, "too long"),
        ({"a": 1e13}, "larger than 1e+12"),
        ({"a": 10**400}, "larger than 1e+12"),
        ({"a": "\x00"}, "a control character"),
        ({"a": "x" * (MAX_ATTRIBUTE_LENGTH + 1)}, "too long"),
        ({"a": "x" * MAX_ATTRIBUTE_LENGTH, "b": "x" * 100}, "too long"),
        ({f"a{at}": 1 for at in range(MAX_ATTRIBUTES + 1)}, "expected at most 50 attributes"),
        ([], "dictionary"),
    ],
)
def test_attributes_beyond_the_limits_are_refused_in_one_line(client: TestClient, attributes: Any, why: str) -> None:
    refused = put(client, attributes=attributes)
    assert (refused.status_code, refused.json()["error"]["field"]) == (422, "attributes")
    assert why in refused.json()["error"]["message"]


def test_a_long_text_and_many_names_are_within_the_limits(shop: TestClient) -> None:
    assert put(shop, attributes={"a" * 64: "x" * MAX_ATTRIBUTE_LENGTH}).status_code == 200
    assert put(shop, attributes={f"a{at}": True for at in range(MAX_ATTRIBUTES)}).status_code == 200


def test_a_name_in_a_request_that_can_be_no_attribute_is_refused(client: TestClient) -> None:
    assert client.post("/v1/recommend", json={"fields": ["a b"]}).status_code == 422
    assert client.post("/v1/recommend", json={"fields": ["a"] * (MAX_ATTRIBUTES + 1)}).status_code == 422
    for names in ("a b", "a,,b", "a,", ",".join("a" * (MAX_ATTRIBUTES + 1))):
        refused = client.get("/v1/recommend/anna", params={"fields": names})
        assert (refused.status_code, refused.json()["error"]["field"]) == (422, "fields")


def test_a_bundle_whose_attributes_are_no_json_is_refused(own_shop: Engine) -> None:
    whole = own_shop.bundle.catalogue
    assert checks.fault(whole, 3) is None
    bad = replace(whole, frame=whole.frame.with_columns(attributes=pl.lit('{"a":')))
    assert checks.fault(bad, 3) == "its column 'attributes' has a cell that is no JSON object"
