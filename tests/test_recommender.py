"""The main path: what every answer keeps, whatever is asked and whatever breaks."""

import dataclasses
import logging
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys import bundle, splitting
from recsys.bundle import Bundle, LoadedModel
from recsys.contracts import EMPTY_HISTORY, NO_ROWS, Candidates, History, Query
from recsys.errors import ParamsError
from recsys.rankers.recency import Recency
from recsys.recommender import Answer, Recommender
from recsys.rules.available import Available
from recsys.rules.seen import Seen
from recsys.sources.popular import Popular
from recsys.sources.random import Random
from tests import bundles

NOW = bundles.NOW.timestamp()
ROWS = st.integers(0, bundles.N_ITEMS - 1)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return bundle.load(bundles.write(tmp_path_factory.mktemp("recommender") / "bundle"))


@pytest.fixture(scope="module")
def recommenders(shop: Bundle) -> dict[str, Recommender]:
    return {name: Recommender(shop, name) for name in shop.manifest.variants}


def ask(recommender: Recommender, user_id: str, k: int = 5, exclude: list[int] | None = None) -> Answer:
    history = recommender.bundle.histories.of(user_id)
    rows = np.array(exclude or [], dtype=np.int32)
    return recommender.recommend(Query(history, k, NOW, user_id, exclude=rows))


def rows_of(answer: Answer) -> list[int]:
    return [slot.row for slot in answer.slots]


def broken(*_: Any) -> Any:
    raise RuntimeError("broken on purpose")


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
    assert (answer.fallback_reason is None) == (sum(not slot.fallback for slot in answer.slots) == k)
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
    with pytest.raises(ParamsError, match=r"variant 'best': not in the bundle; it has: als, als_recent, mixed,"):
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


# ---- whatever breaks


def with_model(shop: Bundle, **parts: Any) -> Bundle:
    model: LoadedModel = dataclasses.replace(shop.models["als"], **parts)
    return dataclasses.replace(shop, models={"als": model})


class Broken:
    """Raises whatever is asked of it."""

    encode = search = to = broken


def break_encoder(shop: Bundle, _: pytest.MonkeyPatch) -> Bundle:
    return with_model(shop, encoder=Broken())


def break_index(shop: Bundle, _: pytest.MonkeyPatch) -> Bundle:
    return with_model(shop, index=Broken())


def break_popular(shop: Bundle, patch: pytest.MonkeyPatch) -> Bundle:
    patch.setattr(Popular, "propose", broken)
    return shop


def break_random(shop: Bundle, patch: pytest.MonkeyPatch) -> Bundle:
    patch.setattr(Random, "propose", broken)
    return shop


def break_ranker(shop: Bundle, patch: pytest.MonkeyPatch) -> Bundle:
    patch.setattr(Recency, "rank", broken)
    return shop


Break = Callable[[Bundle, pytest.MonkeyPatch], Bundle]


@pytest.mark.parametrize(
    ("variant", "fault", "failed", "sources", "reason"),
    [
        ("als", break_encoder, "encoder als", {"popular"}, "part_failed"),
        ("als", break_index, "source als", {"popular"}, "part_failed"),
        ("als_recent", break_ranker, "ranker", {"als"}, None),
        ("mixed", break_index, "source als", {"popular", "random"}, None),
        ("mixed", break_popular, "source popular", {"als", "random"}, None),
        ("mixed", break_random, "source random", {"als", "popular"}, None),
        ("popular", break_popular, "source popular", {"static"}, "part_failed"),
    ],
)
def test_a_failing_part_contributes_nothing_and_is_named(
    shop: Bundle,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    variant: str,
    fault: Break,
    failed: str,
    sources: set[str],
    reason: str | None,
) -> None:
    recommender = Recommender(fault(shop, monkeypatch), variant)
    with caplog.at_level(logging.ERROR):
        answer = ask(recommender, "żółw/🐢", k=6)
    assert answer.failed == (failed,)
    assert answer.degraded
    assert answer.fallback_reason == reason
    assert {slot.source for slot in answer.slots} == sources
    assert len(set(rows_of(answer))) == 6
    assert not set(rows_of(answer)) & {*bundles.HISTORIES["żółw/🐢"], bundles.SOLD_OUT}
    assert f"{failed} failed; answering without it" in caplog.messages
    assert "broken on purpose" in caplog.text


def test_a_failing_part_does_not_break_similar_items(shop: Bundle) -> None:
    answer = Recommender(with_model(shop, similar=Broken()), "als").similar(3, Query(EMPTY_HISTORY, 5, NOW))
    assert answer.failed == ("source als",)
    assert answer.fallback_reason == "part_failed"
    assert {slot.source for slot in answer.slots} == {"popular"}


@pytest.mark.parametrize("rule", [Seen, Available])
def test_a_rule_that_cannot_be_asked_lets_nothing_pass(
    shop: Bundle, monkeypatch: pytest.MonkeyPatch, rule: type
) -> None:
    monkeypatch.setattr(rule, "keep", broken)
    answer = ask(Recommender(shop, "als"), "anna")
    assert answer.slots == ()
    assert answer.failed == (f"rule {rule.__name__.lower()}",)
    assert answer.shortfall == "only 0 of 24 items may be shown here, 5 were asked for"


# ---- a source without signal


def test_a_constant_score_source_scores_like_random(tmp_path: Path) -> None:
    """Ties are broken by position, so position must mean nothing. Here the users like the items whose ids sort first,
    and the model gives every item the same vector: the lists may hold no more and no less of them than a random draw.
    """
    n_items, n_liked, k, seeds = 40, 10, 10, 50
    liked = [f"a{number:02}" for number in range(n_liked)]
    items = pl.DataFrame({"item_id": liked + [f"b{number:02}" for number in range(n_items - n_liked)]}).with_columns(
        available=True, first_seen=pl.lit(None, pl.Datetime("us", "UTC")), title="item_id", text=pl.lit("")
    )
    items = items.with_columns(categories=pl.lit([], pl.List(pl.String)), price=pl.lit(None, pl.Float64))
    events = pl.DataFrame(
        [
            (f"u{user}", liked[(user + day) % n_liked], bundles.START + timedelta(days=day), "purchase", None, 1.0)
            for user in range(5)
            for day in range(10)
        ],
        schema=["user_id", "item_id", "timestamp", "event", "value", "weight"],
        orient="row",
    )
    settings = bundles.settings()
    bundles.model(np.ones((n_items, 3), dtype=np.float32), tmp_path / "model")
    found = []
    for seed in range(seeds):
        split = splitting.make(events.lazy(), items, settings.data.split, seed)
        folders = {"als": (tmp_path / "model", tmp_path / "model")}
        parts = bundle.Parts(split.fit_rows("all"), split.catalogue, split.users, NOW, folders)
        bundle.write(parts, settings, {}, tmp_path / "bundle")
        constant = Recommender(bundle.load(tmp_path / "bundle"), "als")
        stranger = History(np.zeros(1, dtype=np.int32), np.ones(1, dtype=np.float32), np.array([NOW]))
        answer = constant.recommend(Query(stranger, k, NOW))
        assert len({slot.score for slot in answer.slots}) == 1
        assert {slot.source for slot in answer.slots} == {"als"}
        found += [split.catalogue["item_id"][row] in liked for row in rows_of(answer)]
    share = n_liked / n_items
    assert abs(np.mean(found) - share) < 3 * np.sqrt(share * (1 - share) / len(found))


def test_an_empty_history_is_no_signal(recommenders: dict[str, Recommender]) -> None:
    answer = recommenders["mixed"].recommend(Query(EMPTY_HISTORY, 8, NOW))
    assert "als" not in {slot.source for slot in answer.slots}
    assert answer.fallback_reason is None


def test_a_source_that_proposes_nothing_at_all(shop: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Popular, "propose", lambda *_: Candidates(NO_ROWS, np.empty(0, dtype=np.float32)))
    answer = ask(Recommender(shop, "popular"), "anna")
    assert {slot.source for slot in answer.slots} == {"static"}
    assert not answer.degraded
