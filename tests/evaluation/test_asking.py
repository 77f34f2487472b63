"""The lists are the main path's, made without knowing the test window; and noise gets what noise deserves."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recsys.contracts import Query
from recsys.errors import RecsysError
from recsys.evaluation import asking, metrics
from recsys.recommender import Recommender
from recsys.sources.nearest import Nearest
from tests.evaluation import world


def random_vectors(n_items: int) -> np.ndarray:
    return np.random.default_rng(1).normal(size=(n_items, 4)).astype(np.float32)


def ones(n_items: int) -> np.ndarray:
    return np.ones((n_items, 3), dtype=np.float32)


@pytest.mark.parametrize("variant", ["als", "popular", "mixed"])
def test_the_lists_are_what_the_recommender_answers(tmp_path: Path, variant: str) -> None:
    made = world.make(tmp_path, 1, random_vectors, max_users=15)
    recommender = Recommender(made.bundle, variant)
    lists = asking.lists(recommender, made.split, made.sample, 35, seed=4)
    assert lists.shape == (15, 35)
    assert (lists == -1).any(), "a list that is shorter than asked belongs to this test"
    for at, user in enumerate(made.sample.users.tolist()):
        user_id = made.split.users["user_id"][user]
        query = Query(made.bundle.histories.of(user_id), 35, made.split.now("test"), user_id, seed=4)
        wanted = [slot.row for slot in recommender.recommend(query).slots]
        assert lists[at].tolist() == wanted + [-1] * (35 - len(wanted))


def test_no_query_knows_the_test_window(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = world.make(tmp_path, 1, random_vectors)
    seen: list[Query] = []
    recommend = Recommender.recommend

    def spy(self: Recommender, query: Query) -> Any:
        seen.append(query)
        return recommend(self, query)

    monkeypatch.setattr(Recommender, "recommend", spy)
    asking.lists(Recommender(made.bundle, "popular"), made.split, made.sample, 5, seed=4)
    start = made.split.now("test")
    assert [query.now for query in seen] == [start] * len(made.sample.users)
    assert max(query.history.times.max(initial=0) for query in seen) < start


def test_a_failing_source_stops_the_evaluation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = world.make(tmp_path, 1, random_vectors)

    def broken(*_: Any) -> Any:
        raise RuntimeError("broken on purpose")

    monkeypatch.setattr(Nearest, "propose", broken)
    warm = int(np.flatnonzero(made.sample.histories.lengths)[0])
    with pytest.raises(
        RecsysError, match=r"^variant 'als': source als failed for user 'u\d+'; .* run `dvc repro` again"
    ):
        asking.answer(Recommender(made.bundle, "als"), made.split, "test", int(made.sample.users[warm]), 5, seed=4)


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
        lists = {
            name: asking.lists(Recommender(made.bundle, variant), made.split, made.sample, 5, seed)
            for name, variant in (("constant", "als"), ("popular", "popular"))
        }
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
