"""The main path: what every answer keeps, whatever is asked and whatever breaks."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.bundle import bundle
from recsys.bundle.bundle import Bundle
from recsys.contracts import EMPTY_HISTORY, History, Query
from recsys.errors import ParamsError
from recsys.recommend.recommender import Recommender, Slate
from tests.support import bundles

NOW = bundles.NOW.timestamp()
ROWS = st.integers(0, bundles.N_ITEMS - 1)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return bundle.load(bundles.write(tmp_path_factory.mktemp("recommender") / "bundle"))


@pytest.fixture(scope="module")
def recommenders(shop: Bundle) -> dict[str, Recommender]:
    return {name: Recommender(shop, name) for name in shop.manifest.variants}


def ask(recommender: Recommender, user_id: str, k: int = 5, exclude: list[int] | None = None) -> Slate:
    history = recommender.bundle.histories.of(user_id)
    rows = np.array(exclude or [], dtype=np.int32)
    return recommender.recommend(Query(history, k, NOW, user_id, exclude=rows))


def rows_of(answer: Slate) -> list[int]:
    return [slot.row for slot in answer.slots]


@st.composite
def histories(draw: st.DrawFn) -> History:
    rows = draw(st.lists(ROWS, max_size=40))
    weights = draw(st.lists(st.sampled_from([0.0, 1.0, 5.0]), min_size=len(rows), max_size=len(rows)))
    ages = draw(st.lists(st.floats(0, 1e8), min_size=len(rows), max_size=len(rows)))
    return History(
        np.array(rows, dtype=np.int32), np.array(weights, dtype=np.float32), NOW - np.sort(np.array(ages))[::-1]
    )


# ---- whatever is asked


@given(
    variant=st.sampled_from(sorted(bundles.VARIANTS)),
    history=histories(),
    k=st.integers(1, 30),
    exclude=st.lists(ROWS, max_size=30),
    user_id=st.none() | st.text(max_size=5),
)
def test_exactly_k_items_or_a_stated_shortfall_and_nothing_forbidden(
    recommenders: dict[str, Recommender],
    variant: str,
    history: History,
    k: int,
    exclude: list[int],
    user_id: str | None,
) -> None:
    query = Query(history, k, NOW, user_id, exclude=np.array(exclude, dtype=np.int32))
    answer = recommenders[variant].recommend(query)
    rows = rows_of(answer)
    allowed = set(range(bundles.N_ITEMS)) - set(history.rows.tolist()) - set(exclude) - {bundles.SOLD_OUT}
    assert len(rows) == len(set(rows)) == min(k, len(allowed))
    assert set(rows) <= allowed
    assert (answer.shortfall is None) == (len(rows) == k)
    if answer.shortfall is not None:
        assert answer.shortfall == f"only {len(rows)} of 24 items may be shown here, {k} were asked for"
    full = sum(not slot.fallback for slot in answer.slots) == k
    asks_models = variant not in ("popular", "random")
    assert (answer.fallback_reason is None) == (full and (not asks_models or bool(answer.personalised)))
    assert not answer.degraded


@given(row=ROWS, k=st.integers(1, 30), exclude=st.lists(ROWS, max_size=30))
def test_similar_items_keep_the_same_promises(
    recommenders: dict[str, Recommender], row: int, k: int, exclude: list[int]
) -> None:
    query = Query(EMPTY_HISTORY, k, NOW, exclude=np.array(exclude, dtype=np.int32))
    answer = recommenders["als"].similar(row, query)
    allowed = set(range(bundles.N_ITEMS)) - set(exclude) - {row, bundles.SOLD_OUT}
    assert len(rows_of(answer)) == len(set(rows_of(answer))) == min(k, len(allowed))
    assert set(rows_of(answer)) <= allowed
    assert (answer.shortfall is None) == (len(answer.slots) == k)


def test_a_planted_taste_is_found(recommenders: dict[str, Recommender]) -> None:
    assert set(rows_of(ask(recommenders["als"], "anna"))) <= set(bundles.KITCHEN)
    assert set(rows_of(ask(recommenders["als"], "ben"))) <= {*bundles.GARDEN, bundles.ODD}


def test_scores_fall_within_a_source(recommenders: dict[str, Recommender]) -> None:
    scores = [slot.score for slot in ask(recommenders["als"], "anna").slots]
    assert scores == sorted(scores, reverse=True)


def test_the_variant_s_sources_share_every_prefix_of_the_answer(recommenders: dict[str, Recommender]) -> None:
    labels = [slot.source for slot in ask(recommenders["mixed"], "żółw/🐢", k=10).slots]
    assert [labels.count(name) for name in ("als", "popular", "random")] == [5, 3, 2]
    for end in range(1, 11):
        for name, share in (("als", 0.5), ("popular", 0.3), ("random", 0.2)):
            assert abs(labels[:end].count(name) - share * end) < 1


def test_repeats_are_allowed_where_the_data_set_says_so(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("repeat") / "bundle"
    recommender = Recommender(bundle.load(bundles.write(folder, allow_repeat=True)), "als")
    assert set(rows_of(ask(recommender, "anna", k=10))) & set(bundles.HISTORIES["anna"])
    assert bundles.SOLD_OUT not in rows_of(ask(recommender, "anna", k=23))


def test_the_trace_says_what_each_step_kept_and_removed(recommenders: dict[str, Recommender]) -> None:
    trace = {step.name: step for step in ask(recommenders["als"], "anna").trace}
    assert list(trace) == ["encode", "source als", "rules", "mix"]
    assert (trace["source als"].kept, trace["rules"].kept, trace["rules"].removed) == (22, 17, 5)
    assert all(step.ms >= 0 for step in trace.values())


def test_a_variant_that_is_not_in_the_bundle_is_refused(shop: Bundle) -> None:
    with pytest.raises(ParamsError, match=r"variant 'best': not in the bundle; it has: als, als_recent, covisit,"):
        Recommender(shop, "best")


# ---- why the fallback answered


@pytest.mark.parametrize(
    ("user_id", "k", "reason"),
    [
        ("anna", 5, None),
        ("anna", 20, "too_few_candidates"),
        ("newcomer", 5, "no_history"),
        ("a stranger", 5, "no_history"),
        ("only new", 5, "history_unknown_to_models"),
        ("looker", 5, "history_unknown_to_models"),
    ],
)
def test_the_reason_of_the_fallback(
    recommenders: dict[str, Recommender], user_id: str, k: int, reason: str | None
) -> None:
    answer = ask(recommenders["als"], user_id, k)
    assert answer.fallback_reason == reason
    assert any(slot.fallback for slot in answer.slots) == (reason is not None)


def test_a_stranger_gets_what_is_popular_in_its_order(recommenders: dict[str, Recommender], shop: Bundle) -> None:
    answer = ask(recommenders["als"], "a stranger")
    demand = shop.catalogue.recent[rows_of(answer)]
    assert {slot.source for slot in answer.slots} == {"popular"}
    assert demand.tolist() == sorted(demand, reverse=True)
    assert demand[0] == shop.catalogue.recent[shop.catalogue.available].max()


def test_similar_to_an_item_no_model_knows_is_what_is_popular(recommenders: dict[str, Recommender]) -> None:
    answer = recommenders["als"].similar(bundles.NEW[0], Query(EMPTY_HISTORY, 5, NOW))
    assert answer.fallback_reason == "item_unknown_to_models"
    assert {slot.source for slot in answer.slots} == {"popular"}


def test_similar_items_are_of_the_same_taste(recommenders: dict[str, Recommender]) -> None:
    answer = recommenders["als"].similar(3, Query(EMPTY_HISTORY, 6, NOW))
    assert set(rows_of(answer)) <= set(bundles.KITCHEN) - {3}
    assert answer.fallback_reason is None
    assert {slot.source for slot in answer.slots} == {"als"}
