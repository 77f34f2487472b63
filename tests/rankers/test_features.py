"""Every feature is what its name says."""

import numpy as np
import pytest

from recsys.bundle import bundle
from recsys.bundle.bundle import Bundle
from recsys.contracts import EMPTY_HISTORY, History, Query
from recsys.rankers._learned.features import DEMANDS, LIKED_SHARE, RankingFeatures, by_formula, names
from tests.support import bundles

NOW = bundles.NOW.timestamp()
DAY = 86_400.0


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return bundle.load(bundles.write(tmp_path_factory.mktemp("features") / "bundle"))


def ask(shop: Bundle, history: History, rows: list[int]) -> dict[str, np.ndarray]:
    """The features of these rows by name."""
    query = Query(history, 5, NOW, vectors={"als": shop.models["als"].encoder.encode(history, NOW)})
    every = list(names(["als"], ["covisit"], repeat=True))
    table = RankingFeatures(shop, every).of(query, np.array(rows, dtype=np.int32))
    assert table.dtype == np.float32
    assert table.shape == (len(rows), len(every))
    return dict(zip(every, table.T, strict=True))


def likes(rows: list[int], weights: list[float] | None = None) -> History:
    times = NOW - DAY * np.arange(len(rows), 0, -1, dtype=np.float64)
    return History(np.array(rows, dtype=np.int32), np.array(weights or [1.0] * len(rows), dtype=np.float32), times)


def test_what_a_model_says_of_a_kitchen_fan(shop: Bundle) -> None:
    history, rows = likes([0, 1, 2]), [12, 4, 9, 20]  # garden, kitchen, kitchen, unknown to the model
    found = ask(shop, history, rows)
    vector = shop.models["als"].encoder.encode(history, NOW)
    assert vector is not None
    scores = bundles.vectors()[rows[:3]] @ vector
    np.testing.assert_allclose(found["als_score"], [*scores / scores.max(), np.nan], rtol=1e-5)
    np.testing.assert_allclose(found["als_rank"][:3], np.log1p(np.argsort(np.argsort(-scores))), rtol=1e-6)
    liked, shown = bundles.vectors()[[0, 1, 2]], bundles.vectors()[rows[:3]]
    cosines = (shown @ liked.T) / np.linalg.norm(shown, axis=1)[:, None] / np.linalg.norm(liked, axis=1)
    np.testing.assert_allclose(found["als_nearest"][:3], cosines.max(axis=1), rtol=1e-5)
    np.testing.assert_allclose(found["als_likeness"][:3], cosines.mean(axis=1), rtol=1e-5)
    share = shop.catalogue.recent[rows] / (shop.catalogue.popularity[rows] + 20)
    np.testing.assert_allclose(found["recent_share"], share, rtol=1e-6)
    np.testing.assert_allclose(found["als_times_recent"][:3], found["als_score"][:3].clip(0) * share[:3], rtol=1e-5)
    assert np.isnan([found[name][3] for name in found if name.startswith("als_")]).all()


def test_only_the_newest_likes_count_for_the_cosines(shop: Bundle) -> None:
    """Twenty kitchen items, the last ones, hide an older garden item; one seen but not liked never counts."""
    long = likes([10, *[row % 10 for row in range(20)]])
    assert ask(shop, long, [11])["als_nearest"][0] < 0.5
    assert ask(shop, likes([10, *[row % 10 for row in range(19)]]), [11])["als_nearest"][0] > 0.9
    assert ask(shop, likes([10, 0], [0.0, 1.0]), [11])["als_nearest"][0] < 0.5


def test_of_the_user(shop: Bundle) -> None:
    found = ask(shop, likes([0, 1, 1, 2], [1, 1, 5, 0]), [4, 5])
    assert found["liked"].tolist() == [2, 2]
    np.testing.assert_allclose(found["idle_days"], 1)


def test_nothing_known_of_the_user_is_nan_and_the_items_are_still_there(shop: Bundle) -> None:
    found = ask(shop, EMPTY_HISTORY, [0, bundles.SOLD_OUT])
    assert np.isnan([found[name] for name in found if name.startswith("als_")]).all()
    assert np.isnan(found["idle_days"]).all()
    assert found["recent_demand"][1] > found["recent_demand"][0] > 0


def test_a_formula_puts_last_what_it_knows_nothing_about_by_demand() -> None:
    feature = np.array([np.nan, 0.5, -1.0, np.nan, 2.0], dtype=np.float32)
    order = np.argsort(-by_formula(feature, np.array([1, 0, 0, 9, 0], dtype=np.float32)), kind="stable")
    assert order.tolist() == [4, 1, 2, 3, 0]


def test_of_pairs_and_repeats(shop: Bundle) -> None:
    """From kitchen item 0, item 1 follows first; who liked it twice, three days apart, may come back."""
    found = ask(shop, likes([5, 0, 1, 2, 0]), [1, 0, 9])
    assert found["covisit_score"].max() == 1
    assert found["covisit_rank"][found["covisit_score"].argmax()] == 0
    assert found["repeat_visits"][:2].tolist() == [1, 2]
    assert found["repeat_days"][:2].tolist() == [3, 1]
    np.testing.assert_allclose(found["repeat_gaps"][1], 1 / 3, rtol=1e-6)
    assert np.isnan(found["repeat_gaps"][[0, 2]]).all()
    assert found["repeat_score"][2] == 0
    assert found["repeat_often_infd"].tolist() == [0.5, 1, 0]
    last, before = 0.5 ** (1 / 7), 0.5 ** (4 / 7)  # one and four days ago
    np.testing.assert_allclose(found["repeat_often_7d"][0], 0.5 ** (3 / 7) / (last + before), rtol=1e-5)


def test_demand_at_every_half_life_is_relative_to_the_most_demanded(shop: Bundle) -> None:
    rows = list(range(bundles.N_ITEMS))
    found = ask(shop, likes([0]), rows)
    assert not found["demand_1h"].any(), "nothing is so recent here"
    for name in list(DEMANDS)[3:]:
        assert found[name].max() == 1
    assert found["demand_24h"].tolist() != found["demand_4320h"].tolist()


def test_the_share_that_liked_an_item_is_offered_where_it_tells_items_apart(shop: Bundle) -> None:
    assert LIKED_SHARE not in names(["als"])
    assert names(["als"], liked_share=True)[LIKED_SHARE] == 1, "more likes never lower a score"
    rows = np.arange(bundles.N_ITEMS, dtype=np.int32)[::-1]
    found = RankingFeatures(shop, [LIKED_SHARE]).of(Query(EMPTY_HISTORY, 5, NOW), rows)
    np.testing.assert_array_equal(found[:, 0], shop.catalogue.liked_share[rows])
