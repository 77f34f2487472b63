import numpy as np
import pytest

from recsys.bundle.ivf_lists import SPREAD, WIDTH, padded, partition
from recsys.contracts import FloatArray


def vectors(n: int = 2000, dim: int = 10, seed: int = 0) -> FloatArray:
    draw = np.random.default_rng(seed)
    return (draw.normal(size=(n, dim)) * draw.lognormal(0, 1, size=(n, 1))).astype(np.float32)


def test_every_list_has_a_centre_and_holds_items_of_like_length() -> None:
    items = vectors()
    lists, centres = partition(items, seed=1)
    assert lists.shape == (2000,)
    assert lists.max() < len(centres) < 4 * np.sqrt(2000)
    lengths = np.linalg.norm(items, axis=1)
    for number in np.unique(lists):
        mine = lengths[lists == number]
        assert mine.max() <= 2 * mine.min() or mine.max() < lengths.max() / 2**10


def test_a_centre_is_the_mean_and_the_spread_of_its_list() -> None:
    items = vectors()
    lists, centres = partition(items, seed=1)
    mine = items[lists == 3]
    np.testing.assert_allclose(centres[3, :10], mine.mean(axis=0), atol=1e-5)
    sigma = np.sqrt(np.square(mine - mine.mean(axis=0)).mean())
    assert centres[3, 10] == pytest.approx(SPREAD * sigma, rel=1e-4)


def test_padding_leaves_inner_products_alone_but_for_the_number_added() -> None:
    items, query = vectors(5), vectors(1, seed=2)
    wide = padded(items, 0.0)
    assert wide.shape == (5, 16)
    assert wide.shape[1] % WIDTH == 0
    np.testing.assert_allclose(wide @ padded(query, 7.0)[0], items @ query[0], rtol=1e-5)
    assert padded(query, 7.0)[0] @ padded(query, 2.0)[0] == pytest.approx(float(query[0] @ query[0]) + 14.0, rel=1e-5)
