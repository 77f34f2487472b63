"""Reasons are faithful: shares add up to the score, and without the named item the score is what was said."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.bundle import bundle
from recsys.bundle.bundle import Bundle
from recsys.contracts import PIN, Encoder, Explains, History, Query, Slot
from recsys.encoders.als_fold_in import AlsFoldIn
from recsys.encoders.content import Pooled
from recsys.recommend import explanations
from recsys.recommend.recommender import Recommender
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


def without(history: History, row: int) -> History:
    kept = history.rows != row
    return History(history.rows[kept], history.weights[kept], history.times[kept])


@pytest.mark.parametrize("name", ENCODERS)
@given(history=histories())
def test_both_claims_hold(name: str, history: History) -> None:
    encoder = ENCODERS[name]
    assert isinstance(encoder, Explains)
    vector, parts = encoder.encode(history, NOW), encoder.explain(history, NOW, VECTORS)
    assert (vector is None) == (parts is None)
    if vector is None or parts is None:
        return
    assert parts.shares.sum(axis=1) == pytest.approx(VECTORS @ vector, abs=1e-4)
    assert set(parts.rows.tolist()) <= set(history.rows[history.weights > 0].tolist()) - {11}
    for column, row in enumerate(parts.rows.tolist()):
        left = encoder.encode(without(history, row), NOW)
        said = parts.without[:, column]
        if left is None:
            assert np.isnan(said).all()
        else:
            assert said == pytest.approx(VECTORS @ left, abs=1e-4)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return bundle.load(bundles.write(tmp_path_factory.mktemp("explain") / "bundle"))


def ask(shop: Bundle, variant: str, user_id: str, k: int = 8) -> tuple[Query, tuple[Slot, ...], list[explanations.Why]]:
    query = Query(shop.histories.of(user_id), k, NOW, user_id)
    shown = Recommender(shop, variant).recommend(query).slots
    return query, shown, explanations.slots(shop, variant, query, shown)


def test_a_taste_for_kitchens_is_why_a_pan_is_shown(shop: Bundle) -> None:
    query, shown, found = ask(shop, "als", "both", k=18)
    by_row = {slot.row: why for slot, why in zip(shown, found, strict=True)}
    kitchen, garden = [by_row[row] for row in (9, 19)]
    assert {part.row for part in kitchen.parts[:2]} == {0, bundles.SOLD_OUT}
    assert garden.parts[0].row == 10
    assert kitchen.factor == 1
    for slot, why in zip(shown, found, strict=True):
        assert why.kind == "history"
        assert why.score == pytest.approx(slot.score, abs=1e-4)
        assert sum(part.share for part in why.parts) == pytest.approx(why.score)
        assert [part.share for part in why.parts] == sorted((part.share for part in why.parts), reverse=True)
        assert {part.row for part in why.parts} == set(query.history.rows.tolist())


def test_without_the_named_item_the_main_path_gives_the_score_that_was_said(shop: Bundle) -> None:
    query, shown, found = ask(shop, "als", "anna")
    for part in found[0].parts:
        less = replace(query, history=without(query.history, part.row), exclude=query.history.rows)
        again = {slot.row: slot.score for slot in Recommender(shop, "als").recommend(less).slots}
        assert again[shown[0].row] == pytest.approx(part.without, abs=1e-4)
        assert again[shown[0].row] != pytest.approx(shown[0].score, abs=1e-4)


def test_the_factor_of_recency_leads_from_the_score_to_the_slot(shop: Bundle) -> None:
    _, shown, found = ask(shop, "als_recent", "anna")
    told = [(slot, why) for slot, why in zip(shown, found, strict=True) if why.kind == "history"]
    assert told
    for slot, why in told:
        assert why.factor is not None
        assert why.score is not None
        assert slot.score == pytest.approx(max(why.score, 0) * why.factor, abs=1e-4)


def test_a_learned_ranker_does_not_multiply(shop: Bundle) -> None:
    variant = shop.manifest.variants["als_recent"]
    assert variant.ranker is not None
    other = variant.model_copy(update={"ranker": variant.ranker.model_copy(update={"name": "other"})})
    manifest = shop.manifest.model_copy(update={"variants": {"als_recent": other}})
    query, shown, _ = ask(shop, "als_recent", "anna")
    assert explanations.slots(replace(shop, manifest=manifest), "als_recent", query, shown)[0].factor is None


def test_what_no_history_explains_has_a_kind_of_its_own(shop: Bundle) -> None:
    _, _, found = ask(shop, "als", "newcomer")
    assert {why.kind for why in found} <= {"popular", "static"}
    assert not any(why.parts for why in found)
    query = Query(shop.histories.of("anna"), 1, NOW)
    pinned = explanations.slots(shop, "als", query, [Slot(3, 0.0, PIN)])
    assert pinned == [explanations.Why("pin")]


def test_a_new_encoder_need_not_explain(shop: Bundle) -> None:
    class Silent:
        def encode(self, history: History, now: float) -> np.ndarray:
            return np.ones(3, dtype=np.float32)

    model = replace(shop.models["als"], encoder=Silent())
    _, shown, _ = ask(shop, "als", "anna")
    query = Query(shop.histories.of("anna"), 1, NOW)
    assert explanations.slots(replace(shop, models={"als": model}), "als", query, shown)[0] == explanations.Why("als")
