"""Every file of `recsys/models` keeps its contract on a small made-up shop; a new file is tried by itself."""

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import numpy as np
import polars as pl
import pytest

from recsys import params
from recsys.bundle.embeddings import encoder_of
from recsys.contracts import Embeddings, ItemItem, TrainingData
from recsys.params import extensions
from tests.extensions.contracts import check_encoder, check_model
from tests.spark import environment as spark

NOW = datetime(2024, 6, 30, tzinfo=UTC)
N_USERS, N_ITEMS = 40, 30  # the last two items are new, and nobody has met them
SETTINGS: dict[str, dict[str, Any]] = {
    "als": {"factors": 8, "iterations": 3, "alpha": 5, "regularization": 1, "half_life_days": 100},
    "content": {"factors": 8, "half_life_days": 100, "epochs": 1},
}
SETTINGS["als_long"] = SETTINGS["als"]
SETTINGS["als_spark"] = spark.SETTINGS
NAMES = [pytest.param(name, marks=[spark.needs_spark] * (name == "als_spark")) for name in extensions.names("models")]


def training() -> TrainingData:
    """Even users like even items, odd users odd ones; every fifth event has weight 0."""
    random = np.random.default_rng(0)
    users = np.repeat(np.arange(N_USERS, dtype=np.int32), 8)
    items = (random.integers(0, N_ITEMS // 2 - 1, len(users)) * 2 + users % 2).astype(np.int32)
    events = pl.DataFrame(
        {
            "user_row": users,
            "item_row": items,
            "timestamp": [NOW - timedelta(hours=float(hours)) for hours in random.uniform(0, 2000, len(users))],
            "event": ["view"] * len(users),
            "value": np.ones(len(users), dtype=np.float32),
            "weight": np.where(np.arange(len(users)) % 5 == 0, 0, 1).astype(np.float32),
        },
        schema_overrides={"timestamp": pl.Datetime("us", "UTC")},
    ).sort("user_row", "timestamp", "item_row")
    catalogue = pl.DataFrame(
        {
            "row": np.arange(N_ITEMS, dtype=np.int32),
            "title": [f"word{row % 2} word{row % 3}" for row in range(N_ITEMS)],
            "text": [""] * N_ITEMS,
            "categories": [["even" if row % 2 == 0 else "odd"] for row in range(N_ITEMS)],
            "price": np.linspace(1, 9, N_ITEMS),
        }
    )
    return TrainingData(events.lazy(), catalogue, N_USERS, N_ITEMS, NOW.timestamp(), seed=3, threads=1)


def fitted(name: str, data: TrainingData) -> Embeddings | ItemItem:
    module = extensions.load("models", name)
    settings = SETTINGS.get(name, params.load().models.get(name, {}))
    found: Embeddings | ItemItem = module.fit(data, module.Config(**settings))
    return found


@pytest.mark.parametrize("name", NAMES)
def test_a_model_and_its_encoder_keep_their_contracts(name: str) -> None:
    check_model(name, partial(fitted, name), training())
    model = fitted(name, training())
    if isinstance(model, ItemItem):
        owners = np.repeat(np.arange(N_ITEMS), np.diff(model.indptr))
        assert model.scores[owners % 2 == model.rows % 2].mean() > 0.0
    else:
        check_encoder(model.encoder, encoder_of(model), model.vectors.shape[1], N_ITEMS)


@pytest.mark.parametrize("name", [each for each in NAMES if each.values != ("content",)])
def test_a_model_of_few_events_knows_only_their_items(name: str) -> None:
    """Two users and two items, the least that a split may hold."""
    data = training()
    few = data.interactions.filter(pl.col("user_row") < 2).group_by("user_row", maintain_order=True).head(2)
    few = few.with_columns(weight=pl.lit(1.0, dtype=pl.Float32), item_row=pl.Series([0, 2, 0, 2], dtype=pl.Int32))
    model = fitted(name, TrainingData(few.lazy(), data.catalogue, N_USERS, N_ITEMS, data.now, seed=3, threads=1))
    liked = few["item_row"].unique().to_list()
    if isinstance(model, ItemItem):
        assert set(np.unique(model.rows).tolist()) <= set(liked)
    else:
        assert set(model.rows.tolist()) <= set(liked)


def test_every_model_has_a_section() -> None:
    assert set(extensions.names("models")) - {"als_spark"} == set(params.load().models)  # which needs Java
