"""The planted truth: taste shows in what is bought, words and categories carry it, and positions carry nothing."""

import numpy as np
import polars as pl
import pytest

from recsys.datasets.shop_world import catalogue, sessions
from recsys.datasets.shop_world.config import Config
from recsys.datasets.shop_world.items import BRANDS, N_STYLES, STYLES, SUB_DEPARTMENT, SUBS
from recsys.datasets.shop_world.sessions import Events
from recsys.datasets.shop_world.world import World, world

CONFIG = Config(
    events=50_000, users=1_500, items=2_000, days=120, new_item_share=0.2, new_user_share=0.3, dirt_share=0.0
)
VIEW, CART, PURCHASE = range(3)


@pytest.fixture(scope="module")
def shop() -> World:
    return world(CONFIG, seed=7)


@pytest.fixture(scope="module")
def events(shop: World) -> Events:
    """One busy day."""
    return sessions.day(shop, 60, CONFIG.events, np.random.default_rng(1))


@pytest.fixture(scope="module")
def items(shop: World) -> pl.DataFrame:
    return catalogue.frame(CONFIG, shop.items, np.random.default_rng(1))


def test_purchases_concentrate_in_the_planted_style(shop: World, events: Events) -> None:
    own = shop.items.style[events.item] == shop.users.style[events.user]
    assert own[events.step == VIEW].mean() > 3 / N_STYLES
    assert own[events.step == PURCHASE].mean() > 4 / N_STYLES


def test_the_deeper_in_the_funnel_the_greater_the_affinity(shop: World, events: Events) -> None:
    affinity = shop.affinity(events.user, events.item)
    viewed, carted = affinity[events.step == VIEW].mean(), affinity[events.step == CART].mean()
    by_chance = shop.affinity(events.user, np.random.default_rng(1).permutation(events.item)).mean()
    assert by_chance + 0.1 < viewed < carted - 0.1


def test_users_buy_at_their_price_level(shop: World, events: Events) -> None:
    bought = events.step == PURCHASE
    gap = np.abs(shop.users.price_level[events.user] - shop.items.price_level[events.item])
    assert gap[bought].mean() < gap[~bought].mean()


def test_every_purchase_was_a_cart_and_every_cart_a_look(events: Events) -> None:
    steps = np.flatnonzero(events.step > VIEW)
    assert (events.step[steps - 1] == events.step[steps] - 1).all()
    assert (events.item[steps - 1] == events.item[steps]).all()
    assert (events.user[steps - 1] == events.user[steps]).all()
    assert (events.seconds[steps - 1] < events.seconds[steps]).all()


def test_a_session_stays_with_similar_items(shop: World, events: Events) -> None:
    views = events.item[events.step == VIEW]
    users = events.user[events.step == VIEW]
    same = users[1:] == users[:-1]
    near = np.einsum("nd,nd->n", shop.items.vectors[views[1:]], shop.items.vectors[views[:-1]])
    assert near[same].mean() > near[~same].mean() + 0.2


def test_popularity_is_zipf(shop: World, events: Events) -> None:
    counts = np.sort(np.bincount(events.item, minlength=len(shop.items)))[::-1]
    ranks = np.arange(10, 500)
    slope = np.polyfit(np.log(ranks), np.log(counts[ranks]), 1)[0]
    assert -1.3 < slope < -0.7


def test_activity_of_users_is_heavy_tailed(events: Events) -> None:
    counts = np.sort(np.bincount(events.user))[::-1]
    assert counts[: len(counts) // 10].sum() > 0.25 * counts.sum()


def test_positions_carry_no_information(shop: World) -> None:
    position = np.arange(len(shop.items))
    for column in (shop.items.popularity, shop.items.arrives, shop.items.price, shop.items.style, shop.items.sub):
        ranks = pl.Series(column).rank("average")
        assert abs(np.corrcoef(position, ranks)[0, 1]) < 0.08  # 3.5 standard errors


def test_words_and_categories_carry_the_taste(shop: World, items: pl.DataFrame) -> None:
    for row, sub, brand in zip(items.to_dicts(), shop.items.sub, shop.items.brand, strict=True):
        department, sub_name = SUBS[sub]
        style, brand_name = BRANDS[brand]
        assert row["categories"] == [department, f"{department} > {sub_name}"]
        assert row["title"].endswith(f"by {brand_name}")
        assert any(row["title"].lower().startswith(word) for word in STYLES[style][0])
        assert any(row["text"].lower().startswith(word) for word in STYLES[style][0])


def test_items_of_one_style_and_department_are_alike(shop: World) -> None:
    rng = np.random.default_rng(1)
    one, other = rng.integers(len(shop.items), size=(2, 100_000))
    near = np.einsum("nd,nd->n", shop.items.vectors[one], shop.items.vectors[other])
    style = shop.items.style[one] == shop.items.style[other]
    department = SUB_DEPARTMENT[shop.items.sub[one]] == SUB_DEPARTMENT[shop.items.sub[other]]
    assert near[style & department & (one != other)].mean() > near[style ^ department].mean() + 0.2
    assert near[style ^ department].mean() > near[~style & ~department].mean() + 0.2


def test_items_sell_only_between_arrival_and_departure(shop: World) -> None:
    for day in (0, 60, 119):
        pace = shop.items.pace(day)
        there = (shop.items.arrives <= day) & (day < shop.items.leaves)
        assert ((pace > 0) == there).all()


def test_demand_moves_with_age_and_season(shop: World) -> None:
    launched = np.flatnonzero((shop.items.arrives > 0) & (shop.items.arrives < 60) & np.isinf(shop.items.leaves))
    days = shop.items.arrives[launched].astype(int)
    at_first = np.array([shop.items.pace(day)[item] for day, item in zip(days, launched, strict=True)])
    later = np.array([shop.items.pace(day + 45)[item] for day, item in zip(days, launched, strict=True)])
    assert np.median(at_first / later) > 2
    old = np.flatnonzero((shop.items.arrives < -200) & np.isinf(shop.items.leaves))
    change = np.log(shop.items.pace(110)[old] / shop.items.pace(10)[old])
    by_kind = [change[shop.items.sub[old] == sub].mean() for sub in range(len(SUBS))]
    assert np.ptp(by_kind) > 0.5


def test_the_truth_follows_from_config_and_seed_alone(shop: World) -> None:
    again, more = world(CONFIG, seed=7), world(CONFIG.model_copy(update={"items": 50, "events": 100}), seed=7)
    assert np.array_equal(again.pull, shop.pull)
    assert np.array_equal(more.users.vectors, shop.users.vectors)
    assert not np.array_equal(world(CONFIG, seed=8).users.vectors, shop.users.vectors)


def test_vectors_have_unit_length_and_affinity_is_their_cosine(shop: World) -> None:
    assert np.allclose(np.linalg.norm(shop.items.vectors, axis=1), 1)
    users, items = np.array([0, 3]), np.array([5, 2])
    expected = [shop.users.vectors[0] @ shop.items.vectors[5], shop.users.vectors[3] @ shop.items.vectors[2]]
    assert np.allclose(shop.affinity(users, items), expected)


def test_traffic_follows_the_customers(shop: World) -> None:
    traffic = sessions.traffic(shop)
    assert traffic.sum() == pytest.approx(1)
    assert traffic.min() > 0
