"""SHAP values are LightGBM's own, and add up to the score."""

from pathlib import Path

import numpy as np
import pytest

from recsys.rankers._learned.tree_ensemble import MAX_LEAVES, Trees
from tests.rankers.test_tree_ensemble import train


@pytest.mark.parametrize("num_leaves", [2, 5, MAX_LEAVES])
def test_the_same_contributions_as_lightgbm(tmp_path: Path, num_leaves: int) -> None:
    booster, path, x = train(tmp_path, num_leaves)
    trees, x = Trees(path), x[:200]
    theirs = np.asarray(booster.predict(x, pred_contrib=True))
    np.testing.assert_allclose(trees.shap.contributions(x), theirs[:, :-1], rtol=0, atol=1e-6)
    assert trees.shap.base == pytest.approx(theirs[0, -1], abs=1e-6)


def test_contributions_and_base_add_up_to_the_score(tmp_path: Path) -> None:
    _, path, x = train(tmp_path, MAX_LEAVES)
    trees = Trees(path)
    total = trees.shap.base + trees.shap.contributions(x[:300]).sum(axis=1)
    np.testing.assert_allclose(total, trees.predict(x[:300]), rtol=0, atol=1e-6)


def test_trees_that_never_split_are_all_base(tmp_path: Path) -> None:
    _, path, x = train(tmp_path, 5, min_data_in_leaf=100_000)
    trees = Trees(path)
    assert not trees.shap.contributions(x[:3]).any()
    assert trees.shap.base == pytest.approx(float(trees.predict(x[:1])[0]))
