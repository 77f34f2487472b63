"""Who gets the items that nobody has met."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from recsys.bundle import bundle, catalogue
from recsys.bundle.items import item_upsert
from recsys.contracts import EMPTY_HISTORY, NO_CANDIDATES, NO_ROWS, Query
from recsys.recommend.recommender import Recommender
from recsys.sources import new
from tests.support.tastes import N_ITEMS, N_SOLD, NEW, NOW, TASTES, arriving, fan_of, open_bundle

STRANGER = Query(EMPTY_HISTORY, k=10, now=NOW.timestamp())


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> bundle.Bundle:
    return open_bundle(tmp_path_factory.mktemp("bundle"))


def without_content(loaded: bundle.Bundle) -> bundle.Bundle:
    return replace(loaded, models={"als": loaded.models["als"]})


def source(loaded: bundle.Bundle) -> new.New:
    return new.build(loaded, new.Config())


def test_a_new_item_is_proposed_to_its_fans_first(loaded: bundle.Bundle) -> None:
    proposed = [int(source(loaded).propose(fan_of(taste), 1).rows[0]) for taste in range(len(TASTES))]
    assert proposed == list(NEW.values())


def test_only_items_that_few_users_liked(loaded: bundle.Bundle) -> None:
    found = source(loaded).propose(fan_of(0), N_ITEMS)
    assert set(NEW.values()) <= set(found.rows.tolist())
    assert loaded.catalogue.popularity[found.rows].max() <= catalogue.FEW_LIKES < loaded.catalogue.popularity.max()
    assert (np.diff(found.scores) <= 0).all()


def test_the_vector_that_the_main_path_made_is_used(loaded: bundle.Bundle) -> None:
    vector = loaded.models["content"].encoder.encode(fan_of(1).history, NOW.timestamp())
    found = source(loaded).propose(replace(fan_of(0), vectors={"content": vector}), 1)
    assert found.rows.tolist() == [NEW[TASTES[1]]]


def test_it_has_nothing_to_say_to_a_stranger(loaded: bundle.Bundle) -> None:
    assert source(loaded).propose(STRANGER, 10) is NO_CANDIDATES


def test_what_cannot_be_sold_is_not_proposed(loaded: bundle.Bundle) -> None:
    available = loaded.catalogue.available.copy()
    available[NEW["sea"]] = False
    changed = replace(loaded, catalogue=replace(loaded.catalogue, available=available))
    assert NEW["sea"] not in source(changed).propose(fan_of(3), N_ITEMS).rows


def test_an_item_that_was_added_is_proposed_at_once(loaded: bundle.Bundle) -> None:
    extended = item_upsert.upsert(loaded, arriving())
    for taste in range(len(TASTES)):
        found = source(extended).propose(fan_of(taste), 2).rows.tolist()
        assert set(found) == {NEW[TASTES[taste]], N_ITEMS + taste}


def test_without_a_model_of_content_the_newest_come_first(loaded: bundle.Bundle) -> None:
    since = np.full(N_ITEMS, (NOW - timedelta(days=30)).timestamp())
    since[NEW["garden"]] = (NOW - timedelta(days=1)).timestamp()
    since[NEW["music"]] = np.nan  # nobody knows since when: today
    plain = without_content(loaded)
    plain = replace(plain, catalogue=replace(plain.catalogue, first_seen=since))
    for query in (STRANGER, fan_of(0)):
        assert source(plain).propose(query, 2).rows.tolist() == [NEW["music"], NEW["garden"]]


def test_what_will_be_new_is_not_newer_than_now(loaded: bundle.Bundle) -> None:
    """An offline evaluation asks about the past: when an item will arrive must not leak into the order."""
    since = np.full(N_ITEMS, datetime(2030, 1, 1, tzinfo=UTC).timestamp())
    plain = without_content(loaded)
    plain = replace(plain, catalogue=replace(plain.catalogue, first_seen=since))
    assert set(source(plain).propose(STRANGER, N_ITEMS).scores.tolist()) == {1.0}


def test_nothing_is_new(loaded: bundle.Bundle) -> None:
    known = replace(loaded, catalogue=replace(loaded.catalogue, popularity=np.full(N_ITEMS, 9, dtype=np.float32)))
    for settled in (known, without_content(known)):
        assert source(settled).propose(fan_of(0), 5).rows.tolist() == NO_ROWS.tolist()


def test_a_variant_gives_its_share_of_slots_to_new_items(loaded: bundle.Bundle) -> None:
    recommender, fan = Recommender(loaded, "content_new"), fan_of(2)
    lists = [recommender.recommend(replace(fan, k=10, user_id=str(user))).slots for user in range(20)]
    for slots in lists:
        assert [slot.source == "new" for slot in slots] == [False] * 8 + [True] * 2
        assert slots[8].row == NEW["music"]
        assert all(slot.row < N_SOLD or slot.source == "new" for slot in slots)
