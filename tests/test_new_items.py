from collections.abc import Callable

import numpy as np
import polars as pl
import pytest

from recsys import bundle, new_items
from recsys.contracts import History, Query
from recsys.errors import DataError
from recsys.recommender import Recommender
from tests.tastes import (
    ARRIVED,
    ITEMS_A_TASTE,
    N_ITEMS,
    N_SOLD,
    NEW,
    NOW,
    TASTES,
    arriving,
    catalogue,
    fan_of,
    open_bundle,
)


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> bundle.Bundle:
    return open_bundle(tmp_path_factory.mktemp("bundle"))


def test_an_arriving_item_reaches_its_fans_and_them_first(loaded: bundle.Bundle) -> None:
    extended = new_items.add(loaded, arriving())
    recommender = Recommender(extended, "content")
    for taste, name in enumerate(TASTES):
        slots = [slot.row for slot in recommender.recommend(fan_of(taste)).slots]
        shown = [extended.catalogue.ids.external_id(row) for row in slots if row >= N_ITEMS]
        assert shown[0] == f"arrived-{name}"
        assert NEW[name] in slots


def test_its_vector_is_the_one_that_training_would_give(loaded: bundle.Bundle) -> None:
    """An item that says what one of the catalogue says is put in the same place, by numpy instead of torch."""
    twin = catalogue()[[NEW["sea"]]].with_columns(item_id=pl.lit("twin")).drop("row")
    extended = new_items.add(loaded, twin.with_columns(first_seen=pl.lit(ARRIVED).cast(pl.Datetime("us", "UTC"))))
    vectors = extended.models["content"].embeddings.vectors
    assert vectors[N_ITEMS] == pytest.approx(vectors[NEW["sea"]], abs=1e-5)


def test_a_like_of_it_tells_of_the_taste(loaded: bundle.Bundle) -> None:
    extended = new_items.add(loaded, arriving())
    for taste in range(len(TASTES)):
        history = History(
            np.array([N_ITEMS + taste], dtype=np.int32), np.ones(1, dtype=np.float32), np.array([NOW.timestamp()])
        )
        found = Recommender(extended, "content").recommend(Query(history=history, k=5, now=NOW.timestamp()))
        sold = [slot.row for slot in found.slots if slot.row < N_SOLD]
        assert sold
        assert all(row // ITEMS_A_TASTE == taste for row in sold)
        assert N_ITEMS + taste not in [slot.row for slot in found.slots]


def test_similar_items_of_it_share_its_taste(loaded: bundle.Bundle) -> None:
    extended = new_items.add(loaded, arriving())
    found = extended.models["content"].similar.to(N_ITEMS + 1, 5).rows
    assert all(row // ITEMS_A_TASTE == 1 or row in (NEW["garden"], N_ITEMS + 1) for row in found)


def test_the_catalogue_knows_it(loaded: bundle.Bundle) -> None:
    extended = new_items.add(loaded, arriving())
    seen = extended.catalogue
    assert len(seen) == N_ITEMS + 5
    assert seen.frame["item_id"].to_list() == [seen.ids.external_id(row) for row in range(len(seen))]
    assert seen.ids.position("arrived-music") == N_ITEMS + 2
    assert seen.ids.position("nobody knows") is None
    assert seen.ids.positions(["arrived-sea", "i3", "?"]).tolist() == [N_ITEMS + 3, 3]
    assert seen.popularity[N_ITEMS:].tolist() == [0] * 5
    assert seen.first_seen[N_ITEMS] == ARRIVED.timestamp()
    assert seen.available[N_ITEMS:].all()


def test_an_item_that_says_nothing_is_in_no_index(loaded: bundle.Bundle) -> None:
    extended = new_items.add(loaded, arriving())
    assert N_ITEMS + 4 not in extended.models["content"].embeddings.rows
    vector = extended.models["content"].embeddings.vectors[0]
    assert N_ITEMS + 4 not in extended.models["content"].index.search(vector, 1000)[0]


def test_what_cannot_be_sold_is_not_shown(loaded: bundle.Bundle) -> None:
    extended = new_items.add(loaded, arriving(available=[False] * 5))
    slots = Recommender(extended, "content").recommend(fan_of(0)).slots
    assert max(slot.row for slot in slots) < N_ITEMS


def test_a_model_that_knows_no_content_does_not_know_it(loaded: bundle.Bundle) -> None:
    extended = new_items.add(loaded, arriving())
    als = extended.models["als"]
    assert als.embeddings.vectors.shape[0] == N_ITEMS + 5
    assert als.embeddings.rows.max() < N_ITEMS
    assert als.encoder.encode(fan_of(0).history, NOW.timestamp()) is not None


def test_the_bundle_given_stays_as_it_is(loaded: bundle.Bundle) -> None:
    before = loaded.models["content"].embeddings.vectors.copy()
    new_items.add(loaded, arriving())
    assert len(loaded.catalogue) == N_ITEMS
    assert np.array_equal(loaded.models["content"].embeddings.vectors, before)


def test_items_can_be_added_again_and_again(loaded: bundle.Bundle) -> None:
    one_by_one = loaded
    for at in range(5):
        one_by_one = new_items.add(one_by_one, arriving()[at])
    at_once = new_items.add(loaded, arriving())
    for name in loaded.models:
        one, other = one_by_one.models[name], at_once.models[name]
        assert one.embeddings.vectors == pytest.approx(other.embeddings.vectors, abs=1e-6)
        assert (
            one.index.search(one.embeddings.vectors[0], 30)[0].tolist()
            == other.index.search(one.embeddings.vectors[0], 30)[0].tolist()
        )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda table: table.with_columns(item_id=pl.lit("i3")),
            "item_id 'i3' is in the catalogue already: send only new items",
        ),
        (lambda table: pl.concat([table, table]), "item_id 'arrived-kitchen' comes twice: send every item once"),
    ],
)
def test_bad_input_is_one_line(
    loaded: bundle.Bundle, change: Callable[[pl.DataFrame], pl.DataFrame], message: str
) -> None:
    with pytest.raises(DataError, match=f"^items: {message}$"):
        new_items.add(loaded, change(arriving()))
