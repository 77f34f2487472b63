"""gorse's own Python client against the running API: users, items, feedback, recommend, and what is refused."""

import asyncio
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from gorse import AsyncGorse, Gorse, GorseException

from serving import api_keys
from tests.support import bundles
from tests.support.apps import until
from tests.support.servers import serving

SECRET, LINE = api_keys.new("gorse", list(api_keys.Scope))
READS, ONLY_READS = api_keys.new("page", [api_keys.Scope.RECOMMEND])


@pytest.fixture(scope="module")
def url(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("gorse")
    command, settings = [sys.executable, "-m", "serving"], {"RECSYS_GORSE": "true", "RECSYS_RATE_LIMIT": "0"}
    settings["RECSYS_API_KEYS"] = f"{LINE}\n{ONLY_READS}"
    with serving(command, bundles.write(folder / "bundle"), root, folder / "server.log", 1, **settings) as (address, _):
        yield address


@pytest.fixture
def client(url: str) -> Gorse:
    return Gorse(url, SECRET, timeout=20)


def stored(url: str, user: str) -> list[dict[str, Any]]:
    """The events that the API stored of a user."""
    answer = httpx.get(f"{url}/v1/users/{user}/export", headers={"authorization": f"Bearer {SECRET}"}, timeout=20)
    events: list[dict[str, Any]] = answer.json()["store"]["events"]
    return events


def feedback(user: str, item: str, kind: str = "purchase", at: str = "2026-02-24") -> dict[str, str]:
    return {"FeedbackType": kind, "UserId": user, "ItemId": item, "Timestamp": at}


def refused(status: int, call: Any, *arguments: Any, **named: Any) -> str:
    """The message with which a call is refused."""
    with pytest.raises(GorseException) as said:
        call(*arguments, **named)
    assert said.value.status_code == status, said.value.message
    message: str = json.loads(said.value.message)["error"]["message"]
    return message


def test_lists_have_ids_and_scores_best_first(client: Gorse, url: str) -> None:
    scored = client.get_recommend("anna", n=3)
    own = httpx.get(f"{url}/v1/recommend/anna?k=3", headers={"authorization": f"Bearer {SECRET}"}, timeout=20).json()
    assert [(each.id, each.score) for each in scored] == [(item["item_id"], item["score"]) for item in own["items"]]
    kitchen = client.get_recommend("anna", "kitchen", n=2)
    assert [each.id.split("-")[0] for each in kitchen] == ["kitchen", "kitchen"]
    plain = httpx.get(f"{url}/api/recommend/anna/?n=3", headers={"x-api-key": SECRET}, timeout=20).json()
    assert plain == [each.id for each in scored]
    assert len(asyncio.run(AsyncGorse(url, SECRET).get_recommend("anna", n=2))) == 2


def test_feedback_is_an_event_once(client: Gorse, url: str) -> None:
    item = client.get_recommend("new-1", n=1)[0].id
    assert client.insert_feedback("purchase", "new-1", item, "2026-02-24T10:00:00+02:00", 9.5) == {"RowAffected": 1}
    assert client.insert_feedback("purchase", "new-1", item, "2026-02-24T08:00:00Z", 9.5) == {"RowAffected": 0}
    assert client.insert_feedbacks([feedback("new-1", item), feedback("new-1", item, at="")]) == {"RowAffected": 2}
    first, second, _ = sorted(stored(url, "new-1"), key=lambda event: -(event["value"] or 0))
    assert (first["event"], first["item_id"], first["value"]) == ("purchase", item, 9.5)
    assert second["value"] is None
    assert item not in [each.id for each in client.get_recommend("new-1", n=10)], "the rule `seen` counts it"


def test_one_wrong_feedback_and_none_is_stored(client: Gorse, url: str) -> None:
    item = client.get_recommend("new-2", n=1)[0].id
    good = feedback("new-2", item)
    wrong = [(feedback("new-2", item, "stared"), r"1.FeedbackType: 'stared' is not one of: "),
             (good | {"ItemId": ""}, "1.ItemId: Field required"), (good | {"Comment": "x"}, "1.Comment: no such field"),
             (good | {"Timestamp": "1.7e9"}, "1.Timestamp: expected a date and time")]  # fmt: skip
    for bad, message in wrong:
        assert refused(422, client.insert_feedbacks, [good, bad]).startswith(message)
    assert refused(422, client.insert_feedbacks, [good] * 1001).startswith("the body: List should have at most 1000")
    assert stored(url, "new-2") == []


def test_items_are_added_changed_and_hidden(client: Gorse) -> None:
    def shown() -> list[str]:
        return [each.id for each in client.get_recommend("new-3", "attic", n=10)]

    item = {"ItemId": "attic-1", "IsHidden": False, "Categories": ["attic"], "Labels": ["old", "wood"],
            "Timestamp": "2026-01-01", "Comment": "Chest"}  # fmt: skip
    assert client.insert_item(item) == {"RowAffected": 1}
    client.insert_item(item | {"ItemId": "attic-2", "Labels": {"year": 1950}})
    until(lambda: sorted(shown()) == ["attic-1", "attic-2"])
    client.update_item("attic-1", is_hidden=True)
    until(lambda: shown() == ["attic-2"])
    client.update_item("attic-1", is_hidden=False)
    client.delete_item("attic-2")
    until(lambda: shown() == ["attic-1"])
    assert refused(422, client.insert_item, item | {"Labels": {"a": {"b": 1}}}).startswith("Labels: expected an object")
    assert refused(422, client.insert_item, {"Comment": "x"}) == "ItemId: Field required"


def test_users_need_no_row_and_are_forgotten(client: Gorse, url: str) -> None:
    assert client.insert_user({"UserId": "new-4", "Labels": [], "Comment": ""}) == {"RowAffected": 0}
    assert client.insert_users([{"UserId": "new-4"}]) == {"RowAffected": 0}
    assert refused(422, client.insert_user, {"UserId": "x", "Labels": {"a": "b"}}) == "Labels: no such field"
    client.insert_feedback("purchase", "new-4", client.get_recommend("new-4", n=1)[0].id, "")
    assert client.delete_user("new-4")["RowAffected"] > 0
    assert stored(url, "new-4") == []


def test_keys_limits_and_what_is_not_there(client: Gorse, url: str) -> None:
    page = Gorse(url, READS, timeout=20)
    assert len(page.get_recommend("anna", n=1)) == 1
    assert "does not have the scope 'events'" in refused(403, page.insert_feedback, "purchase", "a", "b", "")
    assert "does not have the scope 'admin'" in refused(403, page.delete_user, "anna")
    refused(401, Gorse(url, "wrong", timeout=20).get_recommend, "anna")
    assert refused(422, client.get_recommend, "anna", n=101).startswith("n: Input should be less than or equal to 100")
    assert refused(422, client.get_recommend, "anna", offset=10).startswith("offset: ")
    assert "'write-back-type': no parameter" in refused(422, client.get_recommend, "anna", write_back_type="read")
    refused(404, client.get_items, 10)
    refused(405, client.list_feedbacks, "purchase", "anna")
