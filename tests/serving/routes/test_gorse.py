"""The routes of gorse's client are off by default, and shed load as the others do."""

from pathlib import Path

from fastapi.testclient import TestClient

from serving.settings import Settings
from tests.support.apps import Start, until_ready


def test_they_are_off_by_default(client: TestClient) -> None:
    assert client.get("/api/recommend/anna/").status_code == 404
    assert client.post("/api/feedback", json=[]).status_code == 404


def test_under_load_answers_are_cheap_then_refused(bundle_folder: Path, start: Start) -> None:
    with start(Settings(bundle=bundle_folder, gorse=True, shed_requests=1)) as ready:
        load = until_ready(ready).app.state.service._background.load  # type: ignore[attr-defined]
        plain = ready.get("/api/recommend/anna/?n=3").json()
        load.requests.add("", 5)
        assert ready.post("/v1/recommend", json={"user_id": "anna"}).json()["meta"]["fallback_reason"] == "shed"
        cheap = ready.get("/api/recommend/anna/?n=3")
        assert (cheap.status_code, cheap.json() != plain) == (200, True), "popular items, not those of this user"
        load.requests.add("", 50)
        assert ready.get("/api/recommend/anna/?n=3").status_code == 503
