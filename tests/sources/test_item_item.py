"""Scores of item pairs, checked by hand."""

import dataclasses
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from recsys.bundle import bundle, embeddings
from recsys.bundle.bundle import Bundle
from recsys.contracts import SECONDS_PER_DAY, History, ItemItem, Query, TrainingData
from recsys.encoders import item_item
from recsys.errors import BundleError, ParamsError
from recsys.models import covisit
from recsys.recommend import explanations
from recsys.recommend.recommender import Recommender
from recsys.sources.item_item import Config, build
from tests.support import bundles
from tests.support.queries import query

NOW = 100 * SECONDS_PER_DAY
MODEL = ItemItem(
    indptr=np.array([0, 2, 3, 3, 3]),
    rows=np.array([1, 2, 2], dtype=np.int32),
    scores=np.array([0.5, 1.0, 4.0], dtype=np.float32),
    params={"half_life_days": 10.0, "last": 2, "place_decay": 0.5},
)


def history(*events: tuple[int, float, float]) -> History:
    """events: (row, age in days, weight), oldest first."""
    rows, ages, weights = zip(*events, strict=True)
    times = NOW - np.array(ages) * SECONDS_PER_DAY
    return History(np.array(rows, dtype=np.int32), np.array(weights, dtype=np.float32), times)


def test_the_newest_likes_count_by_age_and_place() -> None:
    rows, weights = item_item.history_weights(MODEL, history((3, 30, 1), (0, 10, 1), (1, 5, 0), (2, 0, 1)), NOW)
    assert rows.tolist() == [2, 0]  # 3 is too old for `last`, 1 was seen only
    assert weights.tolist() == [1.0, 0.25]  # half for its age, half for its place


def test_scores_are_linear_and_every_item_has_its_part() -> None:
    asked = history((0, 0, 1), (1, 10, 1))
    assert item_item.scores(MODEL, asked, NOW, 6).tolist() == [0, 0.25, 0.5 * 4 + 0.5, 0, 0, 0]
    parts = item_item.explain(MODEL, asked, NOW, 2)
    assert parts is not None
    assert dict(zip(parts.rows.tolist(), parts.shares[0].tolist(), strict=True)) == {1: 2.0, 0: 0.5}
    assert item_item.explain(MODEL, asked, NOW, 3) is None


def test_items_that_arrived_after_training_lead_nowhere() -> None:
    assert not item_item.scores(MODEL, history((5, 0, 1)), NOW, 6).any()


def test_files_that_do_not_fit_together_are_refused(tmp_path: Path) -> None:
    embeddings.save_pairs(MODEL, tmp_path)
    assert embeddings.load_pairs(tmp_path).scores.tolist() == MODEL.scores.tolist()
    np.save(tmp_path / "rows.npy", np.zeros(2, dtype=np.int32))
    with pytest.raises(BundleError, match=r"rows\.npy has 2 values, scores\.npy 3"):
        embeddings.load_pairs(tmp_path)
    embeddings.save_pairs(dataclasses.replace(MODEL, params={"last": 3}), tmp_path)
    with pytest.raises(BundleError, match=r"place_decay|half_life_days"):
        embeddings.load_pairs(tmp_path)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return bundle.load(bundles.write(tmp_path_factory.mktemp("pairs") / "bundle"))


def test_a_model_of_vectors_is_no_model_of_pairs(shop: Bundle) -> None:
    with pytest.raises(ParamsError, match=r"source 'item_item': model 'als' is not in the bundle; it has: covisit"):
        build(shop, Config(model="als"))


def test_only_what_the_caller_allows_is_proposed(shop: Bundle) -> None:
    source, asked = build(shop, Config(model="covisit")), query(shop, "anna")
    scores = item_item.scores(shop.item_items["covisit"], asked.history, asked.now, len(shop.catalogue))
    asked = dataclasses.replace(asked, pair_scores={"covisit": scores})
    free = source.propose(asked, 5)
    only = np.zeros(len(shop.catalogue), dtype=np.bool_)
    only[free.rows[1]] = True
    narrow = source.propose(dataclasses.replace(asked, only=only), 5)
    assert narrow.rows.tolist() == [int(free.rows[1])]


def test_reasons_add_up_and_say_what_would_be_without_an_item(shop: Bundle) -> None:
    recommender = Recommender(shop, "covisit")
    slate = recommender.recommend(query(shop, "both", 3))
    own = [slot for slot in slate.slots if slot.source == "covisit"]
    assert own
    for slot, why in zip(slate.slots, explanations.explain({"covisit": recommender}, slate), strict=True):
        assert sum(reason.contribution for reason in why.reasons) == pytest.approx(slot.score, rel=1e-5)
        if slot.source == "covisit":
            assert {reason.kind for reason in why.reasons} == {"history"}
            for reason in why.reasons:
                without = slot.score - reason.contribution
                # linear: without the item all else stays, but for the place that the others move up to
                assert reason.without is None or reason.without >= without - 1e-6


def test_who_is_not_known_gets_a_fallback_with_the_reason(shop: Bundle) -> None:
    recommender = Recommender(shop, "covisit")
    reasons = [recommender.recommend(query(shop, user, 3)).fallback_reason for user in ("a stranger", "looker", "anna")]
    assert reasons == ["no_history", "history_unknown_to_models", None]


def test_a_query_without_history_costs_nothing(shop: Bundle) -> None:
    asked: Query = query(shop, "a stranger")
    assert not len(build(shop, Config(model="covisit")).propose(asked, 5).rows)


def test_pairs_of_some_users_at_a_time_are_those_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    draw, start = np.random.default_rng(3), datetime(2024, 1, 1, tzinfo=UTC)
    users, items = draw.integers(0, 20, 300), draw.integers(0, 12, 300)
    events = pl.DataFrame({"user_row": users, "item_row": items}, schema={"user_row": pl.Int32, "item_row": pl.Int32})
    events = events.with_columns(
        timestamp=pl.Series([start + timedelta(hours=int(at)) for at in draw.integers(0, 400, 300)]),
        weight=pl.lit(1.0, pl.Float32),
    ).sort("user_row", "timestamp", "item_row")
    data = TrainingData(events.lazy(), pl.DataFrame(), 20, 12, start.timestamp() + 400 * 3600, 1, 1)
    whole = covisit.pairs(data, covisit.Config())
    sizes, of_users = [], covisit._of_users

    def counted(liked: pl.DataFrame, now: float, config: covisit.Config) -> pl.DataFrame:
        sizes.append(liked.height)
        return of_users(liked, now, config)

    monkeypatch.setattr(covisit, "EVENTS_AT_A_TIME", 40)
    monkeypatch.setattr(covisit, "_of_users", counted)
    parts = covisit.pairs(data, covisit.Config())
    assert sum(sizes) == 300
    assert max(sizes) < 40 + events["user_row"].value_counts()["count"].max()  # type: ignore[operator]
    assert parts.drop("weight").equals(whole.drop("weight"))
    assert np.allclose(parts["weight"], whole["weight"], rtol=1e-12)
