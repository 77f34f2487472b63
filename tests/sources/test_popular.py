"""What is popular, and what of it a new user is shown who chose categories."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from recsys.bundle import bundle
from recsys.contracts import EMPTY_HISTORY, IntArray, Query
from recsys.recommend.recommender import Recommender
from recsys.sources import popular
from tests.support import bundles

QUERY = Query(EMPTY_HISTORY, k=10, now=bundles.NOW.timestamp())


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> bundle.Bundle:
    folder: Path = tmp_path_factory.mktemp("shop")
    return bundle.load(bundles.write(folder / "bundle"))


def proposed(shop: bundle.Bundle, *categories: str) -> IntArray:
    found = popular.build(shop, popular.Config()).propose(replace(QUERY, categories=categories), bundles.N_ITEMS)
    assert (np.diff(found.scores) <= 0).all()
    return found.rows


def test_the_chosen_categories_come_first_then_the_rest_each_by_popularity(shop: bundle.Bundle) -> None:
    everyone, gardener = proposed(shop), proposed(shop, "garden")
    garden = [*bundles.GARDEN, bundles.ODD]
    chosen = [row for row in everyone.tolist() if row in garden]
    assert chosen != everyone.tolist()[: len(chosen)]
    assert gardener.tolist() == chosen + [row for row in everyone.tolist() if row not in garden]


def test_several_categories_are_one_choice(shop: bundle.Bundle) -> None:
    both, everyone = proposed(shop, "garden > tools", "kitchen").tolist(), proposed(shop).tolist()
    outside = [row for row in everyone if row in (*bundles.NEW, bundles.ODD)]
    assert both == [row for row in everyone if row not in outside] + outside
    assert outside


def test_a_category_that_nobody_knows_changes_nothing(shop: bundle.Bundle) -> None:
    assert proposed(shop, "spaceships").tolist() == proposed(shop).tolist()
    assert proposed(shop, "spaceships", "garden").tolist() == proposed(shop, "garden").tolist()


def test_a_new_user_is_answered_from_the_categories_chosen(shop: bundle.Bundle) -> None:
    answer = Recommender(shop, "als").recommend(replace(QUERY, categories=("garden",)))
    assert answer.fallback_reason == "no_history"
    assert {slot.row for slot in answer.slots} <= {*bundles.GARDEN, bundles.ODD}
