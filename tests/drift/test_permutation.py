"""Drift between two sets of answers: alarms on a shift, hardly ever on nothing, however often persons return."""

import numpy as np
import pytest

from recsys.drift.permutation import Counts, Ints, compare

BINS = 6


def answers(rng: np.random.Generator, mixes: Counts, n: int, shift: float = 0.0) -> tuple[Ints, Counts]:
    """Persons who came and their counts; a person's answers are all alike in one visit."""
    visits = rng.integers(0, len(mixes), n)
    category = (mixes.cumsum(axis=1)[visits] < rng.random((n, 1))).sum(axis=1).clip(0, BINS - 1)
    category[rng.random(n) < shift] = BINS - 1
    counts = np.zeros((len(mixes), BINS), dtype=np.float32)
    np.add.at(counts, (visits, category), rng.integers(1, 5, n))
    came = np.flatnonzero(counts.sum(axis=1))
    return came, counts[came]


def alarms(seed: int, shift: float, known: bool) -> bool:
    rng = np.random.default_rng(seed)
    mixes = rng.dirichlet(np.full(BINS, 0.2), 300).astype(np.float32)
    (old, before), (new, now) = answers(rng, mixes, 400), answers(rng, mixes, 400, shift)
    rows, time = np.vstack([before, now]), np.repeat([0, 1], [len(old), len(new)])
    person = np.concatenate([old, new]) if known else np.full(len(rows), -1)
    return any(found.alarm for found in compare({"category": rows, "same": rows[:, :2]}, person, time, 0.05))


@pytest.mark.parametrize("known", [True, False])
def test_nothing_alarms_about_as_often_as_it_says_and_a_shift_always(known: bool) -> None:
    found = sum(alarms(seed, 0.0, known) for seed in range(120))
    assert found <= 13  # of 120 at 5 %: more has a chance of 1 in 200
    assert sum(alarms(seed, 0.25, known) for seed in range(10)) == 10


def test_answers_of_a_person_are_not_answers_of_many() -> None:
    """One person's 200 answers of one kind are no drift; those of 200 persons are."""
    crowd = np.tile(np.array([[1.0, 1.0]], dtype=np.float32), (200, 1))
    one = np.array([[0.0, 200.0]], dtype=np.float32)
    for rows, expected in ((np.vstack([crowd, crowd, one]), False), (np.vstack([crowd, crowd * [0.2, 1.8]]), True)):
        time = (np.arange(len(rows)) >= 200).astype(np.int64)
        found = compare({"x": rows.astype(np.float32)}, np.full(len(rows), -1), time)
        assert found[0].alarm is expected


@pytest.mark.parametrize("level", [0.01, 0.01 / 6, 0.01 / 42])
def test_one_feature_of_seven_can_alarm_at_any_level(level: float) -> None:
    """The smallest p of 2,999 permutations, 1 / 3,000, is no alarm at 1 / 6 of 1 % if the six others are quiet."""
    same = np.repeat(np.eye(2, dtype=np.float32), 200, axis=0)[np.random.default_rng(1).permutation(400)]
    time = np.repeat([0, 1], 200)
    counts = {f"same {at}": same for at in range(6)} | {"moved": np.eye(2, dtype=np.float32)[time]}
    assert [one.feature for one in compare(counts, np.full(400, -1), time, level) if one.alarm] == ["moved"]


def test_what_moved_is_the_share_that_would_have_to_move() -> None:
    def moved(now: tuple[float, float], persons: int) -> float:
        rows = np.repeat(np.array([[6, 4], now], dtype=np.float32), persons, axis=0)
        time, person = np.repeat([0, 1], persons), np.arange(2 * persons)
        found = compare({"x": rows}, person, time)
        assert found == compare({"x": rows}, person, time)
        return found[0].moved

    assert moved((2.0, 8.0), 10_000) == pytest.approx(0.4, abs=0.02)
    assert moved((6.0, 4.0), 10_000) == 0.0


def test_what_few_answers_differ_by_chance_has_not_moved() -> None:
    chance = np.random.default_rng(1)
    for _ in range(10):
        rows = np.eye(8, dtype=np.float32)[chance.integers(0, 8, 60)]
        time = np.repeat([0, 1], 30)
        [found] = compare({"x": rows}, np.arange(60), time)
        before, now = rows[:30].sum(axis=0), rows[30:].sum(axis=0)
        distance = np.abs(before - now).sum() / 60
        assert found.moved < distance - 0.1
