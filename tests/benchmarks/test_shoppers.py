"""What is planted is what happens: position, mood, demand and weariness move the clicks as the model says."""

import itertools

import numpy as np
import pytest

from benchmarks.simulator.clicks import Appeal, ClickModel
from benchmarks.simulator.shoppers import Shoppers, Visit
from recsys.datasets.shop_world.config import Config
from recsys.datasets.shop_world.world import World, world

CONFIG = Config(events=1000, users=300, items=200, days=30, new_user_share=0.2, new_item_share=0.2, dirt_share=0.0)


@pytest.fixture(scope="module")
def shop() -> World:
    return world(CONFIG, seed=3)


def visits(shop: World, n: int) -> list[Visit]:
    return list(Shoppers(shop, seed=1).visits(20, n))


def test_clicks_happen_as_often_as_planted(shop: World) -> None:
    shoppers = Shoppers(shop, seed=1, clicks=ClickModel(fatigue=1.0))
    rows = [5, 9, 40, 7, 100]
    expected, clicked = np.zeros(5), np.zeros(5)
    for visit in visits(shop, 4000):
        expected += shoppers.probabilities(visit, rows)
        for deed in shoppers.react(visit, rows):
            clicked[deed.place] += deed.event == "click"
    assert clicked == pytest.approx(expected, rel=0.25)


def test_the_same_item_is_clicked_less_further_down(shop: World) -> None:
    visit = visits(shop, 1)[0]
    chances = Shoppers(shop, seed=1).probabilities(visit, [7] * 6)
    assert all(later == pytest.approx(earlier * 0.9) for earlier, later in itertools.pairwise(chances))


def test_the_mood_decides(shop: World) -> None:
    model = ClickModel(patience=1.0)
    shoppers, appeal = Shoppers(shop, seed=1, clicks=model), Appeal(shop, model).on(20)
    for visit in visits(shop, 20):
        best, worst = int(appeal[visit.mood].argmax()), int(appeal[visit.mood].argmin())
        high, low = shoppers.probabilities(visit, [best, worst])
        assert high == pytest.approx(model.most, rel=0.05)
        assert low == pytest.approx(model.least, rel=0.05)


def test_what_was_shown_often_is_clicked_less(shop: World) -> None:
    shoppers, visit = Shoppers(shop, seed=1), visits(shop, 1)[0]
    before = shoppers.probabilities(visit, [3])[0]
    shoppers.react(visit, [3])
    assert shoppers.probabilities(visit, [3])[0] == pytest.approx(before * 0.95)


def test_an_empty_place_is_never_clicked(shop: World) -> None:
    shoppers = Shoppers(shop, seed=1)
    for visit in visits(shop, 300):
        assert shoppers.probabilities(visit, [-1, 4])[0] == 0
        assert all(deed.place == 1 for deed in shoppers.react(visit, [-1, 4]))


def test_everything_follows_from_the_seed(shop: World) -> None:
    def day() -> list[object]:
        shoppers = Shoppers(shop, seed=5)
        return [(visit, shoppers.react(visit, [1, 2, 3])) for visit in shoppers.visits(12, 50)]

    assert day() == day()


def test_users_come_back_and_strangers_do_not(shop: World) -> None:
    found = [visit for day in range(10, 20) for visit in Shoppers(shop, seed=1).visits(day, 100)]
    strangers = [visit.user_id for visit in found if visit.user_id.startswith("stranger")]
    assert len(strangers) == len(set(strangers))
    assert len(strangers) == pytest.approx(100, abs=35)
    users = [visit.user_id for visit in found if not visit.user_id.startswith("stranger")]
    assert len(set(users)) < len(users) / 2
