"""The error of a confidence is nought where it says what happens, and as large as it is off where it does not."""

import numpy as np
import pytest

from recsys.evaluation import reliability
from recsys.evaluation.reporting import plots


def draw(confidence: np.ndarray) -> np.ndarray:
    return np.random.default_rng(1).random(len(confidence)) < confidence


def test_true_probabilities_have_no_more_error_than_chance_gives() -> None:
    true = np.random.default_rng(0).beta(1, 20, 50_000)
    found = reliability.figures(true, draw(true))
    assert found["ece"] < 2 * found["ece_by_chance"] < 0.005


def test_probabilities_that_are_twice_too_high_are_off_by_their_mean() -> None:
    true = np.random.default_rng(0).beta(1, 20, 50_000)
    found = reliability.figures(2 * true, draw(true))
    assert found["ece"] == pytest.approx(true.mean(), rel=0.05)
    assert found["brier"] > reliability.figures(true, draw(true))["brier"]


def test_chance_is_what_drawing_gives() -> None:
    true = np.random.default_rng(0).beta(1, 20, 5_000)
    drawn = np.random.default_rng(2).random((200, len(true))) < true
    mean = np.mean([reliability.ece(true, wanted) for wanted in drawn])
    assert reliability.ece_by_chance(true) == pytest.approx(mean, rel=0.05)


def test_against_a_loop() -> None:
    rng = np.random.default_rng(3)
    confidence, wanted = rng.random(1000), rng.random(1000) < 0.3
    by_confidence = sorted(zip(confidence, wanted, strict=True), key=lambda pair: pair[0])
    parts = [by_confidence[at : at + 100] for at in range(0, 1000, 100)]
    off = [abs(sum(p for p, _ in part) - sum(w for _, w in part)) for part in parts]
    assert reliability.ece(confidence, wanted) == pytest.approx(sum(off) / 1000)


def test_slots_without_a_confidence_do_not_count() -> None:
    confidence, wanted = np.array([0.5, np.nan, 0.5]), np.array([True, True, False])
    assert reliability.figures(confidence, wanted)["brier"] == 0.25
    assert reliability.table({"als": (confidence, wanted)})["slots"].sum() == 2


def test_without_slots_there_are_no_figures_and_an_empty_table() -> None:
    nothing = (np.empty(0), np.empty(0, dtype=np.bool_))
    assert reliability.figures(*nothing) == {}
    table = reliability.table({"als": nothing})
    assert table.is_empty()
    assert "<svg" in plots.reliability(table)
