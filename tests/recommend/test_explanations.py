"""Reasons are faithful: contributions add up to the score, and a second call without the item gives what was said."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.bundle import bundle
from recsys.bundle.bundle import Bundle
from recsys.contracts import Encoder, Explains, History, Query, Slot
from recsys.encoders.als_fold_in import AlsFoldIn
from recsys.encoders.content import Pooled
from recsys.rankers.learned import Learned
from recsys.recommend.explanations import Reason, Reasons, explain
from recsys.recommend.recommender import Recommender, Slate
from tests.support import bundles

NOW = bundles.NOW.timestamp()
N_ITEMS, DIM = 12, 4
VECTORS = np.random.default_rng(0).normal(size=(N_ITEMS, DIM)).astype(np.float32)
VECTORS[11] = 0  # no model knows it
GRAM = (VECTORS.T @ VECTORS + 0.5 * np.eye(DIM)).astype(np.float32)
TOLD = np.random.default_rng(1).random(N_ITEMS).astype(np.float32)
ENCODERS: dict[str, Encoder] = {
    "als": AlsFoldIn(VECTORS, GRAM, alpha=2.0, half_life_days=30),
    "als, doubtful": AlsFoldIn(VECTORS, GRAM, alpha=0.3, half_life_days=30),
    "content": Pooled(VECTORS, TOLD, half_life_days=30),
}


@st.composite
def histories(draw: st.DrawFn) -> History:
    rows = draw(st.lists(st.integers(0, N_ITEMS - 1), max_size=15))
    weights = draw(st.lists(st.sampled_from([0.0, 1.0, 5.0]), min_size=len(rows), max_size=len(rows)))
    ages = draw(st.lists(st.floats(0, 100 * 86_400), min_size=len(rows), max_size=len(rows)))
    return History(
        np.array(rows, dtype=np.int32), np.array(weights, dtype=np.float32), NOW - np.sort(np.array(ages))[::-1]
    )


def left_out(history: History, row: int) -> History:
    kept = history.rows != row
    return History(history.rows[kept], history.weights[kept], history.times[kept])


@pytest.mark.parametrize("name", ENCODERS)
@given(history=histories())
def test_the_parts_of_an_encoder_add_up_to_the_score(name: str, history: History) -> None:
    encoder = ENCODERS[name]
    assert isinstance(encoder, Explains)
    vector, parts = encoder.encode(history, NOW), encoder.explain(history, NOW, VECTORS)
    assert (vector is None) == (parts is None)
    if vector is None or parts is None:
        return
    assert parts.shares.sum(axis=1) == pytest.approx(VECTORS @ vector, abs=1e-4)
    assert set(parts.rows.tolist()) <= set(history.rows[history.weights > 0].tolist()) - {11}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return bundle.load(bundles.write(tmp_path_factory.mktemp("explain") / "bundle"))


def ask(shop: Bundle, variant: str, user_id: str, k: int = 8) -> tuple[Recommender, Slate, list[Reasons]]:
    recommender = Recommender(shop, variant)
    slate = recommender.recommend(Query(shop.histories.of(user_id), k, NOW, user_id))
    return recommender, slate, explain({variant: recommender}, slate)


def second_call(recommender: Recommender, slate: Slate, row: int) -> dict[int, float]:
    """The scores of a call with the item out of the history, for as many items as there are."""
    query = replace(slate.query, history=left_out(slate.query.history, row), vectors={})
    return {slot.row: slot.score for slot in recommender.recommend(query).slots}


def test_a_taste_for_kitchens_is_why_a_pan_is_shown(shop: Bundle) -> None:
    _, slate, whys = ask(shop, "als", "both", k=18)
    by_row = {slot.row: why for slot, why in zip(slate.slots, whys, strict=True)}
    kitchen, garden = by_row[9], by_row[19]
    assert {reason.row for reason in kitchen.reasons[:2]} == {0, bundles.SOLD_OUT}
    assert garden.reasons[0].row == 10
    for slot, why in zip(slate.slots, whys, strict=True):
        assert {reason.kind for reason in why.reasons} == {"history"}
        assert sum(reason.contribution for reason in why.reasons) == pytest.approx(slot.score, abs=1e-5)
        sizes = [abs(reason.contribution) for reason in why.reasons]
        assert sizes == sorted(sizes, reverse=True)
        assert {reason.row for reason in why.reasons} == set(slate.query.history.rows.tolist())


def test_without_an_item_the_main_path_gives_the_score_that_was_said(shop: Bundle) -> None:
    recommender, slate, whys = ask(shop, "als", "anna")
    for reason in whys[0].reasons:
        assert reason.row is not None
        again = second_call(recommender, slate, reason.row)
        assert again[slate.slots[0].row] == reason.without
        assert reason.without != pytest.approx(slate.slots[0].score, abs=1e-4)


def test_the_factors_of_recency_multiply_to_the_score(shop: Bundle) -> None:
    _, slate, whys = ask(shop, "als_recent", "anna")
    explained = [(slot, why) for slot, why in zip(slate.slots, whys, strict=True) if why.factors]
    assert explained
    for slot, why in explained:
        assert math.prod(why.factors.values()) == pytest.approx(slot.score, abs=1e-5)
        assert sum(reason.contribution for reason in why.reasons) == pytest.approx(slot.score, abs=1e-5)


def test_what_no_history_explains_has_a_kind_of_its_own(shop: Bundle) -> None:
    _, slate, whys = ask(shop, "als", "newcomer")
    for slot, why in zip(slate.slots, whys, strict=True):
        assert why.reasons == (Reason(slot.source, slot.score),)
    assert {slot.source for slot in slate.slots} <= {"popular", "static"}


def test_a_place_that_an_experiment_filled_says_so(shop: Bundle) -> None:
    recommender, slate, whys = ask(shop, "als", "anna", k=3)
    random = Slot(15, 0.5, "als")
    mixed = replace(slate, slots=(*slate.slots[:2], random), drafted_from=(slate,))
    found = explain({"als": recommender}, mixed)
    assert found[:2] == whys[:2]
    assert found[2].reasons == (Reason("exploration", 0.5),)


def test_after_the_deadline_the_reason_is_the_source(shop: Bundle) -> None:
    recommender, slate, whys = ask(shop, "als", "anna")
    assert any(reason.kind == "history" for why in whys for reason in why.reasons)
    late = replace(slate, query=replace(slate.query, deadline=0.0))
    for slot, why in zip(slate.slots, explain({"als": recommender}, late), strict=True):
        assert why.reasons == (Reason(slot.source, slot.score),)


def test_a_new_encoder_need_not_explain(shop: Bundle) -> None:
    class Silent:
        def encode(self, history: History, now: float) -> np.ndarray:
            return np.ones(3, dtype=np.float32)

    _, slate, _ = ask(shop, "als", "anna")
    silent = replace(shop, models={**shop.models, "als": replace(shop.models["als"], encoder=Silent())})
    recommender = Recommender(silent, "als")
    assert explain({"als": recommender}, slate)[0].reasons == (Reason("als", slate.slots[0].score),)


@pytest.fixture(scope="module")
def trained(pipeline: Path) -> Bundle:
    return bundle.load(pipeline / "bundle")


@pytest.mark.parametrize("trees_up_to", [-1, 10_000])
def test_reasons_of_every_variant_of_a_trained_bundle(trained: Bundle, trees_up_to: int) -> None:
    """With the blends and with the trees of the learned ranker alike."""
    kinds = set()
    for name in trained.manifest.variants:
        recommender = Recommender(trained, name)
        if isinstance(recommender.ranker, Learned):
            recommender.ranker._trees_up_to = trees_up_to
        for user in range(0, len(trained.histories.users), len(trained.histories.users) // 12):
            query = Query(trained.histories.at(user), 10, trained.manifest.trained_until.timestamp(), str(user))
            slate = recommender.recommend(query)
            for slot, why in zip(slate.slots, explain({name: recommender}, slate), strict=True):
                assert sum(each.contribution for each in why.reasons) == pytest.approx(slot.score, abs=1e-5, rel=1e-6)
                kinds |= {each.kind for each in why.reasons}
                explained = [each for each in why.reasons if each.row is not None and each.without is not None]
                for each in explained[:1]:
                    assert each.row is not None
                    again = second_call(recommender, slate, each.row)
                    assert again.get(slot.row, each.without) == each.without
    assert {"history", "popular"} <= kinds
    assert "feature" in kinds or trees_up_to < 0  # a blend may ask what is in demand, or may not
