"""How the terms of a ranker are divided among the items of the history, and which second calls are made."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from recsys.bundle import bundle
from recsys.bundle.bundle import Bundle
from recsys.contracts import FloatArray, IntArray, Query, RankerReasons, Term
from recsys.recommend import explanations
from recsys.recommend.recommender import Recommender, Slate
from tests.support import bundles

NOW = bundles.NOW.timestamp()
Terms = Callable[[int], list[Term]]


class Explained:
    """A ranker by the row's number, whose reasons are given."""

    def __init__(self, terms: Terms) -> None:
        self._terms = terms

    def rank(self, query: Query, rows: IntArray, scores: FloatArray) -> FloatArray:
        return rows.astype(np.float32)

    def explain(
        self, query: Query, rows: IntArray, scores: FloatArray, labels: list[str], at: IntArray
    ) -> list[RankerReasons]:
        return [RankerReasons(self._terms(row), {}) for row in rows[at].tolist()]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return bundle.load(bundles.write(tmp_path_factory.mktemp("divided") / "bundle"))


def explained(shop: Bundle, terms: Terms, user: str = "both", k: int = 3) -> tuple[Slate, list[explanations.Reasons]]:
    recommender = Recommender(shop, "als", ranker=Explained(terms))
    slate = recommender.recommend(Query(shop.histories.of(user), k, NOW, user))
    return slate, explanations.explain({"als": recommender}, slate)


def cosine(shop: Bundle, one: int, other: int) -> float:
    vectors = shop.models["als"].embeddings.vectors.astype(np.float64)
    return float(vectors[one] @ vectors[other] / np.linalg.norm(vectors[one]))


def amounts(why: explanations.Reasons) -> dict[int | None, float]:
    return {reason.row: reason.contribution for reason in why.reasons}


def test_a_term_of_the_nearest_item_goes_to_that_item_whole(shop: Bundle) -> None:
    slate, whys = explained(shop, lambda row: [Term("als_nearest", 2.0, "als", "nearest")])
    likes = slate.query.history.likes.tolist()
    for slot, why in zip(slate.slots, whys, strict=True):
        nearest = max(likes, key=lambda like: cosine(shop, like, slot.row))
        assert amounts(why) == {nearest: 2.0}


def test_a_term_of_likeness_is_divided_by_the_cosines(shop: Bundle) -> None:
    slate, whys = explained(shop, lambda row: [Term("als_likeness", 2.0, "als", "likeness")])
    for slot, why in zip(slate.slots, whys, strict=True):
        cosines = {like: cosine(shop, like, slot.row) for like in slate.query.history.likes.tolist()}
        expected = {like: 2.0 * each / sum(cosines.values()) for like, each in cosines.items() if each}
        assert amounts(why) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("way", ["nearest", "likeness"])
def test_a_term_of_a_history_without_vectors_stays_whole(shop: Bundle, way: str) -> None:
    vectors = shop.models["als"].embeddings.vectors.copy()
    slate, _ = explained(shop, lambda row: [])
    vectors[slate.query.history.rows] = 0
    model = shop.models["als"]
    without = replace(
        shop, models={**shop.models, "als": replace(model, embeddings=replace(model.embeddings, vectors=vectors))}
    )
    recommender = Recommender(without, "als", ranker=Explained(lambda row: [Term("x", 2.0, "als", way)]))  # type: ignore[arg-type]
    whys = explanations._contributions(recommender, slate)
    for why in whys:
        assert [(each.row, each.feature, each.contribution) for each in why.reasons] == [(None, "x", 2.0)]


@pytest.mark.parametrize(
    ("shares", "expected"),
    [
        ([3.0, 1.0], [0.75, 0.25]),
        ([3.0, -1.0], [1.5, -0.5]),  # a share may speak against the item
        ([1.0945, -0.9055], [0.54725, 0.45275]),  # 0.189 of 2.0 is less than a tenth: shares by size
        ([1.12, -0.9], [1.12 / 0.22, -0.9 / 0.22]),  # 0.22 of 2.02 is
        ([0.0, 0.0], None),
        ([], None),
    ],
)
def test_shares_that_nearly_cancel_out_are_divided_by_size(shares: list[float], expected: list[float] | None) -> None:
    rows = np.arange(4, 4 + len(shares), dtype=np.int32)
    divided = explanations._Divider._divided(Term("x", 1.0, "als"), rows, np.array(shares))
    if expected is None:
        assert divided == [(None, 1.0)]
    else:
        assert [row for row, _ in divided] == rows.tolist()
        assert [amount for _, amount in divided] == pytest.approx(expected)


def test_the_items_that_contribute_most_get_a_second_call(shop: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explanations, "MAX_WITHOUT", 2)
    _, whys = explained(shop, lambda row: [Term("als_likeness", 2.0, "als", "likeness")], "anna", k=4)
    total: dict[int, float] = {}
    for why in whys:
        for row, amount in amounts(why).items():
            assert row is not None
            total[row] = total.get(row, 0.0) + abs(amount)
    most = sorted(total, key=lambda row: (-total[row], row))[:2]
    assert len(total) > 2
    assert {each.row for why in whys for each in why.reasons if each.without is not None} == set(most)


def test_the_score_without_an_item_is_the_rankers(shop: Bundle) -> None:
    slate, whys = explained(shop, lambda row: [Term("als_likeness", 2.0, "als", "likeness")])
    for slot, why in zip(slate.slots, whys, strict=True):
        assert {each.without for each in why.reasons} == {float(slot.row)}


def test_a_term_of_a_model_of_pairs_is_divided_by_the_pairs(shop: Bundle) -> None:
    slate, whys = explained(shop, lambda row: [Term("covisit_score", 2.0, "covisit")])
    likes = set(slate.query.history.rows.tolist())
    for why in whys:
        rows = set(amounts(why))
        assert rows == {None} or rows <= likes
        assert sum(amounts(why).values()) == pytest.approx(2.0)
    assert any(None not in amounts(why) for why in whys)


def test_a_history_that_a_model_cannot_encode_has_no_shares(shop: Bundle) -> None:
    carry = explanations._Divider(shop, Query(shop.histories.of("only new"), 3, NOW, "only new"))
    rows, shares = carry._shares("als", 0)
    assert len(rows) == len(shares) == 0


def test_a_term_without_a_model_is_a_feature_and_stays_whole(shop: Bundle) -> None:
    _, whys = explained(shop, lambda row: [Term("price", 2.0)])
    for why in whys:
        assert [(each.kind, each.row, each.feature, each.contribution) for each in why.reasons] == [
            (explanations.FEATURE, None, "price", 2.0)
        ]


def test_only_places_that_the_ranker_ordered_have_its_reasons(shop: Bundle) -> None:
    slate, _ = explained(shop, lambda row: [])
    pinned, filled, ranked = slate.slots
    slots = [pinned._replace(source="pinned"), filled._replace(fallback=True), ranked]
    recommender = Recommender(shop, "als", ranker=Explained(lambda row: [Term("price", 2.0)]))
    whys = explanations._contributions(recommender, replace(slate, slots=tuple(slots)))
    assert [(each.kind, each.contribution) for why in whys for each in why.reasons] == [
        ("pinned", pinned.score),
        ("als", filled.score),
        (explanations.FEATURE, 2.0),
    ]


def test_the_reason_of_a_ranker_that_explains_nothing_is_the_source(shop: Bundle) -> None:
    class Silent:
        def rank(self, query: Query, rows: IntArray, scores: FloatArray) -> FloatArray:
            return rows.astype(np.float32)

    recommender = Recommender(shop, "als", ranker=Silent())
    slate = recommender.recommend(Query(shop.histories.of("both"), 3, NOW, "both"))
    whys = explanations.explain({"als": recommender}, slate)
    assert [[(each.kind, each.contribution) for each in why.reasons] for why in whys] == [
        [("als", slot.score)] for slot in slate.slots
    ]
