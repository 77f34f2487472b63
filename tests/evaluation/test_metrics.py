"""Each metric against a twin that loops, and against ranx on the same lists."""

import math
from collections.abc import Callable
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from recsys.evaluation import metrics
from recsys.evaluation.metrics import Ragged

N_ITEMS = 30


def random_lists(rng: np.random.Generator, n_users: int, k: int) -> np.ndarray:
    lists = np.stack([rng.permutation(N_ITEMS)[:k] for _ in range(n_users)]).astype(np.int32)
    lists[np.arange(k) >= rng.integers(0, k + 1, size=n_users)[:, None]] = -1  # lists may be short or empty
    return lists


def random_sets(rng: np.random.Generator, n_users: int, most: int) -> list[set[int]]:
    return [set(rng.permutation(N_ITEMS)[: rng.integers(0, most + 1)].tolist()) for _ in range(n_users)]


def ragged(sets: list[set[int]]) -> Ragged:
    flat = [row for rows in sets for row in sorted(rows)]
    return Ragged(np.cumsum([0, *map(len, sets)]), np.array(flat, dtype=np.int32))


def ranked(row: np.ndarray) -> list[int]:
    return [int(item) for item in row if item >= 0]


def slow_recall(items: list[int], targets: set[int], k: int) -> float:
    return len(set(items) & targets) / len(targets)


def slow_hit_rate(items: list[int], targets: set[int], k: int) -> float:
    return float(any(item in targets for item in items))


def slow_mrr(items: list[int], targets: set[int], k: int) -> float:
    return next((1 / rank for rank, item in enumerate(items, 1) if item in targets), 0.0)


def slow_ndcg(items: list[int], targets: set[int], k: int) -> float:
    gain = sum(1 / math.log2(rank + 1) for rank, item in enumerate(items, 1) if item in targets)
    return gain / sum(1 / math.log2(rank + 1) for rank in range(1, min(k, len(targets)) + 1))


TWINS = {"recall": slow_recall, "hit_rate": slow_hit_rate, "mrr": slow_mrr, "ndcg": slow_ndcg}


@pytest.mark.parametrize("name", TWINS)
@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 2**32 - 1), k=st.integers(1, 12))
def test_accuracy_is_what_a_loop_computes(name: str, seed: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    lists, targets = random_lists(rng, 9, k), random_sets(rng, 9, 15)
    found = metrics.hits(lists, ragged(targets))
    got = getattr(metrics, name)(found, ragged(targets).lengths)
    wanted = [TWINS[name](ranked(row), rows, k) if rows else math.nan for row, rows in zip(lists, targets, strict=True)]
    np.testing.assert_allclose(got, wanted, atol=1e-12)


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 2**32 - 1))
def test_list_metrics_are_what_a_loop_computes(seed: int) -> None:
    rng = np.random.default_rng(seed)
    lists, histories = random_lists(rng, 9, 6), random_sets(rng, 9, 5)
    popularity, flags = rng.integers(0, 50, N_ITEMS), rng.random((N_ITEMS, 4)) < 0.4
    unit = flags / np.sqrt(np.maximum(flags.sum(axis=1, keepdims=True), 1))

    def mean(values: list[float]) -> float:
        return sum(values) / len(values) if values else math.nan

    def bias(items: list[int], history: set[int]) -> float:
        before = mean([float(popularity[row]) for row in history])
        return mean([float(popularity[row]) for row in items]) / before if before else math.nan

    def information(items: list[int]) -> float:
        return mean([math.log2(50 / max(1, popularity[row])) for row in items])

    def unlike(items: list[int]) -> float:
        return mean([1 - float(unit[a] @ unit[b]) for a, b in combinations(items, 2)])

    items = [ranked(row) for row in lists]
    np.testing.assert_allclose(
        metrics.novelty(lists, popularity, 50), [information(rows) for rows in items], atol=1e-12
    )
    np.testing.assert_allclose(metrics.diversity(lists, csr_array(unit)), [unlike(rows) for rows in items], atol=1e-12)
    np.testing.assert_allclose(
        metrics.popularity_bias(lists, popularity, ragged(histories)), [*map(bias, items, histories)], atol=1e-12
    )
    assert metrics.coverage(lists, N_ITEMS) == len({row for rows in items for row in rows}) / N_ITEMS


def test_keep_drops_entries_not_users() -> None:
    kept = ragged([{1, 2}, {3}, set(), {4}]).keep(np.array([False, True, False, True]))
    assert kept.indptr.tolist() == [0, 1, 1, 1, 2]
    assert kept.rows.tolist() == [2, 4]


@pytest.fixture(scope="session")
def ranx_evaluate() -> Callable[..., dict[str, np.ndarray]]:
    import ranx

    def run(lists: np.ndarray, targets: list[set[int]], names: list[str]) -> dict[str, np.ndarray]:
        users = [f"u{user:05d}" for user in range(len(lists))]
        qrels = {user: {f"i{row}": 1 for row in rows} for user, rows in zip(users, targets, strict=True)}
        scores = {
            user: {f"i{row}": float(-rank) for rank, row in enumerate(ranked(row))}
            for user, row in zip(users, lists, strict=True)
        }
        return ranx.evaluate(ranx.Qrels(qrels), ranx.Run(scores), names, return_mean=False, threads=1)

    return run


@pytest.mark.filterwarnings("ignore")  # numba and ranx warn about themselves
def test_accuracy_agrees_with_ranx(ranx_evaluate: Callable[..., dict[str, np.ndarray]]) -> None:
    rng = np.random.default_rng(3)
    lists = np.stack([rng.permutation(N_ITEMS)[:20] for _ in range(300)]).astype(np.int32)
    lists[::7, 8:] = -1
    targets = [rows | {0} for rows in random_sets(rng, 300, 25)]
    found, n_targets = metrics.hits(lists, ragged(targets)), ragged(targets).lengths
    names = {"recall": "recall", "ndcg": "ndcg", "hit_rate": "hit_rate", "mrr": "mrr"}
    theirs = ranx_evaluate(lists, targets, [f"{name}@{k}" for name in names.values() for k in (10, 20)])
    for name in names:
        for k in (10, 20):
            ours = getattr(metrics, name)(found[:, :k], n_targets)
            np.testing.assert_allclose(ours, theirs[f"{name}@{k}"], rtol=0, atol=1e-9, err_msg=f"{name}@{k}")


def test_users_without_a_row_that_is_kept_stay() -> None:
    kept = Ragged(np.array([0, 2, 3, 4]), np.array([7, 9, 5, 6], dtype=np.int32)).keep(
        np.array([True, False, True, False])
    )
    assert (kept.lengths.tolist(), kept.rows.tolist()) == ([1, 1, 0], [7, 5])
