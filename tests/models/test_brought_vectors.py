"""Vectors that the data supply for items are the only signal: new items are placed, recommended and similar by them."""

import dataclasses

import numpy as np
import polars as pl
import pytest

from recsys.bundle import bundle
from recsys.bundle.items import item_tower, item_upsert
from recsys.contracts import Embeddings, Query
from recsys.models import content
from recsys.models._content import ridge
from recsys.recommend.recommender import Recommender
from recsys.schemas.field_limits import packed_vector
from tests.support.tastes import (
    CONFIG,
    ITEMS_A_TASTE,
    LENGTH,
    N_ITEMS,
    NEW,
    STRANGE,
    TASTES,
    fan_of,
    silent,
    silent_training,
    training,
    write_silent,
)


@pytest.fixture(scope="module")
def fitted() -> Embeddings:
    return content.fit(silent_training(), CONFIG)


@pytest.fixture(scope="module")
def opened(fitted: Embeddings, tmp_path_factory: pytest.TempPathFactory) -> bundle.Bundle:
    return bundle.load(write_silent(fitted, tmp_path_factory.mktemp("brought")))


def test_new_items_are_recommended_to_the_fans_of_their_taste(opened: bundle.Bundle) -> None:
    recommender = Recommender(opened, "content")
    for taste, new in enumerate(NEW.values()):
        places = [slot.row for slot in recommender.recommend(fan_of(taste)).slots if slot.source == "new"]
        assert places == [new], TASTES[taste]  # one of 20 places is for new items


def test_similar_items_of_a_new_item_are_of_its_taste(opened: bundle.Bundle) -> None:
    asked = Query(fan_of(0).history, 5, training().now)
    for taste, new in enumerate(NEW.values()):
        similar = [slot.row for slot in Recommender(opened, "content").similar(new, asked).slots]
        assert [row // ITEMS_A_TASTE for row in similar] == [taste] * 5


def test_without_the_vectors_nothing_is_known_of_new_items() -> None:
    plain = content.fit(silent_training(vectors=False), CONFIG)
    assert not set(NEW.values()) & set(plain.rows.tolist())
    assert "brought" not in plain.arrays


def test_numpy_places_a_new_item_where_torch_did(fitted: Embeddings, opened: bundle.Bundle) -> None:
    tower = item_tower.of(opened.models["content"].embeddings)
    assert tower is not None
    assert "vector" not in opened.catalogue.frame.columns
    rows = [*NEW.values(), STRANGE]
    assert tower.embed(opened.catalogue.frame[rows]) == pytest.approx(fitted.vectors[rows], abs=1e-5)
    assert not fitted.vectors[STRANGE].any()


def test_an_item_that_changes_its_title_keeps_its_vector(opened: bundle.Bundle) -> None:
    row = NEW["sea"]
    changes = pl.DataFrame({"item_id": [f"i{row}", "arrived"], "title": ["renamed", "not known before"]})
    after = item_upsert.upsert(opened, changes).models["content"].embeddings
    assert after.vectors[row] == pytest.approx(opened.models["content"].embeddings.vectors[row], abs=1e-5)
    assert after.vectors[row].any()
    assert not after.vectors[N_ITEMS].any()  # it brings no vector and no known word


def test_a_vector_sent_later_places_an_item_where_training_would(opened: bundle.Bundle) -> None:
    trained, row = opened.models["content"].embeddings.vectors, NEW["sea"]
    vector = silent()["vector"][row].to_list()
    vectors = [packed_vector(each) for each in (vector, vector, vector[:5], vector)]
    sent = {"item_id": ["twin", f"i{STRANGE}", "short", f"i{row}"], "vector": vectors}
    changed = item_upsert.upsert(opened, pl.DataFrame(sent))
    after = changed.models["content"].embeddings
    assert after.vectors[[N_ITEMS, STRANGE]] == pytest.approx(trained[[row, row]], abs=1e-5)
    assert not after.vectors[N_ITEMS + 1].any()  # of another length
    assert N_ITEMS in after.rows
    assert row not in changed.models["content"].index._rows  # the training knew its vector
    asked = Query(fan_of(0).history, 5, training().now)
    similar = [slot.row for slot in Recommender(changed, "content").similar(N_ITEMS, asked).slots]
    assert [at // ITEMS_A_TASTE for at in similar if at < N_ITEMS - 7] == [TASTES.index("sea")] * len(similar[:3])
    again = item_upsert.upsert(changed, pl.DataFrame({"item_id": ["twin"], "title": ["only renamed"]}))
    assert again.models["content"].embeddings.vectors[N_ITEMS] == pytest.approx(trained[row], abs=1e-5)


def test_a_bundle_of_before_keeps_its_places(opened: bundle.Bundle) -> None:
    """It does not know the mean that was subtracted."""
    model = opened.models["content"]
    arrays = {name: values for name, values in model.embeddings.arrays.items() if name != "brought_mean"}
    old = dataclasses.replace(model, embeddings=dataclasses.replace(model.embeddings, arrays=arrays))
    before = dataclasses.replace(opened, models={"content": old})
    vectors = [packed_vector([1.0] * LENGTH)] * 2
    sent = {"item_id": [f"i{STRANGE}", f"i{NEW['sea']}"], "vector": vectors, "title": [None, "renamed"]}
    after = item_upsert.upsert(before, pl.DataFrame(sent)).models["content"]
    assert after.embeddings.vectors == pytest.approx(model.embeddings.vectors, abs=1e-5)


def test_the_scale_and_the_common_part_of_vectors_do_not_matter(fitted: Embeddings) -> None:
    moved = silent_training().catalogue.with_columns(pl.col("vector") * 1000 + 7)
    again = content.fit(dataclasses.replace(silent_training(), catalogue=moved), CONFIG)
    assert again.arrays["brought"] == pytest.approx(fitted.arrays["brought"], abs=1e-3)


def test_vectors_that_are_all_the_same_say_nothing() -> None:
    same = silent_training().catalogue.with_columns(vector=pl.lit([1.0] * LENGTH, pl.Array(pl.Float32, LENGTH)))
    found = content.fit(dataclasses.replace(silent_training(), catalogue=same), CONFIG)
    assert np.isfinite(found.vectors).all()
    assert not set(NEW.values()) & set(found.rows.tolist())


def test_the_penalty_is_chosen_on_left_out_items() -> None:
    random = np.random.default_rng(4)
    given, true = random.standard_normal((60, 30)), random.standard_normal((30, 2))
    weights = np.where(np.arange(60) < 50, random.random(60) + 0.5, 0).astype(np.float32)
    targets = given @ true + random.standard_normal((60, 2))
    found, predicted = ridge.fit(given.astype(np.float32), targets.astype(np.float32), weights)
    errors = []
    for penalty in ridge.PENALTIES * np.linalg.eigvalsh(given[:50].T * weights[:50] @ given[:50]).mean():
        left_out = np.zeros((50, 2))
        for at in range(50):
            kept = weights * (np.arange(60) != at)
            gram = given.T * kept @ given + penalty * np.eye(30)
            left_out[at] = given[at] @ np.linalg.solve(gram, given.T * kept @ targets)
        errors.append((weights[:50, None] * (targets[:50] - left_out) ** 2).sum())
        if errors[-1] == min(errors):
            best = left_out
    assert 0 < int(np.argmin(errors)) < len(errors) - 1
    assert predicted[:50] == pytest.approx(best, abs=1e-3)
    assert predicted[50:] == pytest.approx(given[50:] @ found, abs=1e-4)
