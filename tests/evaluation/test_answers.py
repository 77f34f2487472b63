"""The lists are the main path's, made without knowing the test window; and noise gets what noise deserves."""

import os
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recsys.bundle import bundle
from recsys.bundle.bundle import Bundle
from recsys.contracts import EMPTY_HISTORY, History, Query
from recsys.data import split as splits
from recsys.data.split import ScoredFold, Split
from recsys.errors import RecsysError
from recsys.evaluation import answers, fold_bundle, metrics, segments
from recsys.evaluation.sample import Sample
from recsys.evaluation.segments import PLAIN, QueryMode
from recsys.processes import mapped
from recsys.recommend.recommender import Recommender
from recsys.sources.nearest import Nearest
from tests.data import made_split, test_split_protocols
from tests.evaluation import world
from tests.support import bundles

SETTINGS = bundles.settings().evaluate  # new users are told 0, 1 or 3 items


def random_vectors(n_items: int) -> np.ndarray:
    return np.random.default_rng(1).normal(size=(n_items, 4)).astype(np.float32)


def ones(n_items: int) -> np.ndarray:
    return np.ones((n_items, 3), dtype=np.float32)


def plain(made: world.World, variant: str, k: int, seed: int) -> np.ndarray:
    everyone = [segments.everyone(made.sample)]
    return answers.recommend_all(Recommender(made.bundle, variant), made.split, made.sample, everyone, k, seed)[PLAIN]


@pytest.mark.parametrize("variant", ["als", "popular", "random"])
def test_items_held_out_of_the_test_are_in_no_list_of_the_validation_window(tmp_path: Path, variant: str) -> None:
    events = test_split_protocols.random_events(2_000, n_items=40)
    cut = test_split_protocols.params(protocol="per_user_holdout", cold_item_share=0.2, allow_repeat=True)
    split = made_split.make(test_split_protocols.table(events), test_split_protocols.items(40), cut, seed=3)
    bundles.model(ones(40), tmp_path / "models" / "als")
    settings = bundles.settings(allow_repeat=True)
    folds: dict[ScoredFold, int] = {"valid": 32, "test": 40}
    for fold, n_shown in folds.items():
        parts = fold_bundle.parts(split, fold, tmp_path / "models", tmp_path / "models", settings)
        parts = replace(parts, models={"als": parts.models["als"]})
        bundle.write(parts, settings, {}, tmp_path / fold)
        recommender = Recommender(bundle.load(tmp_path / fold), variant)
        rows = {slot.row for slot in answers.recommend_offline(recommender, split, fold, 0, 40, seed=1).slots}
        assert rows.isdisjoint(split.cold_items("test").tolist()) == (fold == "valid")
        assert len(rows) == n_shown


@pytest.mark.parametrize("variant", ["als", "popular", "mixed"])
def test_the_lists_are_what_the_recommender_answers(tmp_path: Path, variant: str) -> None:
    made = world.make(tmp_path, 1, random_vectors, max_users=15)
    recommender, lists = Recommender(made.bundle, variant), plain(made, variant, 35, seed=4)
    assert lists.shape == (15, 35)
    assert (lists == -1).any(), "a list that is shorter than asked belongs to this test"
    for at, user in enumerate(made.sample.users.tolist()):
        user_id = made.split.users["user_id"][user]
        query = Query(made.bundle.histories.of(user_id), 35, made.split.now("test"), user_id, seed=4)
        wanted = [slot.row for slot in recommender.recommend(query).slots]
        assert lists[at].tolist() == wanted + [-1] * (35 - len(wanted))


def lists_and_process(
    loaded: Bundle, split: Split, variant: str, sample: Sample, parts: list[segments.Segment]
) -> tuple[int, dict[QueryMode, np.ndarray]]:
    lists = answers.recommend_all(Recommender(loaded, variant), split, sample, parts, 35, 4)
    return os.getpid(), lists


def test_several_processes_make_the_same_lists_as_one(tmp_path: Path) -> None:
    made = world.make(tmp_path, 1, random_vectors, max_users=15)
    (tmp_path / "split").mkdir()
    splits.save(made.split, tmp_path / "split")
    parts = [part for part in segments.build(made.sample, SETTINGS) if part.name in ("all", "new_user_1")]
    work = partial(lists_and_process, sample=made.sample, parts=parts)
    names = ["popular", "als", "mixed"]
    with mapped(2) as each:
        found = answers.of_variants(work, tmp_path / "bundle", tmp_path / "split", names, each)
    assert list(found) == names
    for name, (process, lists) in found.items():
        assert process != os.getpid()
        _, alone = work(made.bundle, made.split, name)
        assert alone.keys() == lists.keys()
        assert all(np.array_equal(lists[mode], alone[mode]) for mode in alone)


def test_no_query_knows_the_test_window(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = world.make(tmp_path, 1, random_vectors)
    seen: list[Query] = []
    recommend = Recommender.recommend

    def spy(self: Recommender, query: Query) -> Any:
        seen.append(query)
        return recommend(self, query)

    monkeypatch.setattr(Recommender, "recommend", spy)
    plain(made, "popular", 5, seed=4)
    start = made.split.now("test")
    assert [query.now for query in seen] == [start] * len(made.sample.users)
    assert max(query.history.times.max(initial=0) for query in seen) < start


def test_a_new_user_is_asked_for_with_the_end_of_the_history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = world.make(tmp_path, 1, random_vectors)
    parts = [part for part in segments.build(made.sample, SETTINGS) if part.name.startswith(segments.NEW_USER)]
    assert 3 < parts[0].users.sum() < len(made.sample.users)
    asked: list[Query] = []
    recommend = Recommender.recommend

    def spy(self: Recommender, query: Query) -> Any:
        asked.append(query)
        return recommend(self, query)

    monkeypatch.setattr(Recommender, "recommend", spy)
    lists = answers.recommend_all(Recommender(made.bundle, "als"), made.split, made.sample, parts, 5, seed=4)
    users = made.sample.users[parts[0].users]
    assert len(asked) == 3 * len(users)
    for known, queries in zip((0, 1, 3), np.split(np.array(asked, dtype=object), 3), strict=True):
        for query, user in zip(queries, users.tolist(), strict=True):
            whole = made.bundle.histories.at(user)
            assert len(set(query.history.rows.tolist())) == known
            assert query.history.rows.tolist() == whole.rows[len(whole) - len(query.history) :].tolist()
            assert query.now == made.split.query_now("test", whole)
            assert set(query.exclude.tolist()) == set(whole.rows.tolist()), "the same candidates for every number"
        rows = lists[QueryMode(known_items=known)]
        assert (rows[parts[0].users] >= 0).all()
        assert (rows[~parts[0].users] == -1).all()


def test_the_end_of_a_history_counts_different_liked_items() -> None:
    weights = np.array([1, 1, 0, 1, 1, 1, 0], dtype=np.float32)
    history = History(np.array([5, 4, 9, 3, 4, 3, 8], dtype=np.int32), weights, np.arange(7.0))
    told = {known: answers.newest(history, known) for known in (0, 1, 2, 3, 4)}
    assert told[0] is EMPTY_HISTORY
    assert told[1].rows.tolist() == [3, 8]
    assert told[2].rows.tolist() == [4, 3, 8]
    assert told[3].rows.tolist() == history.rows.tolist()
    assert told[2].times.tolist() == [4, 5, 6]
    assert told[4] is history


def test_only_arrived_items_answer_where_only_they_are_asked_for(tmp_path: Path) -> None:
    made = world.make(tmp_path, 1, random_vectors)
    sample = replace(made.sample, arrived=np.arange(world.N_ITEMS) < 8)
    part = segments.build(sample, SETTINGS)[-1]
    counted = part.counted(sample)
    assert 0 < counted.sum() < len(sample.users), "who wants none of these items must not be asked"
    lists = answers.recommend_all(Recommender(made.bundle, "als"), made.split, sample, [part], 5, seed=4)
    for user, row in zip(sample.users.tolist(), lists[part.mode], strict=True):
        allowed = set(range(8)) - set(made.bundle.histories.at(user).rows.tolist())
        shown = row[row >= 0].tolist()
        assert set(shown) <= allowed
        assert len(shown) == (min(5, len(allowed)) if counted[sample.users == user].any() else 0)


def test_a_failing_source_stops_the_evaluation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = world.make(tmp_path, 1, random_vectors)

    def broken(*_: Any) -> Any:
        raise RuntimeError("broken on purpose")

    monkeypatch.setattr(Nearest, "propose", broken)
    warm = int(np.flatnonzero(made.sample.histories.lengths)[0])
    with pytest.raises(
        RecsysError, match=r"^variant 'als': source als failed for user 'u\d+'; .* run `dvc repro` again"
    ):
        answers.recommend_offline(
            Recommender(made.bundle, "als"), made.split, "test", int(made.sample.users[warm]), 5, seed=4
        )


def test_a_constant_score_model_scores_like_random(tmp_path: Path) -> None:
    """All users get the same list from it, so one split proves nothing: many row orders do, by their mean.

    Had the rows stood in an order that follows popularity, its list would have been the popular one: that has to be far
    above, or the test could not notice.
    """
    recalls: dict[str, list[float]] = {"constant": [], "drawn": [], "popular": []}
    for seed in range(40):
        made = world.make(tmp_path, seed, ones, max_users=30)
        known = made.sample.histories.lengths > 0
        assert known.sum() > 10
        lists = {name: plain(made, variant, 5, seed) for name, variant in (("constant", "als"), ("popular", "popular"))}
        lists["drawn"] = _drawn(made, np.random.default_rng(seed))
        for name, rows in lists.items():
            found = metrics.hits(rows, made.sample.targets)
            recalls[name].append(float(metrics.recall(found, made.sample.targets.lengths)[known].mean()))
    constant, drawn, popular = (np.array(recalls[name]) for name in ("constant", "drawn", "popular"))
    error = np.hypot(constant.std(), drawn.std()) / np.sqrt(len(constant))
    assert abs(constant.mean() - drawn.mean()) < 3 * error
    assert popular.mean() - drawn.mean() > 6 * error


def _drawn(made: world.World, rng: np.random.Generator) -> np.ndarray:
    """Five items for each user, drawn from those outside of the history."""
    histories = made.sample.histories
    seen = np.split(histories.rows, histories.indptr[1:-1])
    lists = [rng.permutation(np.setdiff1d(range(world.N_ITEMS), rows))[:5] for rows in seen]
    return np.array(lists, dtype=np.int32)
