"""What Prometheus reads: the figures move as they should, for one worker and for several."""

import os
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from serving.answer_metrics import AnswerMetrics
from serving.api.schemas import Answer, Item, Meta
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
    event = {"event_id": "e1", "user_id": "stranger", "item_id": "garden-10", "event": "purchase", "value": 12.5}
    shop.post("/v1/events", json=[event, event, {}])
    until(lambda: read(shop).get("recsys_exposures_total{outcome=written}", 0) >= 2)
    after = read(shop)
    assert {name: after[name] - before.get(name, 0) for name in EXPECTED} == pytest.approx(EXPECTED)
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
    "recsys_events_by_kind_total{event=purchase}": 1,
    "recsys_events_value_total{event=purchase}": 12.5,
    "recsys_places_total{segment=cold_user,variant=als}": 20,
    "recsys_places_by_kind_total{kind=fallback,segment=cold_user,variant=als}": 20,
    "recsys_places_by_kind_total{kind=personalised,segment=warm,variant=mixed}": 9,
}


def test_what_answers_held_is_counted_by_variant_and_bundle(shop: TestClient) -> None:
    before = read(shop)
    for user_id in ("anna", "ben"):
        shop.post("/v1/recommend", json={"user_id": user_id, "variant": "newcomers", "k": 10})
    after = read(shop)
    bundle = shop.get("/readyz").json()["bundle_id"]
    who = f"bundle={bundle},variant=newcomers"
    added = {name: after[name] - before.get(name, 0) for name in after}
    assert added[f"recsys_score_count{{{who}}}"] == 20
    assert f"recsys_confidence_count{{{who}}}" not in added, "the hand-made bundle has no calibration"
    for step in ("encode", "total", "store", "source als"):
        assert added[f"recsys_step_seconds_count{{bundle={bundle},step={step},variant=newcomers}}"] == 2
    assert 0 < added[f"recsys_step_seconds_sum{{bundle={bundle},step=total,variant=newcomers}}"] < 60
    assert added["recsys_places_by_kind_total{kind=new,segment=warm,variant=newcomers}"] > 0
    shown_before = before.get("recsys_items_shown{variant=newcomers}", 0)  # other tests of this process count too
    assert max(10, shown_before) <= after["recsys_items_shown{variant=newcomers}"] <= shown_before + 24
    assert after["recsys_catalogue_items{}"] == 24
    assert after["recsys_trained_until_timestamp_seconds{}"] > 1e9
    worker = os.getpid()
    assert after[f"recsys_worker_cpu_seconds_total{{worker={worker}}}"] > 0
    assert after[f"recsys_worker_memory_bytes{{worker={worker}}}"] > 1e6
    assert after[f"recsys_worker_descriptors{{worker={worker}}}"] > 3


def answer(bundle: str, variant: str = "als", *item_ids: str, confidence: float | None = 0.15) -> Answer:
    items = [
        Item(item_id=item_id, rank=1, score=0.5, confidence=confidence, source="als", fallback=False, title="",
             categories=[], reasons=[])
        for item_id in item_ids
    ]  # fmt: skip
    meta = Meta(variant=variant, experiment=None, segment="warm", fallback=False, fallback_reason=None,
        personalised_share=1.0, degraded=False, failed=[], shortfall=None, bundle_id=bundle, model=None, dataset="d",
        trained_until=datetime.now(UTC), rules_version=None, timings_ms={"total": 3.0})  # fmt: skip
    return Answer(request_id="r", items=items, meta=meta, warnings=[], next_cursor=None)


def samples(counted: AnswerMetrics) -> dict[str, float]:
    registry = CollectorRegistry()
    registry.register(counted)
    return figures(generate_latest(registry).decode())


def test_the_answers_of_several_workers_are_added_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for pid, shown in ((1, ("a", "b")), (2, ("b", "c", "d"))):
        monkeypatch.setattr("serving.answer_metrics.os.getpid", lambda pid=pid: pid)
        worker = AnswerMetrics(tmp_path)
        worker.add(answer("b1", "als", *shown))
        worker.flush()
    (tmp_path / "answers_3.json.partial").write_text("what a worker is writing")
    found = samples(AnswerMetrics(tmp_path))
    assert found["recsys_confidence_count{bundle=b1,variant=als}"] == 5
    assert found["recsys_confidence_bucket{bundle=b1,le=0.1,variant=als}"] == 0
    assert found["recsys_confidence_bucket{bundle=b1,le=0.2,variant=als}"] == 5
    assert found["recsys_step_seconds_sum{bundle=b1,step=total,variant=als}"] == pytest.approx(0.006)
    assert found["recsys_answers_total{reason=none,variant=als}"] == 2
    assert found["recsys_items_shown{variant=als}"] == 4, "an item that two workers show is one"


def test_series_of_old_bundles_go_and_items_shown_fade(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1e9]
    monkeypatch.setattr("serving.answer_metrics.time.time", lambda: now[0])
    counted = AnswerMetrics(None)
    for number in range(10):
        now[0] += 6 * 3600
        counted.add(answer(f"b{number}", "als", f"item-{number}"))
        counted.flush()
    found = samples(counted)
    bundles = {name for name in found if name.startswith("recsys_step_seconds_count")}
    assert bundles == {f"recsys_step_seconds_count{{bundle=b{n},step=total,variant=als}}" for n in range(6, 10)}
    assert found["recsys_items_shown{variant=als}"] == 4, "of the last day"
    assert found["recsys_answers_total{reason=none,variant=als}"] == 10


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
