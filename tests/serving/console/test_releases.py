"""Releases: what serves, what changed, and the buttons that do what `recsys releases` does."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from recsys.bundle import releases
from serving import api_keys
from serving.api_keys import Scope
from serving.settings import Settings
from tests.support import bundles
from tests.support.apps import Start, new_store, until, until_ready


@pytest.fixture(scope="module")
def promoted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A folder with two releases, and their ids."""
    folder = tmp_path_factory.mktemp("promoted")
    made = [bundles.write(folder / "a"), bundles.write(folder / "b", 0.5 * bundles.vectors(), allow_repeat=True)]
    return folder / "releases", [releases.promote(each, folder / "releases") for each in made]


@pytest.fixture
def two(promoted: tuple[Path, list[str]], start: Start, tmp_path: Path) -> Iterator[tuple[TestClient, Path, list[str]]]:
    folder = shutil.copytree(promoted[0], tmp_path / "releases")
    key, line = api_keys.new("olga", [Scope.ADMIN, Scope.RECOMMEND])
    with start(Settings(releases=folder, store_url=new_store(tmp_path), api_keys=line)) as client:
        client.headers["authorization"] = f"Bearer {key}"
        yield until_ready(client), folder, promoted[1]


def press(client: TestClient, what: str, **fields: str) -> int:
    token = re.search(r'name="token" value="([^"]+)"', client.get("/console").text)
    assert token is not None
    return client.post(f"/console/releases/{what}", data={"token": token[1], **fields}).status_code


def test_it_says_what_serves_and_why(two: tuple[TestClient, Path, list[str]]) -> None:
    client, _, (a, b) = two
    page = client.get("/console/releases").text
    assert f"answers from <code>{b}</code>" in page
    assert "made by hand, nothing was measured" in page
    assert f"Roll back to <code>{a}</code>" in page


def test_promote_and_roll_back_are_noted_with_who(two: tuple[TestClient, Path, list[str]]) -> None:
    client, folder, (a, b) = two
    for what, fields, current in (("rollback", {}, a), ("promote", {"bundle_id": b, "why": "better on Mondays"}, b)):
        assert press(client, what, **fields) == 200
        assert releases.read(folder).stack[-1] == current
        until(lambda current=current: client.get("/v1/about").json()["bundle_id"] == current)  # type: ignore[misc]
    noted = [(line["action"], line["key"], line["what"]) for line in client.get("/v1/audit").json()]
    assert noted == [("promote", "olga", b), ("roll back", "olga", a)]
    assert client.get("/v1/audit").json()[0]["before"]["stack"] == [a]
    page = client.get("/console/releases").text
    assert "better on Mondays (by olga in the Console)" in page


def test_a_canary_goes_on_or_ends(two: tuple[TestClient, Path, list[str]]) -> None:
    client, folder, (a, b) = two
    assert press(client, "promote", bundle_id=a, share="0.01") == 200
    canary = releases.read(folder).canary
    assert canary is not None
    assert (canary.bundle_id, canary.share, releases.read(folder).stack[-1]) == (a, 0.01, b)
    assert f"<code>{a}</code> serves 1 % of the units" in client.get("/console/releases").text
    assert press(client, "ramp") == 200
    assert "Go on: 100 %" in client.get("/console/releases").text
    assert press(client, "abort") == 200
    assert releases.read(folder).canary is None
    assert press(client, "promote", bundle_id=a, share="7") == 422
    noted = [line["action"] for line in client.get("/v1/audit").json()]
    assert noted == ["abort canary", "ramp canary", "promote"]


def test_a_damaged_release_is_not_made_current(two: tuple[TestClient, Path, list[str]]) -> None:
    client, folder, (a, b) = two
    (folder / a / "demand.npy").write_bytes(b"nothing")
    token = re.search(r'name="token" value="([^"]+)"', client.get("/console").text)
    assert token is not None
    page = client.post("/console/releases/promote", data={"token": token[1], "bundle_id": a}).text
    assert "Nothing was changed: " in page
    assert releases.read(folder).stack[-1] == b


@pytest.mark.parametrize("bundle_id", ["", "0" * 16, "../../../etc", "<script>"])
def test_only_releases_can_be_promoted(two: tuple[TestClient, Path, list[str]], bundle_id: str) -> None:
    client, folder, (_, b) = two
    assert press(client, "promote", bundle_id=bundle_id) == 422
    assert releases.read(folder).stack[-1] == b
    assert client.get("/console/releases/diff", params={"a": bundle_id, "b": b}).status_code == 404


def test_without_a_token_nothing_changes(two: tuple[TestClient, Path, list[str]]) -> None:
    client, folder, (a, b) = two
    assert client.post("/console/releases/rollback").status_code == 403
    assert client.post("/console/releases/promote", data={"bundle_id": a}).status_code == 403
    assert releases.read(folder).stack[-1] == b


def test_the_diff_names_what_differs_and_nothing_else(two: tuple[TestClient, Path, list[str]]) -> None:
    client, _, (a, b) = two
    page = client.get("/console/releases/diff", params={"a": a, "b": b}).text
    assert re.findall(r"<dt><code>([^<]*)", page) == ["allow_repeat"]
    assert "False → <b>True</b>" in page
    assert "All are the same" in client.get("/console/releases/diff", params={"a": b, "b": b}).text
    lists = client.get("/console/releases/lists", params={"a": b, "b": b}).text
    assert "share <b>100 %</b>" in lists
    assert "share <b>100 %</b>" not in client.get("/console/releases/lists", params={"a": a, "b": b}).text


def test_a_release_stands_beside_another_in_the_shop_window(two: tuple[TestClient, Path, list[str]]) -> None:
    client, _, (a, _) = two
    page = client.get("/console", params={"user_id": "anna", "b": f"release {a}"}).text
    assert page.count('class="side"') == 2
    assert 'role="alert"' not in page
