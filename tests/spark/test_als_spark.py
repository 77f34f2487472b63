"""ALS of Spark: its users are those of our encoder, and its bundle answers like any other."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from recsys.bundle.embeddings import encoder_of
from recsys.contracts import Explains, History, TrainingData, epoch_seconds
from recsys.models import als_spark
from serving.app import create_app
from serving.settings import Settings
from tests.extensions.test_models import N_USERS, training
from tests.spark.environment import SETTINGS, needs_spark
from tests.support import bundles
from tests.support.apps import new_store, until_ready

pytestmark = needs_spark
CONFIG = als_spark.Config.model_validate(SETTINGS)


def history_of(user: int) -> History:
    mine = training().interactions.filter(user_row=user)
    return History(mine["item_row"].to_numpy(), mine["weight"].to_numpy(), epoch_seconds(mine["timestamp"]))


def test_the_encoder_finds_the_vectors_that_spark_fitted(monkeypatch: pytest.MonkeyPatch) -> None:
    from pyspark.ml.recommendation import ALS

    fit, kept = ALS.fit, []

    def kept_fit(self: ALS, table: Any) -> Any:
        kept.append(fit(self, table))
        return kept[0]

    monkeypatch.setattr(ALS, "fit", kept_fit)
    found = als_spark.fit(training(), CONFIG)
    encoder = encoder_of(found)
    of_spark = {line["id"]: np.array(line["features"]) for line in kept[0].userFactors.collect()}
    assert len(of_spark) == N_USERS
    for user, wanted in of_spark.items():
        vector = encoder.encode(history_of(user), training().now)
        assert vector is not None
        np.testing.assert_allclose(vector, wanted, atol=1e-4)
    assert isinstance(encoder, Explains)
    parts = encoder.explain(history_of(0), training().now, found.vectors)
    assert parts is not None
    np.testing.assert_allclose(parts.shares.sum(axis=1), found.vectors @ of_spark[0], atol=1e-4)


def test_its_bundle_answers_with_exact_reasons(tmp_path: Path) -> None:
    users, now = list(bundles.HISTORIES), bundles.NOW.timestamp()
    shop = bundles.interactions().lazy(), bundles.catalogue()
    fitted = als_spark.fit(TrainingData(*shop, len(users), bundles.N_ITEMS, now, seed=1, threads=1), CONFIG)
    folder = bundles.write(tmp_path / "bundle", fitted)
    with TestClient(create_app(Settings(bundle=folder, store_url=new_store(tmp_path)))) as client:
        ask = {"user_id": "anna", "k": 3, "variant": "als", "options": {"explain": True}}
        items = until_ready(client).post("/v1/recommend", json=ask).json()["items"]
    liked, encoder = bundles.HISTORIES["anna"], encoder_of(fitted)
    for item in items:
        assert item["source"] == "als"
        assert sum(reason["contribution"] for reason in item["reasons"]) == pytest.approx(item["score"], rel=1e-3)
        first = bundles.ITEM_IDS.index(item["reasons"][0]["item_id"])
        kept = [place for place, row in enumerate(liked) if row != first]
        rows, times = np.array(liked, np.int32)[kept], bundles.START.timestamp() + 3600.0 * np.array(kept)
        again = encoder.encode(History(rows, np.ones(len(kept), np.float32), times), now)
        assert again is not None
        score = fitted.vectors[bundles.ITEM_IDS.index(item["item_id"])] @ again
        assert item["reasons"][0]["without"] == pytest.approx(float(score), rel=1e-3)
