"""The scripts that measure the shape of the code, on what is here."""

import json
from pathlib import Path

import pytest

from benchmarks import provenance
from benchmarks.structure import calls


def test_calls_of_a_recommendation_an_event_and_an_item(
    pipeline: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provenance, "RESULTS", tmp_path)
    calls.main(pipeline / "bundle", before=None)
    found = json.loads((tmp_path / "calls.json").read_text())["now"]
    for request, function in (
        ("recommendation", "recsys/recommend/recommender.py: Recommender.recommend"),
        ("event", "serving/stores/sqlite.py: SqliteStore.add_events"),
        ("item", "serving/stores/sqlite.py: SqliteStore.upsert_items"),
    ):
        assert function in found[request]["functions"]
        assert sum(found[request]["functions"].values()) == found[request]["calls"]
        assert found[request]["files"] <= found[request]["moves"] < found[request]["calls"]


def test_calls_without_a_bundle_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="run `make demo`"):
        calls.main(tmp_path, before=None)
