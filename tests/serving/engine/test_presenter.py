"""Reasons and confidence as clients see them: they add up, and what they say would happen happens."""

from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from recsys.bundle import bundle
from recsys.bundle.calibration import Calibration, Curve
from serving.api.schemas import Options, RecommendRequest
from serving.engine import presenter
from serving.engine.engine import Engine
from tests.support import bundles

SESSION = [
    {"item_id": item_id, "event": "view", "timestamp": f"2024-01-{day:02}T12:00:00Z"}
    for day, item_id in enumerate(["kitchen-1", "kitchen-2", "garden-12", "kitchen-5"], start=1)
]


def explained(client: TestClient, session: list[dict[str, Any]], **body: Any) -> dict[str, dict[str, Any]]:
    asked = {"session": session, "k": 5, "options": {"explain": True}, **body}
    response = client.post("/v1/recommend", json=asked)
    assert response.status_code == 200, response.text
    return {item["item_id"]: item for item in response.json()["items"]}


@pytest.mark.parametrize("variant", ["als", "als_recent"])
def test_the_contributions_of_the_reasons_add_up_to_the_score(client: TestClient, variant: str) -> None:
    items = explained(client, SESSION, variant=variant)
    assert len(items) == 5
    for item in items.values():
        assert {reason["kind"] for reason in item["reasons"]} == {"history"}
        assert sum(reason["contribution"] for reason in item["reasons"]) == pytest.approx(item["score"], abs=1e-5)
        sizes = [abs(reason["contribution"]) for reason in item["reasons"]]
        assert sizes == sorted(sizes, reverse=True)
        assert {reason["item_id"] for reason in item["reasons"]} == {event["item_id"] for event in SESSION}
        assert item["reasons"][0]["title"].startswith("Title of ")


@pytest.mark.parametrize("variant", ["als", "als_recent"])
def test_without_the_named_item_the_score_is_what_was_said(client: TestClient, variant: str) -> None:
    before = explained(client, SESSION, variant=variant)
    for left_out in SESSION:
        rest = [event for event in SESSION if event is not left_out]
        after = explained(client, rest, variant=variant, candidates=list(before), k=5)
        for item_id, item in before.items():
            said = next(reason for reason in item["reasons"] if reason["item_id"] == left_out["item_id"])
            assert after[item_id]["score"] == pytest.approx(said["without"], abs=1e-5)


def test_many_reasons_are_summed_up(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presenter, "PARTS", 2)
    for item in explained(client, SESSION).values():
        assert [reason["item_id"] is None for reason in item["reasons"]] == [False, False, True]
        assert sum(reason["contribution"] for reason in item["reasons"]) == pytest.approx(item["score"], abs=1e-5)


def test_what_is_popular_has_that_for_a_reason(client: TestClient) -> None:
    for item in explained(client, []).values():
        (reason,) = item["reasons"]
        assert (reason["kind"], reason["item_id"], reason["contribution"]) == ("popular", None, item["score"])


def test_nobody_is_told_reasons_unasked(client: TestClient) -> None:
    answer = client.post("/v1/recommend", json={"user_id": "anna"}).json()
    assert all(item["reasons"] == [] and item["confidence"] is None for item in answer["items"])


def test_confidence_is_that_of_the_bundle(tmp_path: Path) -> None:
    curve = Curve(bias=-2.0, score=0.5, rank=-0.25, known=0.1, slots=100, wanted=9)
    Calibration(horizon_days=7.0, curves={"als": {"als": curve}}).save(tmp_path / "calibration.json")
    loaded = bundle.load(bundles.write(tmp_path / "bundle", calibration=tmp_path / "calibration.json"))
    engine = Engine(loaded, "0")
    items = engine.recommend(RecommendRequest(user_id="anna", k=3), "id").items
    n_known = len(bundles.HISTORIES["anna"])
    assert [item.confidence for item in items] == [curve.at(item.score, item.rank, n_known) for item in items]
    stranger = engine.recommend(RecommendRequest(k=1, options=Options(explain=True)), "id").items
    assert stranger[0].confidence is None  # nothing was measured for the fallback
