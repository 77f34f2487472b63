"""Health: figures are differences of counts, and what is wrong stands on top."""

import os
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from serving.console.health import Counts, means, since, take
from serving.settings import Settings
from serving.watch import actions
from tests.support.apps import Start, new_store, until, until_ready


def test_rates_and_times_are_of_the_time_between() -> None:
    below = {"lists below 0.01": 50.0, "lists below 0.02": 100.0, "lists below +Inf": 100.0}
    a, b = Counts(at=100.0, cpu=1.0, lists=7.0), Counts(at=110.0, cpu=3.0, lists=107.0, fallbacks=5.0) | below
    found = since(a, Counts(b))
    assert (found["seconds"], found["lists"], found["fallbacks"], found["cpu"]) == (10.0, 100.0, 5.0, 2.0)
    assert found["p50"] == pytest.approx(10.0)
    assert found["p99"] == pytest.approx(19.8)
    assert since(Counts(b), a)["lists"] == 0.0  # a worker that began anew


def test_lists_count_and_looks_at_the_console_do_not(console: TestClient) -> None:
    before = take()
    console.get("/console/health")
    console.get("/console?user_id=anna")
    assert {name: since(before, take())[name] for name in ("requests", "lists")} == {"requests": 0.0, "lists": 0.0}
    console.post("/v1/recommend", json={"user_id": "anna"})
    console.post("/v1/events", json={"user_id": "anna", "item_id": "garden-12", "event": "view"})
    found = since(before, take())
    assert (found["requests"], found["lists"], found["events accepted"]) == (2.0, 1.0, 1.0)


def test_a_healthy_server_says_so_with_units(console: TestClient) -> None:
    page = console.get("/console/health").text
    assert "Nothing is wrong" in page
    for text in ("a second", " ms", "MB", "files and connections"):
        assert text in page
    assert "<html" not in console.get("/console/health?part=true").text


def test_times_are_by_step_and_variant(console: TestClient) -> None:
    before = take()
    for _ in range(3):
        console.post("/v1/recommend", json={"user_id": "anna", "variant": "popular"})
    found = since(before, take())
    [(variant, answers, ms)] = means(found, "variant")
    assert (variant, answers) == ("popular", 3)
    steps = means(found, "step")
    assert all(n == 3 for _, n, _ in steps)
    assert 0 < max(step_ms for _, _, step_ms in steps) <= ms
    page = console.get("/console/health").text
    assert f"process {os.getpid()}" in page
    assert "popular</span>" in page


def test_findings_of_the_watcher_are_shown(bundle_folder: Path, start: Start, tmp_path: Path) -> None:
    url = new_store(tmp_path)
    for number, kind in enumerate(("events", "scores")):
        actions.add(url, f"f{number}", 1.7e9 + number, kind, f"{kind}: <b>moved</b> by 20 %", "b1", "tell")
    with start(Settings(bundle=bundle_folder, store_url=url)) as client:
        client.base_url = "http://localhost"
        until_ready(client)
        page = client.get("/console/health").text
        assert page.index("scores: &lt;b&gt;moved") < page.index("events: &lt;b&gt;moved")  # the newest first
        data = client.get("/console/data").text
        assert "events: &lt;b&gt;moved" in data
        assert "scores: " not in data


def test_what_is_wrong_stands_on_top(bundle_folder: Path, start: Start, tmp_path: Path) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text("diversity: 0\n")
    settings = Settings(bundle=bundle_folder, rules=rules, store_url=new_store(tmp_path))
    with start(settings) as client:
        client.base_url = "http://localhost"
        until_ready(client)
        rules.write_text("blok: {}\n")
        until(lambda: "Wrong now" in client.get("/console/health").text)
        page = client.get("/console/health").text
        assert "The file of rules is not fully in force" in page
        assert "unknown key &#39;blok&#39;" in page
