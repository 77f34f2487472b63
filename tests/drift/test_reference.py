"""The reference of a bundle: a sound model answers like it, one with shuffled item vectors does not."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.simulator.scrambled import personal, scramble
from recsys.bundle import bundle
from recsys.drift import recorded, reference
from recsys.drift.features import KINDS, Answer, Features


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


def test_users_who_come_often_are_compared_with_users_as_active(released: Path) -> None:
    """The users of the longest histories ask, as in a shop where some come daily: their lists are not those of all."""
    own, sound = reference.load(released), bundle.load(released)
    assert own is not None
    made = reference.answers(sound)
    often = sorted(made, key=lambda one: -len(one.history))[: len(made) // 4]
    assert not [found for found in reference.drift(sound, own, often, 0.01) if found.alarm]
    assert own.lengths.tolist() == [len(one.history) for one in made]
    mine, theirs = reference.alike(np.array([1, 7, 400, 30]), np.array([8, 30, 1, 390, 31, 12]))
    assert sorted(zip(mine.tolist(), theirs.tolist(), strict=True)) == [(0, 2), (1, 0), (2, 3), (3, 1)]
    assert [len(side) for side in reference.alike(np.array([1, 2, 3]), np.array([900, 1_000]))] == [0, 0]
    assert reference.drift(sound, replace(own, lengths=own.lengths + 10**6), often, 0.01) == []


def test_an_item_that_arrived_and_is_shown_to_everybody_is_no_drift(released: Path) -> None:
    """Of every ten slots one is reserved for new items; on the day after, all of them show the one that came last."""
    own, sound = reference.load(released), bundle.load(released)
    assert own is not None

    def reserved(answer: Answer, row: int, score: float) -> Answer:
        sources, scores = [*answer.sources[:-1], "new"], [*answer.scores[:-1], score]
        return replace(answer, rows=np.append(answer.rows[:-1], np.int32(row)), sources=sources, scores=scores)

    made = reference.answers(sound)
    features = Features(sound, own.edges)
    before, _ = features.count([reserved(one, at % len(sound.catalogue), 0.3) for at, one in enumerate(made)])
    now = [reserved(one, 0, 1.0) for one in made[::2]]
    assert not [one.feature for one in reference.drift(sound, replace(own, counts=before), now, 0.01) if one.alarm]
    assert before["source"].sum() == before["score"].sum() + len(made)
    fallback = [replace(one, sources=["popular"] * len(one.sources)) for one in made[::2]]
    assert "source" in {one.feature for one in reference.drift(sound, own, fallback, 0.01) if one.alarm}


def test_a_model_that_changed_as_its_reference_says_is_no_drift(released: Path) -> None:
    """A night's training changes scores and items. A finding needs a difference from both: from what the release
    answered when it was made, and from what the release before answered."""
    own, sound = reference.load(released), bundle.load(released)
    assert own is not None
    now = [recorded.as_answer(sound, one) for one in recorded_answers(sound, 1.0, 600)[::2]]
    changed = reference.Earlier(sound, own, recorded_answers(sound, 1.5, 600)[1::2])
    assert not [one.feature for one in reference.drift(sound, own, now, 0.01, changed) if one.alarm]
    wrong = [replace(one, scores=[0.5 * score for score in one.scores]) for one in now]
    assert "score" in {one.feature for one in reference.drift(sound, own, wrong, 0.01, changed) if one.alarm}


def test_a_bundle_without_a_reference_or_with_an_older_one_has_none(released: Path, tmp_path: Path) -> None:
    assert reference.load(tmp_path) is None
    content = json.loads((released / reference.FILE).read_text())
    del content["lengths"]
    (tmp_path / reference.FILE).write_text(json.dumps(content))
    assert reference.load(tmp_path) is None
