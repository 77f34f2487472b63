import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest

from recsys.bundle.items import item_features
from recsys.bundle.items.item_features import Features
from tests.support.tastes import EMPTY, N_ITEMS, N_SOLD, SILENT, STRANGE, catalogue


def items(**columns: Sequence[object]) -> pl.DataFrame:
    n = len(next(iter(columns.values())))
    table = {"title": [""] * n, "text": [""] * n, "categories": [[]] * n, "price": [None] * n, **columns}
    return pl.DataFrame(table, schema_overrides={"categories": pl.List(pl.String), "price": pl.Float64})


def dense(sparse: Any, n_columns: int) -> npt.NDArray[np.float64]:
    full = np.zeros((len(sparse), n_columns))
    for row in range(len(sparse)):
        mine = slice(sparse.indptr[row], sparse.indptr[row + 1])
        full[row, sparse.columns[mine]] = sparse.values[mine]
    return full


def by_hand(texts: list[str], fitted_on: Sequence[int]) -> tuple[list[str], npt.NDArray[np.float64]]:
    """TF-IDF as the docstring says it, word by word."""
    words = [text.lower().split() for text in texts]
    with_word = {word: sum(word in words[at] for at in fitted_on) for at in fitted_on for word in words[at]}
    vocabulary = sorted(word for word, n in with_word.items() if n >= item_features.MIN_ITEMS)
    table = np.zeros((len(texts), len(vocabulary)))
    for row, said in enumerate(words):
        for column, word in enumerate(vocabulary):
            if word in said:
                idf = np.log((1 + len(fitted_on)) / (1 + with_word[word])) + 1
                table[row, column] = (1 + np.log(said.count(word))) * idf
    lengths = np.linalg.norm(table, axis=1, keepdims=True)
    return vocabulary, table / np.where(lengths, lengths, 1)


def test_words_weigh_what_the_formula_says() -> None:
    titles = ["red Pan pan", "blue pan", "red kettle", "kettle", "odd", "pan kettle lid"]
    table = items(title=titles, text=["", "big", "big", "", "", "big pan"])
    vocabulary, wanted = by_hand([f"{a} {b}" for a, b in zip(titles, table["text"], strict=True)], range(5))
    fitted = item_features.fit(table[:5], static=False)
    assert fitted.words == vocabulary == ["big", "kettle", "pan", "red"]
    assert dense(fitted.of(table).words, 4) == pytest.approx(wanted, abs=1e-6)


def test_blocks_stand_side_by_side_each_of_unit_length() -> None:
    table = items(title=["pan lid", "pan", "lid"], categories=[["a", "b"], ["a"], []], price=[1.0, None, 3.0])
    fitted = item_features.fit(table, static=False)
    full = dense(fitted.of(table).terms, fitted.n_terms)
    blocks = np.split(full, [2, 4], axis=1)
    lengths = [[round(float(np.linalg.norm(block[row])), 5) for block in blocks] for row in range(3)]
    assert lengths == [[1, 1, 1], [1, 1, 0], [1, 0, 1]]


def test_only_what_the_training_window_said_counts() -> None:
    fitted = item_features.fit(items(title=["pan lid", "pan lid"]), static=False)
    content = fitted.of(items(title=["pan lid", "PAN new words", "new", ""], price=[None, None, 5.0, None]))
    assert np.diff(content.words.indptr).tolist() == [2, 1, 0, 0]
    assert content.described.tolist() == [True, True, False, False]


def test_an_item_alone_has_the_numbers_that_it_has_among_others() -> None:
    table = catalogue()
    fitted = item_features.fit(table[:N_SOLD], static=False)
    together = dense(fitted.of(table).terms, fitted.n_terms)
    for row in (0, N_SOLD, SILENT, STRANGE, EMPTY):
        assert dense(fitted.of(table[row]).terms, fitted.n_terms)[0] == pytest.approx(together[row], abs=1e-7)
    assert len(together) == N_ITEMS


def test_settings_and_arrays_are_all_there_is_to_save() -> None:
    table = catalogue()
    fitted = item_features.fit(table, static=False)
    again = Features.load(json.loads(json.dumps(fitted.settings())), fitted.arrays())
    one, two = fitted.of(table), again.of(table)
    assert np.array_equal(one.terms.columns, two.terms.columns)
    assert np.array_equal(one.terms.values, two.terms.values)


def test_odd_texts_are_read() -> None:
    long = "word " * 1_000_000
    table = items(title=["naïve café 東京", "CAFÉ 東京 №5", long], text=[None, "naïve", long])
    fitted = item_features.fit(table, static=False)
    assert fitted.words == ["café", "naïve", "東京"]
    assert fitted.of(table).described.tolist() == [True, True, False]


def test_items_that_say_nothing_at_all() -> None:
    table = items(title=["", ""])
    fitted = item_features.fit(table, static=False)
    content = fitted.of(table)
    assert content.terms.dot(np.ones((fitted.n_terms, 3), dtype=np.float32)).tolist() == [[0, 0, 0], [0, 0, 0]]
    assert not content.described.any()


def test_static_embeddings_put_alike_meanings_close() -> None:
    pytest.importorskip("wordllama")
    table = items(title=["a cup of tea", "coffee mug", "garden spade", ""])
    static = item_features.fit(table, static=True).of(table).static
    assert static.shape == (4, 256)
    assert static[0] @ static[1] > static[0] @ static[2]
    assert np.linalg.norm(static, axis=1) == pytest.approx([1, 1, 1, 0], abs=1e-5)


def test_rows_taken_are_those_rows() -> None:
    table = catalogue()
    fitted = item_features.fit(table, static=False)
    words, rows = fitted.of(table).words, np.array([5, 1, SILENT, 5], dtype=np.int32)
    assert np.array_equal(dense(words.take(rows), len(fitted.words)), dense(words, len(fitted.words))[rows])
