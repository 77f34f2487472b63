"""Live lists at toy size: the next-event replay, and what bots can do."""

from pathlib import Path

from benchmarks.models import bars, bots, next_event
from tests.benchmarks.conftest import Results
from tests.support import bundles


def test_the_next_event_frozen_and_live(results: Results, pipeline: Path) -> None:
    next_event.main(pipeline, events=20)
    found = results("next_event_synthetic")
    everything = {line["variant"]: line for line in found["test"] if line["from_hours"] is None}
    assert {"popular", "popular, live", "learned", "learned, live", "live, live"} <= set(everything)
    assert all(line["events"] == 20 for line in everything.values())
    assert found["best"]["ratio"] > 0


def test_the_release_against_every_variant(pipeline: Path, tmp_path: Path) -> None:
    found = bars.measure(pipeline)
    trained = found["without_live"] or found["released"]
    differences = {line["variant"]: line["difference"] for line in found["variants"]}
    assert differences.pop(trained) is None
    assert {"popular", "learned", "random"} <= {trained, *differences}
    assert None not in differences.values()
    assert found["next_event"][trained] >= 0
    settings = (bars.prepare(tmp_path, "online_retail_repeats", 8) / "params.yaml").read_text()
    assert "dataset: online_retail" in settings
    assert settings.count("allow_repeat: true") == 2  # the other one is of the groceries


def test_neither_one_person_nor_guests_in_one_request_put_an_item_first(results: Results, tmp_path: Path) -> None:
    bots.main(bundles.write(tmp_path / "bundle"))
    lines = results("bots_hand-made")["attacks"]
    assert {line["shop"] for line in lines} == {"busy", "quiet"}
    for line in lines:
        alone = line["attack"].startswith("one person") or "in one request" in line["attack"]
        assert not alone or line["after"] != 1, line
    assert any(line["after"] == 1 for line in lines), "many people do put an item first"
