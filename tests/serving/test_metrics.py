"""What Prometheus reads: the figures move as they should, for one worker and for several."""

import os
import re
import subprocess
import sys
from pathlib import Path

from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families

from tests.support.apps import until

COUNT = """
import sys
from prometheus_client import CONTENT_TYPE_LATEST
from serving import metrics
metrics.EVENTS.labels("accepted").inc(int(sys.argv[1]))
metrics.swapped(None, "b1")
if len(sys.argv) > 2:
    print(metrics.page().decode())
"""


def figures(text: str) -> dict[str, float]:
    """name{label=value,...} -> value, without buckets and moments of creation."""
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = ",".join(f"{key}={value}" for key, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}"] = sample.value
    return found


def read(client: TestClient) -> dict[str, float]:
    response = client.get("/metrics")
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/plain")
    return figures(response.text)


def test_figures_move(shop: TestClient) -> None:
    before = read(shop)
    shop.post("/v1/recommend", json={"user_id": "stranger"})
    shop.get("/v1/recommend/stranger?k=0")
    shop.get("/v1/recommend/another")
    shop.post("/v1/recommend", json={"user_id": "anna", "variant": "mixed", "k": 10})
    event = {"event_id": "e1", "user_id": "stranger", "item_id": "garden-10", "event": "view"}
    shop.post("/v1/events", json=[event, event, {}])
    until(lambda: read(shop).get("recsys_exposures_total{outcome=written}", 0) >= 2)
    after = read(shop)
    assert {name: after[name] - before.get(name, 0) for name in EXPECTED} == EXPECTED
    bundle_id = shop.get("/readyz").json()["bundle_id"]
    assert after[f"recsys_bundle_info{{bundle_id={bundle_id}}}"] == 1


EXPECTED = {
    "recsys_requests_total{method=POST,route=/v1/recommend,status=200}": 2,
    "recsys_requests_total{method=GET,route=/v1/recommend/{user_id},status=422}": 1,
    "recsys_requests_total{method=GET,route=/v1/recommend/{user_id},status=200}": 1,
    "recsys_request_seconds_count{route=/v1/recommend}": 2,
    "recsys_answers_total{reason=no_history,variant=als}": 2,
    "recsys_answers_total{reason=none,variant=mixed}": 1,
    "recsys_personalised_places_total{personalised=no,segment=cold_user}": 20,
    "recsys_personalised_places_total{personalised=yes,segment=cold_user}": 0,
    "recsys_personalised_places_total{personalised=yes,segment=warm}": 9,
    "recsys_personalised_places_total{personalised=no,segment=warm}": 1,
    "recsys_events_total{outcome=accepted}": 1,
    "recsys_events_total{outcome=duplicate}": 1,
    "recsys_events_total{outcome=rejected}": 1,
}


def test_a_path_that_is_no_route_makes_no_series(client: TestClient) -> None:
    for number in range(3):
        client.get(f"/no/such/route/{number}")
    routes = set(re.findall(r"route=([^,}]+)", " ".join(read(client))))
    assert "none" in routes
    assert not any("such" in route for route in routes)


def test_several_workers_are_added_up(tmp_path: Path, root: Path) -> None:
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    command = [sys.executable, "-c", COUNT]
    subprocess.run([*command, "3"], env=environment, cwd=root, check=True)
    done = subprocess.run(
        [*command, "4", "show"], env=environment, cwd=root, check=True, capture_output=True, text=True
    )
    found = figures(done.stdout)
    assert found["recsys_events_total{outcome=accepted}"] == 7
    assert found["recsys_bundle_info{bundle_id=b1}"] == 1
