"""The main path when something breaks, and when a source has no signal."""

import dataclasses
import logging
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from recsys.bundle import bundle
from recsys.bundle.bundle import Bundle, LoadedModel
from recsys.contracts import EMPTY_HISTORY, NO_ROWS, Candidates, History, Query
from recsys.rankers.recency import Recency
from recsys.recommend.recommender import Recommender, Slate
from recsys.rules.available import Available
from recsys.rules.seen import Seen
from recsys.sources.popular import Popular
from recsys.sources.random import Random
from tests.data.made_split import make
from tests.support import bundles

NOW = bundles.NOW.timestamp()


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


def broken(*_: Any) -> Any:
    raise RuntimeError("broken on purpose")


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
        ("mixed", break_index, "source als", {"popular", "random"}, "part_failed"),
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


def test_a_ranker_without_numbers_counts_as_failed(shop: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Recency, "rank", lambda _, __, rows, ___: np.full(len(rows), np.nan, dtype=np.float32))
    answer = ask(Recommender(shop, "als_recent"), "anna")
    assert (answer.failed, len(answer.slots)) == (("ranker",), 5)
    assert all(np.isfinite(slot.score) for slot in answer.slots)


def test_a_failing_part_does_not_break_similar_items(shop: Bundle) -> None:
    answer = Recommender(with_model(shop, similar=Broken()), "als").similar(3, Query(EMPTY_HISTORY, 5, NOW))
    assert answer.failed == ("similar als",)
    assert answer.fallback_reason == "part_failed"
    assert {slot.source for slot in answer.slots} == {"popular"}


@pytest.mark.parametrize("rule", [Seen, Available])
def test_a_rule_that_could_never_be_asked_lets_nothing_pass(
    shop: Bundle, monkeypatch: pytest.MonkeyPatch, rule: type
) -> None:
    """Such a bundle is refused before it serves, see `recsys/recommend/self_check.py`."""
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
        split = make(events.lazy(), items, settings.data.split, seed)
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
    assert (answer.fallback_reason, answer.personalised_share) == ("no_history", 0.0)


def test_a_source_that_proposes_nothing_at_all(shop: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Popular, "propose", lambda *_: Candidates(NO_ROWS, np.empty(0, dtype=np.float32)))
    answer = ask(Recommender(shop, "popular"), "anna")
    assert {slot.source for slot in answer.slots} == {"static"}
    assert not answer.degraded


@pytest.mark.parametrize(
    "change",
    [
        lambda found: dataclasses.replace(found, rows=found.rows + 99),
        lambda found: dataclasses.replace(found, rows=found.rows - 99),
        lambda found: dataclasses.replace(found, rows=found.rows + bundles.N_ITEMS),
        lambda found: dataclasses.replace(found, rows=np.append(found.rows[1:], np.int32(bundles.N_ITEMS))),
        lambda found: dataclasses.replace(found, rows=found.rows.astype(np.float64)),
        lambda found: dataclasses.replace(found, scores=found.scores[:2]),
        lambda found: found.rows.tolist(),
        lambda _: None,
    ],
)
def test_a_source_that_breaks_its_contract_is_blamed_and_left_out(
    shop: Bundle, monkeypatch: pytest.MonkeyPatch, change: Callable[[Candidates], Any]
) -> None:
    """And no rule, though it is the rules that stumble over such rows."""
    propose = Random.propose
    monkeypatch.setattr(Random, "propose", lambda *given: change(propose(*given)))
    answer = ask(Recommender(shop, "mixed"), "anna")
    assert answer.failed == ("source random",)
    assert len(answer.slots) == 5
    assert {slot.source for slot in answer.slots} == {"als", "popular"}
