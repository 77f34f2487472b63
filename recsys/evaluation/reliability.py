"""Measures how well confidences are calibrated: reliability table, expected calibration error, Brier score."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import polars as pl

from recsys.contracts import BoolArray
from recsys.evaluation.results import DIGITS, FLOATS

Floats = npt.NDArray[np.float64]

BINS = 10


def bins(confidence: Floats, wanted: BoolArray) -> pl.DataFrame:
    """Group slots by confidence into ten bins of equal size: number of slots, mean confidence, share of relevant ones.

    With bins of equal width nearly all slots of a recommender would be in the first one. wanted: relevant or not.

    >>> bins(np.array([0.1, 0.1, 0.3, 0.3]), np.array([False, False, False, True])).rows()[:2]
    [(1, 0.1, 0.0), (1, 0.1, 0.0)]
    """
    order = np.argsort(confidence, kind="stable")
    parts = [part for part in np.array_split(order, BINS) if len(part)]
    rows = [(len(part), float(confidence[part].mean()), float(wanted[part].mean())) for part in parts]
    return pl.DataFrame(rows, {"slots": pl.Int64, "confidence": pl.Float64, "wanted": pl.Float64}, orient="row")


def ece(confidence: Floats, wanted: BoolArray) -> float:
    """Expected calibration error: mean over the bins of |confidence - share of relevant slots|, weighted by slots.

    Every slot has confidence 20 %, but only one in ten is relevant:

    >>> round(ece(np.full(200, 0.2), np.arange(200) % 10 == 0), 3)
    0.1

    Source: Naeini, Cooper, Hauskrecht, "Obtaining well calibrated probabilities using Bayesian binning", AAAI 2015;
    Guo et al., "On calibration of modern neural networks", ICML 2017, equation 3 (there with bins of equal width).
    """
    table = bins(confidence, wanted)
    return float(np.average((table["confidence"] - table["wanted"]).abs(), weights=table["slots"]))


def ece_by_chance(confidence: Floats) -> float:
    """Return approximately the ECE that perfect confidences would have with this number of slots, by chance.

    The mean distance of a normal variable from its mean is sqrt(2 / pi) standard deviations. Slots of one user are
    correlated, so the true value is somewhat higher.
    """
    order = np.argsort(confidence, kind="stable")
    spread = [np.sqrt((confidence[part] * (1 - confidence[part])).sum()) for part in np.array_split(order, BINS)]
    return float(np.sqrt(2 / np.pi) * np.sum(spread) / len(confidence))


def brier(confidence: Floats, wanted: BoolArray) -> float:
    """Mean squared distance of each confidence from the outcome, 0 or 1.

    >>> brier(np.array([0.5, 1.0]), np.array([True, True]))
    0.125

    Source: Brier, "Verification of forecasts expressed in terms of probability", 1950.
    """
    return float(np.mean((confidence - wanted) ** 2))


def figures(confidence: Floats, wanted: BoolArray) -> dict[str, float]:
    """Return metric -> value for `dvc metrics`, over the slots with a confidence; empty if there are none."""
    known = np.isfinite(confidence)
    mine, found = confidence[known], wanted[known]
    if not len(mine):
        return {}
    values = {"ece": ece(mine, found), "ece_by_chance": ece_by_chance(mine), "brier": brier(mine, found)}
    return {name: round(value, DIGITS) for name, value in values.items()}


def table(found: Mapping[str, tuple[Floats, BoolArray]]) -> pl.DataFrame:
    """Return a row per variant and bin, see `bins`. found: variant -> (confidences, whether slots were relevant)."""
    parts = []
    for variant, (confidence, wanted) in found.items():
        known = np.isfinite(confidence)
        parts.append(bins(confidence[known], wanted[known]).with_columns(variant=pl.lit(variant)))
    return pl.concat(parts).select("variant", "slots", "confidence", "wanted").with_columns(FLOATS.round(DIGITS))
