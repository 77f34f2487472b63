"""Extensions that are wrong in one way each are refused with their file and a cure; sound ones of every kind pass."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recsys.bundle import bundle
from recsys.bundle.bundle import Bundle
from recsys.contracts import (
    NO_CANDIDATES,
    BoolArray,
    Candidates,
    Embeddings,
    FloatArray,
    History,
    IntArray,
    ItemItem,
    Query,
    TrainingData,
)
from tests.extensions.contracts import check_encoder, check_model, check_ranker, check_rule, check_source
from tests.extensions.test_models import training
from tests.support import bundles

DIM, N = 4, 30


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder: Path = tmp_path_factory.mktemp("planted") / "bundle"
    return bundle.load(bundles.write(folder))


class GoodSource:
    """Cheapest rows first."""

    def __init__(self, change: Callable[[Candidates, Query], Candidates] | None = None, n_more: int = 0) -> None:
        self._change, self._n_more = change or (lambda found, _: found), n_more

    def propose(self, query: Query, n: int) -> Candidates:
        rows = np.arange(bundles.N_ITEMS, dtype=np.int32)[: n + self._n_more]
        return self._change(Candidates(rows, (-rows).astype(np.float32)), query)


class GoodRule:
    """Even rows only."""

    def keep(self, query: Query, rows: IntArray) -> BoolArray:
        return rows % 2 == 0


class GoodRanker:
    """By the best score of a source, then by the row."""

    def rank(self, query: Query, rows: IntArray, scores: FloatArray) -> FloatArray:
        best: FloatArray = np.nan_to_num(np.fmax.reduce(scores, axis=0), nan=-9.0)
        return (best - rows / np.float32(1e3)).astype(np.float32)


class GoodEncoder:
    """The sum of what was liked."""

    def encode(self, history: History, now: float) -> FloatArray | None:
        liked = history.likes
        return None if not len(liked) else np.full(DIM, float(liked.sum() + 1), dtype=np.float32)


def embeddings(data: TrainingData) -> Embeddings:
    vectors = np.random.default_rng(data.seed).normal(size=(data.n_items, DIM)).astype(np.float32)
    return Embeddings(vectors, np.arange(data.n_items, dtype=np.int32), "als_fold_in", {}, {})


PAIR_SETTINGS = {"half_life_days": 1.0, "last": 5, "place_decay": 0.5}


def pairs(data: TrainingData) -> ItemItem:
    """Each item leads to the next one."""
    indptr = np.arange(data.n_items + 1, dtype=np.int64)
    rows = ((np.arange(data.n_items) + 1) % data.n_items).astype(np.int32)
    return ItemItem(indptr, rows, np.ones(len(rows), dtype=np.float32), PAIR_SETTINGS)


def source(change: Callable[[Candidates, Query], Candidates], n_more: int = 0) -> Callable[[Bundle], None]:
    return lambda shop: check_source("planted", GoodSource(change, n_more), shop)


def rule(keep: Callable[[Query, IntArray], Any]) -> Callable[[Bundle], None]:
    planted: Any = type("Planted", (), {"keep": lambda _, query, rows: keep(query, rows)})()
    return lambda shop: check_rule("planted", planted, shop)


def ranker(rank: Callable[[Query, IntArray, FloatArray], Any]) -> Callable[[Bundle], None]:
    planted: Any = type("Planted", (), {"rank": lambda _, query, rows, scores: rank(query, rows, scores)})()
    return lambda shop: check_ranker("planted", planted, shop)


def encoder(encode: Callable[[History, float], Any]) -> Callable[[Bundle], None]:
    planted: Any = type("Planted", (), {"encode": lambda _, history, now: encode(history, now)})()
    return lambda _: check_encoder("planted", planted, DIM, N)


def model(fit: Callable[[TrainingData], Any]) -> Callable[[Bundle], None]:
    return lambda _: check_model("planted", fit, training())


def raises(*_: Any) -> Any:
    raise KeyError("u1")


def changes(rows: IntArray) -> BoolArray:
    rows[:1] = 0
    return rows >= 0


_drawn = np.random.default_rng(1)

BAD: dict[str, tuple[Callable[[Bundle], None], str]] = {
    "source: rows as int64": (
        source(lambda found, _: replace(found, rows=found.rows.astype(np.int64))), "rows are int64"
    ),
    "source: worst first": (source(lambda found, _: replace(found, scores=-found.scores)), "not descending"),
    "source: NaN": (source(lambda found, _: replace(found, scores=found.scores * np.float32("nan"))), "NaN"),
    "source: a row twice": (source(lambda found, _: replace(found, rows=found.rows * 0)), "comes twice"),
    "source: outside of the catalogue": (
        source(lambda found, _: replace(found, rows=found.rows + 99)), "outside of the"
    ),
    "source: more than asked for": (source(lambda found, _: found, n_more=1), "were asked for"),
    "source: not the same twice": (
        source(lambda found, _: replace(found, scores=found.scores - np.float32(_drawn.random()))), "query.seed"
    ),
    "source: everything is personal": (
        source(lambda found, _: replace(found, personal=np.ones(len(found.rows), dtype=np.bool_))), "without a history"
    ),
    "source: fails for a stranger": (
        source(lambda found, query: found if len(query.history) else raises()), "raised KeyError"
    ),
    "source: a list": (source(lambda found, _: found.rows.tolist()), "return Candidates"),
    "rule: positions": (rule(lambda _, rows: np.flatnonzero(rows % 2)), "return an array of bool"),
    "rule: of another length": (rule(lambda _, rows: (rows % 2 == 0)[:1]), "one bool a row"),
    "rule: only the first of a list": (rule(lambda _, rows: np.arange(len(rows)) < 1), "judge each row alone"),
    "rule: changes its input": (rule(lambda _, rows: changes(rows)), "work on a copy"),
    "ranker: NaN": (ranker(lambda _, rows, scores: scores[0]), "fill the NaN"),
    "ranker: float64": (ranker(lambda _, rows, scores: rows.astype(np.float64)), "return float32"),
    "ranker: by place": (
        ranker(lambda _, rows, scores: np.arange(len(rows), dtype=np.float32)), "score each row by itself"
    ),
    "ranker: fails without candidates": (
        ranker(lambda _, rows, scores: (rows - rows.max()).astype(np.float32)), "raised ValueError"
    ),
    "encoder: a vector of nothing": (encoder(lambda history, _: np.ones(DIM, dtype=np.float32)), "return None"),
    "encoder: float64": (encoder(lambda history, _: np.ones(DIM) if len(history.likes) else None), "return float32"),
    "encoder: of another width": (
        encoder(lambda history, _: np.ones(DIM + 1, dtype=np.float32) if len(history.likes) else None), r"return \(4,\)"
    ),
    "encoder: overflows": (
        encoder(lambda history, _: np.full(DIM, np.inf, dtype=np.float32) if len(history.likes) else None), "not finite"
    ),
    "model: vectors of zero in rows": (
        model(lambda data: replace(embeddings(data), vectors=embeddings(data).vectors * 0)), "leave it out of rows"
    ),
    "model: too few vectors": (
        model(lambda data: replace(embeddings(data), vectors=embeddings(data).vectors[1:])), "one vector an item"
    ),
    "model: rows in any order": (
        model(lambda data: replace(embeddings(data), rows=embeddings(data).rows[::-1])), "not ascending"
    ),
    "model: another seed each time": (
        model(lambda data: embeddings(replace(data, seed=int(_drawn.integers(1 << 30))))), "draw from data.seed"
    ),
    "model: an item leads to itself": (
        model(lambda data: replace(pairs(data), rows=np.arange(data.n_items, dtype=np.int32))), "a pair with itself"
    ),
    "model: an infinite pair": (
        model(lambda data: replace(pairs(data), scores=pairs(data).scores * np.float32("inf"))), "without a score"
    ),
}  # fmt: skip

GOOD: dict[str, Callable[[Bundle], None]] = {
    "a source": lambda shop: check_source("good", GoodSource(), shop),
    "a source that knows nobody": source(lambda *_: NO_CANDIDATES),
    "a source that is personal to those who liked": source(
        lambda found, query: replace(found, personal=np.full(len(found.rows), len(query.history) > 0))
    ),
    "a rule": lambda shop: check_rule("good", GoodRule(), shop),
    "a rule that forbids everything": rule(lambda _, rows: np.zeros(len(rows), dtype=np.bool_)),
    "a rule of the user": rule(lambda query, rows: ~np.isin(rows, query.history.rows)),
    "a ranker": lambda shop: check_ranker("good", GoodRanker(), shop),
    "an encoder": lambda _: check_encoder("good", GoodEncoder(), DIM, N),
    "an encoder that knows nobody": encoder(lambda *_: None),
    "a model of vectors": model(embeddings),
    "a model of pairs": model(pairs),
}


@pytest.mark.parametrize("case", BAD)
def test_a_wrong_extension_is_refused_with_its_file_and_a_cure(shop: Bundle, case: str) -> None:
    check, message = BAD[case]
    kind = case.split(":", 1)[0] + "s"
    with pytest.raises(AssertionError, match=rf"^recsys/{kind}/planted.py: .*{message}"):
        check(shop)


@pytest.mark.parametrize("case", GOOD)
def test_a_sound_extension_passes(shop: Bundle, case: str) -> None:
    GOOD[case](shop)
