"""Confidence is a probability, follows its formula, and is silent where nothing was measured."""

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.bundle import bundle, calibration
from recsys.bundle.calibration import Calibration, Curve
from recsys.contracts import PIN, Slot
from recsys.errors import BundleError
from tests.support import bundles

ALS = Curve(bias=-2.0, score=0.5, rank=-0.25, known=0.1, scale=0.2, slots=100, wanted=9)
POPULAR = Curve(bias=-3.0, slots=50, wanted=2)
MEASURED = Calibration(horizon_days=7.5, curves={"als": {"als": ALS, "popular (fallback)": POPULAR}})


def test_the_formula() -> None:
    z = -2.0 + 0.5 * math.asinh(0.6 / 0.2) - 0.25 * math.log(4) + 0.1 * math.log(1 + 12)
    found = MEASURED.of("als", [Slot(4, 0.6, "als")], first_rank=4, n_known=12)[0]
    assert found == pytest.approx(1 / (1 + math.exp(-z)), rel=1e-12)


@given(
    score=st.floats(-1e30, 1e30), rank=st.integers(1, 10_000), n_known=st.integers(0, 10**9), bias=st.floats(-1e3, 1e3)
)
def test_never_0_and_never_1_whatever_the_score(score: float, rank: int, n_known: int, bias: float) -> None:
    assert 0 < ALS.model_copy(update={"bias": bias}).at(score, rank, n_known) < 1


def test_nothing_measured_is_no_number() -> None:
    pin, popular, fallback = Slot(1, 1.0, "pin"), Slot(2, 1.0, "popular"), Slot(3, 1.0, "popular", fallback=True)
    found = MEASURED.of("als", [pin, popular, fallback], 1, 3)
    assert found == [None, None, pytest.approx(1 / (1 + math.exp(3)))]  # popular was measured as fallback only
    assert MEASURED.of("other", [Slot(4, 1.0, "als")], 1, 3) == [None]


def test_ranks_count_on_from_the_first() -> None:
    slots = [Slot(4, 0.6, "als"), Slot(5, 0.5, "als")]
    assert MEASURED.of("als", slots, 3, 5) == [ALS.at(0.6, 3, 5), ALS.at(0.5, 4, 5)]
    assert MEASURED.of("als", [Slot(9, 1.0, PIN)], 1, 5) == [None]


def test_a_bundle_carries_it(tmp_path: Path) -> None:
    MEASURED.save(tmp_path / "measured.json")
    loaded = bundle.load(bundles.write(tmp_path / "with", calibration=tmp_path / "measured.json"))
    assert loaded.calibration == MEASURED
    assert calibration.FILE in [file.path for file in loaded.manifest.files]
    assert bundle.load(bundles.write(tmp_path / "without")).calibration is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "not a readable calibration"),
        ('{"horizon_days": 1, "curves": {"als": {"als": {"bias": 0, "rank": 0.1, "slots": 1, "wanted": 0}}}}', "rank"),
    ],
)
def test_an_unreadable_file_is_one_line(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "calibration.json").write_text(text)
    with pytest.raises(BundleError, match=reason) as error:
        calibration.load(tmp_path / "calibration.json")
    assert "\n" not in str(error.value)


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="run `dvc repro`"):
        bundles.write(tmp_path / "bundle", calibration=tmp_path / "nothing.json")
