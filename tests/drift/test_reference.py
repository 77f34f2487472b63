"""The reference of a bundle: a sound model answers like it, one with shuffled item vectors does not."""

from pathlib import Path

import pytest

from benchmarks.simulator.scrambled import personal, scramble
from recsys.bundle import bundle
from recsys.drift import reference
from recsys.drift.features import KINDS


@pytest.fixture(scope="module")
def released(pipeline: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return personal(pipeline / "bundle", tmp_path_factory.mktemp("released") / "bundle")


def test_the_pipeline_ships_counts_without_ids(pipeline: Path) -> None:
    found = reference.load(pipeline / "bundle")
    assert found is not None
    assert found.variant == bundle.read_manifest(pipeline / "bundle").default_variant
    assert set(found.counts) == {"match", "score", "confidence", "source", "category", "popularity", "price"}
    n_persons = len(found.counts["match"])
    assert 100 < n_persons <= reference.PERSONS
    assert found.counts["score"].sum() == pytest.approx(10 * n_persons, rel=0.02)


def test_the_released_model_is_no_drift_and_a_scrambled_one_is(released: Path, tmp_path: Path) -> None:
    own, sound = reference.load(released), bundle.load(released)
    assert own is not None
    assert not [found for found in reference.drift(sound, own, reference.answers(sound)[::2], 0.01) if found.alarm]
    broken = bundle.load(scramble(released, tmp_path / "scrambled"))
    found = {one.feature: one for one in reference.drift(broken, own, reference.answers(broken), 0.01)}
    assert [name for name, one in found.items() if KINDS.get(name) == "model" and one.alarm and one.moved > 0.2]


def test_a_bundle_without_a_reference_has_none(tmp_path: Path) -> None:
    assert reference.load(tmp_path) is None
