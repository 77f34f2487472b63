"""Trees in numpy say what LightGBM says, and refuse what they cannot read."""

import re
from pathlib import Path

import lightgbm as lgb
import numpy as np
import pytest

from recsys.errors import BundleError
from recsys.rankers._learned.tree_ensemble import MAX_LEAVES, Trees


def train(folder: Path, num_leaves: int, **settings: object) -> tuple[lgb.Booster, Path, np.ndarray]:
    """Trees on four features, one with gaps and one with gaps and negative numbers only where there was training."""
    random = np.random.default_rng(num_leaves)
    x = random.normal(size=(3_000, 4)).astype(np.float32)
    y = (x[:, 0] + x[:, 1] * x[:, 2] + random.normal(size=len(x)) > 1).astype(int)
    x[random.random(len(x)) < 0.2, 0] = np.nan
    given = {"objective": "lambdarank", "num_leaves": num_leaves, "verbosity": -1, "num_threads": 1, **settings}
    booster = lgb.train(given, lgb.Dataset(x, y, group=[30] * 100), 30)
    booster.save_model(folder / "model.txt")
    x[::7, 3] = np.nan  # never missing in training
    return booster, folder / "model.txt", x


@pytest.mark.parametrize("num_leaves", [2, 5, MAX_LEAVES])
@pytest.mark.parametrize("extra_trees", [False, True])
def test_the_same_scores_as_lightgbm(tmp_path: Path, num_leaves: int, extra_trees: bool) -> None:
    booster, path, x = train(tmp_path, num_leaves, extra_trees=extra_trees)
    trees = Trees(path)
    assert trees.features == booster.feature_name()
    np.testing.assert_allclose(trees.predict(x), booster.predict(x), rtol=0, atol=1e-6)


def test_a_row_on_a_threshold_goes_left_as_in_lightgbm(tmp_path: Path) -> None:
    """Thresholds lie between two values; here they are moved to where a float32 can hit them."""
    _, path, _ = train(tmp_path, 5)
    found: set[float] = set()

    def rounded(line: re.Match[str]) -> str:
        numbers = [float(np.float32(number)) for number in line[1].split()]
        found.update(numbers)
        return "threshold=" + " ".join(map(repr, numbers))

    text = re.sub(r"threshold=(.*)", rounded, path.read_text())
    path.write_text(text[: text.index("tree_sizes")] + text[text.index("\n\nTree=0") :])
    x = np.repeat(np.array(sorted(found))[:, None], 4, axis=1).astype(np.float32)
    x = np.concatenate([x, np.nextafter(x, np.float32(9)), np.nextafter(x, np.float32(-9))])
    np.testing.assert_allclose(Trees(path).predict(x), lgb.Booster(model_file=path).predict(x), rtol=0, atol=1e-6)


def test_trees_that_never_split_say_the_same_of_every_row(tmp_path: Path) -> None:
    booster, path, x = train(tmp_path, 5, min_data_in_leaf=100_000)
    np.testing.assert_allclose(Trees(path).predict(x), booster.predict(x), rtol=0, atol=1e-6)


def test_more_leaves_than_bits_are_refused(tmp_path: Path) -> None:
    _, path, _ = train(tmp_path, 20)
    with pytest.raises(
        BundleError, match=r"model.txt: not a readable model \(.*leaves, expected 1 to 8.*\); run `dvc repro"
    ):
        Trees(path)


@pytest.mark.parametrize("content", [None, "", "nonsense", "tree\nfeature_names=a b\n\nTree=0\nnum_leaves=2\n"])
def test_what_is_no_model_is_refused_in_one_line(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "model.txt").write_text(content)
    with pytest.raises(BundleError, match=r"model.txt: not a readable model"):
        Trees(tmp_path / "model.txt")
