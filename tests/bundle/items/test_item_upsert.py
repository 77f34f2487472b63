from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from recsys.bundle import bundle
from recsys.bundle.items import item_upsert
from recsys.contracts import History, Query
from recsys.errors import DataError
from recsys.recommend.recommender import Recommender
from tests.support.tastes import (
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
    extended = item_upsert.upsert(loaded, arriving())
    recommender = Recommender(extended, "content")
    for taste, name in enumerate(TASTES):
        slots = [slot.row for slot in recommender.recommend(fan_of(taste)).slots]
        shown = [extended.catalogue.ids.external_id(row) for row in slots if row >= N_ITEMS]
        assert shown[0] == f"arrived-{name}"
        assert NEW[name] in slots


def test_its_vector_is_the_one_that_training_would_give(loaded: bundle.Bundle) -> None:
    """An item that says what one of the catalogue says is put in the same place, by numpy instead of torch."""
    twin = catalogue()[[NEW["sea"]]].with_columns(item_id=pl.lit("twin")).drop("row")
    extended = item_upsert.upsert(loaded, twin.with_columns(first_seen=pl.lit(ARRIVED).cast(pl.Datetime("us", "UTC"))))
    vectors = extended.models["content"].embeddings.vectors
    assert vectors[N_ITEMS] == pytest.approx(vectors[NEW["sea"]], abs=1e-5)


def test_a_like_of_it_tells_of_the_taste(loaded: bundle.Bundle) -> None:
    extended = item_upsert.upsert(loaded, arriving())
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
    extended = item_upsert.upsert(loaded, arriving())
    found = extended.models["content"].similar.to(N_ITEMS + 1, 5).rows
    assert all(row // ITEMS_A_TASTE == 1 or row in (NEW["garden"], N_ITEMS + 1) for row in found)


def test_the_catalogue_knows_it(loaded: bundle.Bundle) -> None:
    extended = item_upsert.upsert(loaded, arriving())
    seen = extended.catalogue
    assert len(seen) == N_ITEMS + 5
    assert seen.frame["item_id"].to_list() == [seen.ids.external_id(row) for row in range(len(seen))]
    assert seen.ids.position("arrived-music") == N_ITEMS + 2
    assert seen.ids.position("nobody knows") is None
    assert seen.ids.positions(["arrived-sea", "i3", "?"]).tolist() == [N_ITEMS + 3, 3]
    assert seen.popularity[N_ITEMS:].tolist() == [0] * 5
    for shares in (seen.liked_share, seen.frame["liked_share"].to_numpy()):
        assert np.isnan(shares).tolist() == [*np.isnan(loaded.catalogue.liked_share), *[True] * 5]
    assert seen.first_seen[N_ITEMS] == ARRIVED.timestamp()
    assert seen.available[N_ITEMS:].all()


PRICED = pl.DataFrame({"item_id": ["i3"], "price": [1000.0]})
RENAMED = pl.DataFrame({"item_id": ["i3", "i4"], "categories": [["sea", "moved"], None]})


@pytest.mark.parametrize("items", [PRICED, RENAMED, arriving(), pl.concat([arriving(), RENAMED], how="diagonal")])
def test_what_is_kept_of_all_items_is_what_would_be_computed(loaded: bundle.Bundle, items: pl.DataFrame) -> None:
    after = item_upsert.upsert(loaded, items).catalogue
    anew = replace(after)  # nothing is kept in it
    assert {"by_popularity", "by_recent"} <= vars(after).keys() - vars(anew).keys()
    assert after.by_popularity.tolist() == anew.by_popularity.tolist()
    assert after.by_recent.tolist() == anew.by_recent.tolist()
    assert {name: rows.tolist() for name, rows in after.of_category.items()} == {
        name: rows.tolist() for name, rows in anew.of_category.items()
    }


def test_a_new_price_copies_the_vectors_of_no_model_that_does_not_read_it(loaded: bundle.Bundle) -> None:
    changed = item_upsert.upsert(loaded, PRICED)
    assert changed.models["als"] is loaded.models["als"]
    assert changed.catalogue.frame["price"][3] == 1000


def test_an_item_that_says_nothing_is_in_no_index(loaded: bundle.Bundle) -> None:
    extended = item_upsert.upsert(loaded, arriving())
    assert N_ITEMS + 4 not in extended.models["content"].embeddings.rows
    vector = extended.models["content"].embeddings.vectors[0]
    assert N_ITEMS + 4 not in extended.models["content"].index.search(vector, 1000)[0]


def test_an_item_that_says_nothing_any_more_is_in_no_index_either(loaded: bundle.Bundle) -> None:
    extended = item_upsert.upsert(loaded, arriving())
    model = item_upsert.upsert(extended, arriving(title=[""] * 5)).models["content"]
    assert N_ITEMS not in model.embeddings.rows
    assert N_ITEMS not in model.index.search(model.embeddings.vectors[0], 1000)[0]


def test_what_cannot_be_sold_is_not_shown(loaded: bundle.Bundle) -> None:
    extended = item_upsert.upsert(loaded, arriving(available=[False] * 5))
    slots = Recommender(extended, "content").recommend(fan_of(0)).slots
    assert max(slot.row for slot in slots) < N_ITEMS


def test_a_model_that_knows_no_content_does_not_know_it(loaded: bundle.Bundle) -> None:
    extended = item_upsert.upsert(loaded, arriving())
    als = extended.models["als"]
    assert als.embeddings.vectors.shape[0] == N_ITEMS + 5
    assert als.embeddings.rows.max() < N_ITEMS
    assert als.encoder.encode(fan_of(0).history, NOW.timestamp()) is not None


def test_the_bundle_given_stays_as_it_is(loaded: bundle.Bundle) -> None:
    before = loaded.models["content"].embeddings.vectors.copy()
    item_upsert.upsert(loaded, arriving())
    assert len(loaded.catalogue) == N_ITEMS
    assert np.array_equal(loaded.models["content"].embeddings.vectors, before)


def test_items_can_be_added_again_and_again(loaded: bundle.Bundle) -> None:
    one_by_one = loaded
    for at in range(5):
        one_by_one = item_upsert.upsert(one_by_one, arriving()[at])
    at_once = item_upsert.upsert(loaded, arriving())
    for name in loaded.models:
        one, other = one_by_one.models[name], at_once.models[name]
        assert one.embeddings.vectors == pytest.approx(other.embeddings.vectors, abs=1e-6)
        assert (
            one.index.search(one.embeddings.vectors[0], 30)[0].tolist()
            == other.index.search(one.embeddings.vectors[0], 30)[0].tolist()
        )


def test_a_known_item_that_says_something_else_moves_there(loaded: bundle.Bundle) -> None:
    """The item of the sea is sold as one of the kitchen from now on."""
    said = arriving()[[0]].with_columns(item_id=pl.lit(f"i{NEW['sea']}"))
    changed = item_upsert.upsert(loaded, said)
    assert len(changed.catalogue) == N_ITEMS
    assert changed.catalogue.frame["title"][NEW["sea"]] == said["title"][0]
    assert changed.models["als"] is not None
    lists = {
        taste: [slot.row for slot in Recommender(changed, "content").recommend(fan_of(taste)).slots] for taste in (0, 3)
    }
    assert NEW["sea"] in lists[0]
    assert NEW["sea"] not in lists[3][:10]
    back = item_upsert.upsert(changed, catalogue()[[NEW["sea"]]].drop("row"))
    vectors = [shop.models["content"].embeddings.vectors for shop in (loaded, back)]
    assert vectors[1] == pytest.approx(vectors[0], abs=1e-5)
    assert back.models["content"].index.search(vectors[0][NEW["sea"]], 1)[0].tolist() == (
        loaded.models["content"].index.search(vectors[0][NEW["sea"]], 1)[0].tolist()
    )


def test_what_is_not_said_stays_known(loaded: bundle.Bundle) -> None:
    silent = arriving()[[0]].select(
        item_id=pl.lit("i3"),
        **{name: pl.lit(None, dtype) for name, dtype in item_upsert.COLUMNS.items() if name != "item_id"},
    )
    changed = item_upsert.upsert(loaded, silent.with_columns(available=pl.lit(False)))
    assert not changed.catalogue.available[3]
    assert not changed.catalogue.frame["available"][3]
    assert changed.catalogue.frame.drop("available").equals(loaded.catalogue.frame.drop("available"))
    assert changed.models is loaded.models
    assert loaded.catalogue.available[3]
    assert 3 not in [slot.row for slot in Recommender(changed, "popular").recommend(fan_of(1)).slots]


def test_a_new_item_of_which_nothing_is_said_is_called_by_its_id_and_available(loaded: bundle.Bundle) -> None:
    silent = pl.DataFrame(
        {name: ["odd" if name == "item_id" else None] for name in item_upsert.COLUMNS}, item_upsert.COLUMNS
    )
    item = item_upsert.upsert(loaded, silent).catalogue.frame.row(N_ITEMS, named=True)
    assert (item["title"], item["text"], item["categories"], item["price"], item["available"]) == (
        "odd",
        "",
        [],
        None,
        True,
    )


def test_new_and_known_items_in_one_call(loaded: bundle.Bundle) -> None:
    known = catalogue()[[5]].drop("row").with_columns(price=pl.lit(1000.0))
    said = pl.concat(
        [arriving()[[0]], known.cast({name: item_upsert.COLUMNS[name] for name in known.columns}), arriving()[[1]]],
        how="vertical_relaxed",
    )
    changed = item_upsert.upsert(loaded, said)
    assert len(changed.catalogue) == N_ITEMS + 2
    assert changed.catalogue.frame["price"][5] == 1000
    assert changed.catalogue.ids.position(f"arrived-{TASTES[1]}") == N_ITEMS + 1


def test_bad_input_is_one_line(loaded: bundle.Bundle) -> None:
    message = "^items: item_id 'arrived-kitchen' occurs twice: send every item once$"
    with pytest.raises(DataError, match=message):
        item_upsert.upsert(loaded, pl.concat([arriving(), arriving()]))
