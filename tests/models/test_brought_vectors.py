"""Vectors that items bring along carry the only signal: new items are placed, recommended and similar by them."""

import dataclasses

import numpy as np
import polars as pl
import pytest

from recsys.bundle import bundle, embeddings, index, item_tower, item_upsert
from recsys.contracts import Embeddings, Query, TrainingData
from recsys.models import content
from recsys.models._content import ridge
from recsys.params import Params
from recsys.recommend.recommender import Recommender
from tests.support import bundles
from tests.support.tastes import (
    CONTENT,
    EMPTY,
    ITEMS_A_TASTE,
    N_ITEMS,
    N_USERS,
    NEW,
    SILENT,
    STRANGE,
    TASTES,
    catalogue,
    fan_of,
    training,
)

CONFIG = content.Config(factors=8, half_life_days=100, hidden=16, epochs=0)
LENGTH = 24


def silent(vectors: bool = True) -> pl.DataFrame:
    """The catalogue without words, categories and prices; each item but the last three brings a vector."""
    random = np.random.default_rng(3)
    taste = np.array([*np.repeat(range(len(TASTES)), ITEMS_A_TASTE), *range(len(TASTES)), 0, 0, 0])
    centres = random.standard_normal((len(TASTES), LENGTH))
    drawn = centres[taste] + 0.4 * random.standard_normal((N_ITEMS, LENGTH)) + 5  # all have a large part in common
    column = pl.Series("vector", drawn.astype(np.float32)).to_frame().with_row_index()
    given = column.select(vector=pl.when(~pl.col("index").is_in([SILENT, STRANGE, EMPTY])).then("vector"))
    said = catalogue().with_columns(
        title=pl.lit(""), text=pl.lit(""), price=pl.lit(None, pl.Float64), categories=pl.lit([], pl.List(pl.String))
    )
    return pl.concat([said, given], how="horizontal") if vectors else said


def data(vectors: bool = True) -> TrainingData:
    return dataclasses.replace(training(), catalogue=silent(vectors))


@pytest.fixture(scope="module")
def fitted() -> Embeddings:
    return content.fit(data(), CONFIG)


@pytest.fixture(scope="module")
def opened(fitted: Embeddings, tmp_path_factory: pytest.TempPathFactory) -> bundle.Bundle:
    folder = tmp_path_factory.mktemp("brought")
    settings = Params.model_validate(
        {
            **bundles.settings().model_dump(by_alias=True),
            "variants": {"content": {**CONTENT, "new_item_share": 0.05}},
            "models": {"content": {}},
        }
    )
    embeddings.save(fitted, folder / "content")
    index.build(fitted.vectors, fitted.rows, settings.index, seed=1).save(folder / "content")
    users = pl.DataFrame(
        {"user_row": np.arange(N_USERS, dtype=np.int32), "user_id": [f"u{at}" for at in range(N_USERS)]}
    )
    parts = bundle.Parts(
        data().interactions, silent(), users, training().now, {"content": (folder / "content", folder / "content")}
    )
    bundle.write(parts, settings, {}, folder / "bundle")
    return bundle.load(folder / "bundle")


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
    plain = content.fit(data(vectors=False), CONFIG)
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


def test_the_scale_and_the_common_part_of_vectors_do_not_matter(fitted: Embeddings) -> None:
    moved = data().catalogue.with_columns(pl.col("vector") * 1000 + 7)
    again = content.fit(dataclasses.replace(data(), catalogue=moved), CONFIG)
    assert again.arrays["brought"] == pytest.approx(fitted.arrays["brought"], abs=1e-3)


def test_vectors_that_are_all_the_same_say_nothing() -> None:
    same = data().catalogue.with_columns(vector=pl.lit([1.0] * LENGTH, pl.Array(pl.Float32, LENGTH)))
    found = content.fit(dataclasses.replace(data(), catalogue=same), CONFIG)
    assert np.isfinite(found.vectors).all()
    assert not set(NEW.values()) & set(found.rows.tolist())


def test_the_penalty_is_chosen_on_left_out_items() -> None:
    random = np.random.default_rng(4)
    brought, true = random.standard_normal((60, 30)), random.standard_normal((30, 2))
    weights = np.where(np.arange(60) < 50, random.random(60) + 0.5, 0).astype(np.float32)
    targets = brought @ true + random.standard_normal((60, 2))
    found, predicted = ridge.fit(brought.astype(np.float32), targets.astype(np.float32), weights)
    errors = []
    for penalty in ridge.PENALTIES * np.linalg.eigvalsh(brought[:50].T * weights[:50] @ brought[:50]).mean():
        left_out = np.zeros((50, 2))
        for at in range(50):
            kept = weights * (np.arange(60) != at)
            gram = brought.T * kept @ brought + penalty * np.eye(30)
            left_out[at] = brought[at] @ np.linalg.solve(gram, brought.T * kept @ targets)
        errors.append((weights[:50, None] * (targets[:50] - left_out) ** 2).sum())
        if errors[-1] == min(errors):
            best = left_out
    assert 0 < int(np.argmin(errors)) < len(errors) - 1
    assert predicted[:50] == pytest.approx(best, abs=1e-3)
    assert predicted[50:] == pytest.approx(brought[50:] @ found, abs=1e-4)
