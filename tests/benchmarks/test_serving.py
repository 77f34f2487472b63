"""Benchmarks of the API and the stores: real servers, the bundle of the small shop, seconds in place of minutes."""

import shutil
from pathlib import Path
from uuid import uuid4

import pytest

from benchmarks import growth
from benchmarks.serving import (
    beside_naive,
    cache,
    conformance,
    cost,
    events,
    exposures,
    load,
    reasons,
    replays,
    soak,
    swap,
    tail,
)
from benchmarks.serving.faults import measure
from benchmarks.serving.faults.catalogue import FAULTS
from benchmarks.serving.traffic import Reply, recovered_after
from benchmarks.stores import servers, throughput
from tests.benchmarks.conftest import Results
from tests.support import bundles

needs_wrk = pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk, Debian's package, is not installed")


def test_answers_kept_and_computed(results: Results) -> None:
    cache.main(n_items=300, calls=20)
    assert set(results("cache")["cpu_us"]["als"]) == {"computed", "memory", "redis"}


def test_replays(results: Results, served: Path) -> None:
    replays.main(requests=16)
    found = results("serving_replays")
    assert (found["identical"], found["releases"], found["unavailable"]) == (16, 2, {})


def test_cost_of_a_call(results: Results, served: Path) -> None:
    cost.main(calls=5, rounds=1)
    assert results("serving_cost")["api_us"] > 0


@needs_wrk
def test_load(results: Results, served: Path) -> None:
    size = load.Size(seconds=1, expected=1, workers=(1,), rounds=1, round_seconds=1, rates=(10,), step_seconds=1)
    load.main(size)
    found = results("serving_load")
    assert 0 < found["ten_times_expected"]["success"] <= 1
    assert found["throughput"]["1"]["default"]["per_second"][0] > 0


@needs_wrk
def test_beside_the_naive_service(results: Results, served: Path) -> None:
    beside_naive.main(None, rounds=1, seconds=1)
    ways = results("serving_beside_naive")["ways"]
    assert ways.keys() == {"naive", *beside_naive.VARIANTS, *beside_naive.NOT_KEPT}
    assert ways["naive"]["of_naive"] == 1
    assert all(one["cpu_us"][0] > 0 for one in ways.values())


@needs_wrk
def test_events_a_second(results: Results, served: Path) -> None:
    events.main(numbers=(1,), rounds=1, seconds=1)
    one = results("serving_events")["workers"]["1"]
    assert one["in_store"] >= one["acknowledged"] > 0


def test_exposures_after_a_kill(results: Results, served: Path) -> None:
    exposures.main(kills=1, longest=1.2)
    assert results("serving_exposures")["acknowledged_and_lost"] == 0


def test_a_fault(results: Results, served: Path) -> None:
    measure.main(["source raises"], rate=20.0, minutes=0.05)
    broken = results("serving_fault_source_raises")["broken"]
    assert broken["other_5xx_or_no_answer"] == 0
    assert broken.keys() >= {"useful_share", "p99_by_deadline"}


def test_bars_of_faults() -> None:
    good = {"useful_share": 1.0, "personalised_share_of_known": 1.0, "p99_by_deadline": 1.0}
    found = {"all": good, "sound_again_after_seconds": 0.0}
    replies = [Reply(0.0, "/v1/events", 504, 1.0, {}), Reply(0.0, "/v1/recommend", 503, 1.0, {})]
    assert measure.missed(FAULTS["PostgreSQL frozen"], replies, found) == []
    assert measure.missed(FAULTS["hostile rules"], replies, found) == ["no 5xx but those shed"]
    bad = dict.fromkeys(good, 0.5) | {"p99_by_deadline": 2.1}
    found = {"all": bad, "sound_again_after_seconds": None}
    assert measure.missed(FAULTS["source raises"], [], found) == ["useful", "p99", "sound again"]
    assert "personalised" in measure.missed(FAULTS["hostile rules"], [], found)


def test_when_a_server_is_sound_again() -> None:
    def replies(*bad: float) -> list[Reply]:
        return [Reply(due / 10, "/v1/recommend", 503 if due / 10 in bad else 200, 1.0, {}) for due in range(300)]

    assert recovered_after(replies(), 10, 20) == 0
    assert recovered_after(replies(12.0, 19.0), 10, 20) == 0
    assert recovered_after(replies(12.0, 20.5, 22.5), 10, 20) == 2.5
    assert recovered_after(replies(3.0, 22.5), 10, 20) == 0, "one in ten seconds is usual"
    assert recovered_after(replies(3.0, 20.5, 22.5), 10, 20) == 0.5
    assert recovered_after(replies(20.5, 24.0, 28.0), 10, 20) is None


def test_what_a_larger_catalogue_costs(results: Results) -> None:
    growth.main([300], calls=3)
    found = results("growth")["sizes"]["300"]
    assert 0 < found["own_mib"] < found["own_mib_of_four_workers"]
    assert found.keys() >= {"price", "new item", "release"}


def test_releases_that_change(results: Results, served: Path) -> None:
    swap.main(rate=20.0, seconds=3.0, every=1.0)
    found = results("serving_swap")
    assert [change["action"] for change in found["changes"]] == ["promote", "rollback"]
    assert found["mixed_answers"] == 0


@needs_wrk
def test_what_makes_an_answer_slow(results: Results, served: Path) -> None:
    tail.main(seconds=1.5, rounds=1)
    ways = results("serving_tail")["ways"]
    assert ways.keys() == tail.WAYS.keys()
    for one in ways.values():
        assert sum(one["histogram"].values()) == one["lists"] > 0
        assert one["ms"]["p50"] <= one["ms"]["p99"]


def test_a_soak(results: Results, served: Path) -> None:
    soak.main(seconds=4.0, rate=20.0)
    assert results("serving_soak")["samples"][-1]["rss"] > 0


def test_conformance(results: Results, served: Path) -> None:
    conformance.main(1, (1,), "--phases", "fuzzing", "--include-path", "/v1/about")
    found = results("serving_conformance")["seeds"]["1"]
    assert (found["exit_code"], found["traceback_in_the_log"]) == (0, False)
    assert found["cases"] > 0


def test_durable_events(postgres: servers.Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throughput, "LOOKS", 5)
    for new_store in (lambda: f"sqlite:///{tmp_path}/{uuid4().hex}.sqlite", postgres.new_database):
        found = throughput.measure(new_store, seconds=0.2)
        assert found["single"]["events_per_s"] > 0
        assert found["reading"]["history_p50_us"] > 0


def test_reasons_add_up_and_second_calls_agree(results: Results, tmp_path: Path) -> None:
    reasons.main(bundles.write(tmp_path / "bundle"), answers=8)
    variants = results("reasons_hand-made")["variants"]
    assert {"als", "als_recent", "covisit", "popular"} <= set(variants)
    assert sum(found["second_scores_compared"] for found in variants.values()) > 20
    for found in variants.values():
        assert found["worst_sum"] < 1e-5
        assert found["worst_without"] < 1e-6
