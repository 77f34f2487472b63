import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from recsys.bundle import embeddings
from recsys.bundle.items import item_tower
from recsys.contracts import Embeddings, History
from recsys.errors import DataError
from recsys.models import content
from recsys.models.content import Config
from tests.support.tastes import (
    EMPTY,
    ITEMS_A_TASTE,
    N_ITEMS,
    N_SOLD,
    NEW,
    NOW,
    SILENT,
    STRANGE,
    TASTES,
    USERS_A_TASTE,
    catalogue,
    training,
)  # fmt: skip

CONFIG = Config(factors=8, half_life_days=100, hidden=16, epochs=3, batch_users=64)


@pytest.fixture(scope="module")
def fitted() -> Embeddings:
    return content.fit(training(), CONFIG)


def one_like(item: int) -> History:
    return History(np.array([item], dtype=np.int32), np.ones(1, dtype=np.float32), np.array([NOW.timestamp()]))


def test_a_new_item_is_put_first_among_new_ones_for_its_fans(fitted: Embeddings) -> None:
    encoder = embeddings.encoder_of(fitted)
    for taste, name in enumerate(TASTES):
        for item in range(taste * ITEMS_A_TASTE, (taste + 1) * ITEMS_A_TASTE):
            user = encoder.encode(one_like(item), NOW.timestamp())
            scores = {new: float(fitted.vectors[new] @ user) for new in NEW.values()}
            assert max(scores, key=lambda row: scores[row]) == NEW[name], (
                f"a user who likes item {item} of taste {name}"
            )


def test_a_user_with_one_event_gets_the_taste_of_that_event(fitted: Embeddings) -> None:
    encoder = embeddings.encoder_of(fitted)
    right = 0
    for item in range(N_SOLD):
        user = encoder.encode(one_like(item), NOW.timestamp())
        assert user is not None
        scores = fitted.vectors @ user
        scores[item] = -np.inf
        right += np.mean([at // ITEMS_A_TASTE == item // ITEMS_A_TASTE for at in np.argsort(-scores[:N_SOLD])[:5]])
    assert right / N_SOLD > 0.95


def test_a_like_of_a_new_item_tells_of_its_taste_too(fitted: Embeddings) -> None:
    encoder = embeddings.encoder_of(fitted)
    for taste, new in enumerate(NEW.values()):
        user = encoder.encode(one_like(new), NOW.timestamp())
        assert user is not None
        best = np.argsort(-(fitted.vectors @ user)[:N_SOLD])[:5]
        assert (best // ITEMS_A_TASTE == taste).all()


def test_it_knows_what_was_liked_or_speaks_for_itself(fitted: Embeddings) -> None:
    known = set(fitted.rows.tolist())
    assert {SILENT, *NEW.values()} < known
    assert not known & {STRANGE, EMPTY}
    assert not fitted.vectors[[STRANGE, EMPTY]].any()
    assert fitted.vectors[fitted.rows].any(axis=1).all()
    assert fitted.vectors.shape == (N_ITEMS, 8)


def test_numpy_places_a_new_item_where_torch_did(fitted: Embeddings, tmp_path: Path) -> None:
    embeddings.save(fitted, tmp_path)
    tower = item_tower.of(embeddings.load(tmp_path))
    assert tower is not None
    never_sold = catalogue()[[*NEW.values(), STRANGE, EMPTY]]
    assert tower.embed(never_sold) == pytest.approx(fitted.vectors[never_sold["row"].to_numpy()], abs=1e-5)
    assert tower.embed(never_sold[:0]).shape == (0, 8)


def test_the_same_data_give_the_same_bytes(fitted: Embeddings) -> None:
    again = content.fit(training(), CONFIG)
    assert again.vectors.tobytes() == fitted.vectors.tobytes()
    assert {name: array.tobytes() for name, array in again.arrays.items()} == {
        name: array.tobytes() for name, array in fitted.arrays.items()
    }


def test_static_embeddings_are_used_when_asked_for() -> None:
    pytest.importorskip("wordllama")
    found = content.fit(training(), CONFIG.model_copy(update={"wordllama": True, "epochs": 0}))
    table = catalogue()[[*NEW.values()]]
    assert found.arrays["hidden_static"].shape == (256, 16)
    tower = item_tower.of(found)
    assert tower is not None
    assert tower.embed(table) == pytest.approx(found.vectors[table["row"].to_numpy()], abs=1e-5)
    assert STRANGE in found.rows  # its words are in no vocabulary, but they have a meaning


def test_likes_without_content_still_make_a_model() -> None:
    silent = catalogue().with_columns(
        title=pl.lit(""), text=pl.lit(""), price=None, categories=pl.lit([], pl.List(pl.String))
    )
    found = content.fit(dataclasses.replace(training(), catalogue=silent), CONFIG)
    assert found.rows.max() < N_SOLD or found.rows.max() == SILENT
    assert np.isfinite(found.vectors).all()


@pytest.mark.parametrize("keep", [0, 1, 3])
def test_too_little_data_is_one_line(keep: int) -> None:
    data = training()
    few = dataclasses.replace(data, events=data.events.filter(pl.col("weight") > 0)[:keep])
    with pytest.raises(DataError, match=r"content: [01] user\(s\) and \d item\(s\) with likes, expected at least 3"):
        content.fit(few, CONFIG)


def test_few_users_make_a_small_space() -> None:
    data = training()
    users = [0, USERS_A_TASTE, 2 * USERS_A_TASTE, 3 * USERS_A_TASTE]
    few = dataclasses.replace(data, events=data.events.filter(pl.col("user_row").is_in(users)))
    assert content.fit(few, CONFIG).vectors.shape == (N_ITEMS, 3)


def test_neither_faiss_nor_implicit_comes_along() -> None:
    code = "import recsys.models.content, sys, json; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"faiss", "implicit"} & set(json.loads(done.stdout))


def test_the_tower_needs_no_training_library() -> None:
    parts = "recsys.bundle.items.item_tower, recsys.encoders.content"
    code = f"import {parts}, sys, json; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "scipy", "implicit", "wordllama"} & set(json.loads(done.stdout))
