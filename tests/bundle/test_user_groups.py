"""Lifts are those of a count by hand, and 1 where nothing is known."""

import numpy as np
import polars as pl
import pytest

from recsys.bundle.user_groups import UserGroups

VALUES = ["de", "fr", None, "de", "fr", "de", "none likes"]


@pytest.mark.parametrize("smoothing", [0.0, 5.0])
def test_lifts_are_those_of_a_count_by_hand(smoothing: float) -> None:
    random = np.random.default_rng(1)
    owners = random.integers(6, size=60).astype(np.int32)
    rows = random.integers(8, size=60).astype(np.int32)
    groups = UserGroups(pl.Series(VALUES), owners, rows)
    pairs = {(VALUES[user], user, row) for user, row in zip(owners.tolist(), rows.tolist(), strict=True)}
    pairs = {pair for pair in pairs if pair[0] is not None}
    for value in ("de", "fr"):
        usual = sum(pair[0] == value for pair in pairs) / len(pairs)
        found = groups.lift(value, np.arange(12, dtype=np.int32), smoothing)
        for row, lift in enumerate(found.tolist()):
            likes = [pair[0] == value for pair in pairs if pair[2] == row]
            share = (sum(likes) + smoothing * usual) / (len(likes) + smoothing) if likes else usual
            assert lift == pytest.approx(share / usual, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("value", ["it", None, "3", '["de"]', "none likes"])
def test_an_unknown_value_changes_nothing(value: str | None) -> None:
    rows = np.array([0, 1, 99], dtype=np.int32)
    groups = UserGroups(pl.Series(VALUES), np.array([0, 1], dtype=np.int32), np.array([0, 1], dtype=np.int32))
    assert groups.lift(value, rows, 20.0).tolist() == [1, 1, 1]
    nobody = UserGroups(pl.Series(["de"]), np.empty(0, dtype=np.int32), np.empty(0, dtype=np.int32))
    assert nobody.lift("de", rows, 20.0).tolist() == [1, 1, 1]
