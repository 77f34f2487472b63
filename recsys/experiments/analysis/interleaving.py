"""Compares two variants whose items are interleaved in one list (`team_draft.py`), with less traffic than an A/B test.

The credit of a unit is the share of its clicks on items of list B minus the share on items of list A. The test is
whether the mean credit over units is zero.

Source: Radlinski, Kurup, Joachims, "How does clickthrough data reflect retrieval quality?", CIKM 2008.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl
from scipy.stats import ttest_1samp

from recsys.experiments.online.team_draft import B


@dataclass(frozen=True)
class Preference:
    """The result. score: mean credit, from -1 (all clicks on A) to 1 (all on B), with the interval low to high. units:
    number of units with a click."""

    score: float
    low: float
    high: float
    p_value: float
    units: int


def preference(clicks: pl.DataFrame, alpha: float = 0.05) -> Preference:
    """Compare the two lists. clicks: unit, team ("a" or "b"), one row per click on an interleaved answer."""
    by_unit = clicks.group_by("unit").agg(score=(pl.col("team") == B).mean() * 2 - 1).sort("unit")
    scores = by_unit["score"].to_numpy()
    if len(scores) < 2:
        return Preference(float(scores.mean()) if len(scores) else 0.0, -1.0, 1.0, 1.0, len(scores))
    if np.ptp(scores) == 0:  # all equal, so no t-test: the p-value of as many equal coin tosses
        score = float(scores[0])
        return Preference(score, score, score, 0.5 ** (len(scores) - 1) if score else 1.0, len(scores))
    test = ttest_1samp(scores, 0.0)
    interval = test.confidence_interval(1 - alpha)
    p_value = float(test.pvalue) if np.isfinite(test.pvalue) else 1.0
    return Preference(float(scores.mean()), float(interval.low), float(interval.high), p_value, len(scores))
