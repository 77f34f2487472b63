"""Similar items from several models, how many are asked for, and how long live counts count."""

from dataclasses import replace

import numpy as np
import pytest

from recsys.bundle import bundle
from recsys.bundle.bundle import Bundle
from recsys.contracts import EMPTY_HISTORY, BoolArray, Candidates, IntArray, ItemItem, LiveCounts, Query
from recsys.recommend.circuit_breaker import CircuitBreakers
from recsys.recommend.live_counts import FOLLOWS, prior_persons
from recsys.recommend.recommender import Recommender
from recsys.recommend.request import has_live
from tests.recommend.test_paths import Rules
from tests.support import bundles

NOW = bundles.NOW.timestamp()
DAY = 86_400.0


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return bundle.load(bundles.write(tmp_path_factory.mktemp("similar") / "bundle"))


class Neighbours:
    """Knows the items similar to any item; notes how many were asked for."""

    def __init__(self, *rows: int) -> None:
        self.rows, self.asked = np.array(rows, dtype=np.int32), 0

    def to(self, row: int, n: int) -> Candidates:
        self.asked = n
        return Candidates(self.rows, np.linspace(1, 0.1, len(self.rows), dtype=np.float32))


def recommender(shop: Bundle, *models: Neighbours) -> Recommender:
    made, breakers = Recommender(shop, "als"), CircuitBreakers()
    made._similar = {str(at): (model, breakers.of(f"similar {at}")) for at, model in enumerate(models)}  # type: ignore[misc]
    return made


def test_the_first_model_that_knows_similar_items_answers(shop: Bundle) -> None:
    first, second = Neighbours(), Neighbours(4, 5, 6)
    third = Neighbours(7, 8, 9)
    slots = recommender(shop, first, second, third).similar(3, Query(EMPTY_HISTORY, 3, NOW)).slots
    assert [slot.row for slot in slots] == [4, 5, 6]
    assert (second.asked > 0, third.asked) == (True, 0)


def test_what_is_asked_of_a_model_makes_up_for_the_history_and_what_is_excluded(shop: Bundle) -> None:
    model = Neighbours(4, 5)
    small = recommender(shop, model)
    small._candidates = 1
    history = shop.histories.of("anna")
    small.similar(3, Query(history, 2, NOW, exclude=np.array([15, 16], dtype=np.int32)))
    assert model.asked == 2 + len(history) + 2 + 1


class Capped(Rules):
    """Says of most items that a cap leaves them out."""

    def keep(self, query: Query, rows: IntArray) -> BoolArray:
        return np.isin(rows, [4, 5, 6, 7])


def test_similar_items_say_nothing_of_caps_that_do_not_apply(shop: Bundle) -> None:
    slate = recommender(shop, Neighbours(4)).similar(3, Query(EMPTY_HISTORY, 9, NOW), Capped(room=2))
    assert slate.shortfall is not None
    assert "caps" not in slate.shortfall


def live(read_at: float, rows: tuple[int, ...] = (1,)) -> LiveCounts:
    follows = ItemItem(
        np.array([0, len(rows)]), np.array(rows, dtype=np.int32), np.ones(len(rows), np.float32), FOLLOWS
    )
    popular = Candidates(np.array([0], dtype=np.int32), np.ones(1, np.float32))
    return LiveCounts(read_at, np.ones(1, np.float32), 1.0, popular, follows, "v", bytes)


def test_live_counts_count_for_one_half_life() -> None:
    asked = Query(EMPTY_HISTORY, 3, now=5 * DAY, shown_at=10 * DAY)
    assert has_live(replace(asked, live=live(8 * DAY)), half_life_days=2)
    assert not has_live(replace(asked, live=live(8 * DAY - 1)), half_life_days=2)
    assert has_live(replace(asked, live=live(4 * DAY), shown_at=None), half_life_days=2)
    assert not has_live(replace(asked, live=live(9 * DAY, rows=())), half_life_days=2)
    assert not has_live(asked, half_life_days=2)


def test_a_shop_of_one_item_has_no_drift(shop: Bundle) -> None:
    counts = np.zeros(len(shop.catalogue), dtype=np.float32)
    counts[3] = 8
    assert prior_persons(replace(shop.catalogue, recent=counts, popularity=counts)) == 8
