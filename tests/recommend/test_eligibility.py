"""An item before its time is shown to nobody, whatever is asked; at its time it is."""

from dataclasses import replace

import numpy as np
import pytest

from recsys.bundle import bundle
from recsys.bundle.bundle import Bundle
from recsys.business_rules.schema import Pin, Rules
from recsys.business_rules.slate import compiled
from recsys.recommend.recommender import Recommender
from tests.support import bundles
from tests.support.queries import query, rows_of

NOW = bundles.NOW.timestamp()
COMING = 5  # a kitchen item


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    loaded = bundle.load(bundles.write(tmp_path_factory.mktemp("eligibility") / "bundle"))
    first_seen = loaded.catalogue.first_seen.copy()
    first_seen[COMING] = NOW + 60
    return replace(loaded, catalogue=replace(loaded.catalogue, first_seen=first_seen))


@pytest.mark.parametrize("user_id", ["anna", "a stranger"])
@pytest.mark.parametrize("variant", bundles.VARIANTS)
def test_an_item_is_shown_from_its_first_moment_on(shop: Bundle, variant: str, user_id: str) -> None:
    recommender = Recommender(shop, variant)
    for shown_at, there in ((NOW, False), (NOW + 59.9, False), (NOW + 60, True), (None, True)):
        asked = query(shop, user_id, k=23, shown_at=shown_at)
        assert (COMING in rows_of(recommender.recommend(asked))) == there
        assert bundles.NEW[0] in rows_of(recommender.recommend(asked))  # nobody knows since when


def test_nor_is_it_pinned_asked_for_or_like_another(shop: Bundle) -> None:
    recommender = Recommender(shop, "als")
    rules, _ = compiled(Rules(pin=[Pin(item=bundles.ITEM_IDS[COMING], position=1)]), shop)
    only = np.zeros(bundles.N_ITEMS, dtype=np.bool_)
    only[[COMING, 7]] = True
    asked = query(shop, "anna", k=2, shown_at=NOW)
    assert COMING not in rows_of(recommender.recommend(asked, rules))
    assert rows_of(recommender.recommend(replace(asked, only=only))) == {7}
    assert COMING not in rows_of(recommender.similar(4, replace(asked, k=20)))
    assert COMING in rows_of(recommender.recommend(replace(asked, shown_at=NOW + 60), rules))
