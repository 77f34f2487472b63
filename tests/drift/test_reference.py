"""The reference of a bundle: a sound model answers like it, one with shuffled item vectors does not."""

from pathlib import Path

import pytest

from benchmarks.simulator.scrambled import personal, scramble
from recsys.bundle import bundle
from recsys.drift import recorded, reference
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


def recorded_answers(of: bundle.Bundle, factor: float, n: int) -> list[recorded.Recorded]:
    """The list of the default variant for users of the bundle, with scores that grew with their histories."""
    found = []
    for answer in reference.answers(of)[:n]:
        user = of.histories.users.external_id(int(answer.person))
        named = zip(answer.rows, answer.scores, answer.sources, answer.confidences, strict=True)
        items = [
            {
                "item_id": of.catalogue.ids.external_id(int(row)),
                "score": score * factor,
                "source": source,
                "confidence": c,
            }
            for row, score, source, c in named
        ]
        about = of.manifest.default_variant, of.manifest.bundle_id, "home", "warm"
        found.append(recorded.Recorded(f"r{user}", f"u:{user}", 1e9, *about, items, {}))
    return found


def test_what_every_release_differs_from_its_reference_by_is_no_drift(released: Path, tmp_path: Path) -> None:
    own, sound = reference.load(released), bundle.load(released)
    assert own is not None
    grown = recorded_answers(sound, 1.5, 600)
    now = [recorded.as_answer(sound, one) for one in grown[::2]]
    assert "score" in {one.feature for one in reference.drift(sound, own, now, 0.01) if one.alarm}
    earlier = reference.Earlier(sound, own, grown[1::2])
    assert not [one.feature for one in reference.drift(sound, own, now, 0.01, earlier) if one.alarm]
    broken = bundle.load(scramble(released, tmp_path / "scrambled"))
    now = [recorded.as_answer(broken, one) for one in recorded_answers(broken, 1.5, 600)]
    found = {one.feature: one for one in reference.drift(broken, own, now, 0.01, earlier)}
    assert [name for name, one in found.items() if KINDS.get(name) == "model" and one.alarm and one.moved > 0.2]


def test_a_bundle_without_a_reference_has_none(tmp_path: Path) -> None:
    assert reference.load(tmp_path) is None
