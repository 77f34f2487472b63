"""The index finds the true neighbours, and says so when it does not."""

from pathlib import Path

import numpy as np
import pytest

from recsys.bundle.index import Index, build
from recsys.contracts import FloatArray
from recsys.errors import BundleError, GateError
from recsys.params import IndexParams

PARAMS = IndexParams(exact_up_to=1000, min_recall=0.98, recall_at=50, sample=200)


def vectors(n: int, seed: int = 3) -> FloatArray:
    """Items in 40 neighbourhoods, some much longer than others, as collaborative models make them."""
    draw = np.random.default_rng(seed)
    centres = draw.normal(size=(40, 16))
    found = centres[draw.integers(40, size=n)] + 0.5 * draw.normal(size=(n, 16))
    return (found * draw.lognormal(0, 0.7, size=(n, 1))).astype(np.float32)


def test_a_small_catalogue_is_searched_exactly() -> None:
    items, rows = vectors(500), np.arange(500, dtype=np.int32)
    index = build(items, rows, PARAMS, seed=1)
    found, scores = index.search(items[7], 10)
    products = items @ items[7]
    assert found.tolist() == np.argsort(-products)[:10].tolist()
    assert np.allclose(scores, products[found], atol=1e-4)
    assert (index.report.kind, index.report.recall) == ("exact", 1.0)


def test_a_large_one_keeps_the_recall_that_it_reports() -> None:
    items, rows = vectors(6000), np.arange(6000, dtype=np.int32)
    index = build(items, rows, PARAMS, seed=1)
    assert index.report.kind == "ivf_fp16"
    assert index.report.nprobe < index.report.nlist
    assert index.report.recall >= PARAMS.min_recall
    fresh = np.random.default_rng(99).integers(6000, size=100)
    hits = [len(np.intersect1d(index.search(q, 50)[0], np.argsort(-(items @ q))[:50])) for q in items[fresh]]
    assert np.mean(hits) / 50 >= PARAMS.min_recall - 0.02


def test_items_of_very_different_length_are_found_in_a_small_part_of_the_lists() -> None:
    draw = np.random.default_rng(5)
    items = vectors(20_000) * draw.lognormal(0, 1.5, size=(20_000, 1)).astype(np.float32)
    index = build(items, np.arange(20_000, dtype=np.int32), PARAMS, seed=1)
    assert index.report.nprobe < index.report.nlist / 5


def test_who_asks_for_more_gets_the_same_recall() -> None:
    items = vectors(20_000)
    index = build(items, np.arange(20_000, dtype=np.int32), PARAMS, seed=1)
    for n in (5, 50, 500):
        hits = [len(np.intersect1d(index.search(q, n)[0], np.argsort(-(items @ q))[:n])) for q in items[:50]]
        assert np.mean(hits) / n >= PARAMS.min_recall - 0.02


def test_recall_is_that_of_the_queries_given() -> None:
    items, rows = vectors(6000), np.arange(6000, dtype=np.int32)
    queries = -items[:100]
    index = build(items, rows, PARAMS, seed=1, queries=queries)
    hits = [len(np.intersect1d(index.search(q, 50)[0], np.argsort(-(items @ q))[:50])) for q in queries]
    assert np.mean(hits) / 50 == pytest.approx(index.report.recall, abs=0.002)
    assert index.report.recall >= PARAMS.min_recall


def test_one_thread_or_two_give_the_same_bytes(tmp_path: Path) -> None:
    items, rows = vectors(6000), np.arange(6000, dtype=np.int32)
    for threads in (1, 2):
        build(items, rows, PARAMS, seed=1, threads=threads).save(tmp_path / str(threads))
    assert (tmp_path / "1/index.faiss").read_bytes() == (tmp_path / "2/index.faiss").read_bytes()


def test_only_known_rows_are_answered() -> None:
    items, rows = vectors(500), np.arange(100, 200, dtype=np.int32)
    found, _ = build(items, rows, PARAMS, seed=1).search(items[5], 500)
    assert sorted(found.tolist()) == list(range(100, 200))


def test_lists_that_hold_too_few_items_leave_no_places_behind() -> None:
    """faiss fills them with -1, which as a position would be the last item."""
    items, rows = vectors(6000), np.arange(6000, dtype=np.int32)
    index = build(items, rows, PARAMS, seed=1)
    index.report = index.report.model_copy(update={"nprobe": 1, "recall_at": 6000})
    found, scores = index.search(items[5], 6000)
    assert 0 < len(found) < 6000
    assert len(set(found.tolist())) == len(found) == len(scores)
    np.testing.assert_allclose(scores, items[found] @ items[5], rtol=0.01, atol=0.2)  # fp16


def test_a_model_that_knows_nothing_answers_nothing() -> None:
    found, scores = build(vectors(5), np.empty(0, dtype=np.int32), PARAMS, seed=1).search(vectors(5)[0], 3)
    assert len(found) == len(scores) == 0


def test_a_missed_gate_is_one_line() -> None:
    strict = PARAMS.model_copy(update={"min_recall": 1.0, "exact_up_to": 10})
    items = vectors(3000) * np.float32(1e-6)  # below the resolution of fp16
    with pytest.raises(
        GateError, match=r"recall@50 is 0\.\d+ with all \d+ lists searched, expected .* 1.0; raise index"
    ):
        build(items, np.arange(3000, dtype=np.int32), strict, seed=1)


def test_saved_and_loaded_it_answers_the_same_and_the_bytes_are_the_same(tmp_path: Path) -> None:
    items, rows = vectors(3000), np.arange(3000, dtype=np.int32)
    for name in ("a", "b"):
        build(items, rows, PARAMS, seed=1).save(tmp_path / name)
    assert (tmp_path / "a/index.faiss").read_bytes() == (tmp_path / "b/index.faiss").read_bytes()
    loaded, fresh = Index.load(tmp_path / "a", rows), build(items, rows, PARAMS, seed=1)
    assert np.array_equal(loaded.search(items[3], 20)[0], fresh.search(items[3], 20)[0])
    assert loaded.report == fresh.report


def test_a_broken_file_is_refused(tmp_path: Path) -> None:
    items, rows = vectors(100), np.arange(100, dtype=np.int32)
    build(items, rows, PARAMS, seed=1).save(tmp_path)
    (tmp_path / "index.faiss").write_bytes(b"nonsense")
    with pytest.raises(BundleError, match="not a readable index"):
        Index.load(tmp_path, rows)
