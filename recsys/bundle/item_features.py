"""Features of an item's content: the words of its title and text, its categories, its price.

Words and categories are weighted by TF-IDF, prices fall into deciles. Each of the three is a block of unit length, and
the blocks are columns of one sparse matrix: in rich texts the rare words matter most, and a dense embedding loses them.
Fitted on the items that were sold in the training window only. Own sparse algebra on numpy and polars, so that the API,
which runs without scipy, computes the same numbers for an item that arrives today.

Source: Salton and Buckley, "Term-weighting approaches in automatic text retrieval", 1988.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from recsys.contracts import BoolArray, FloatArray, IntArray

MIN_ITEMS = 2  # a word of a single item says nothing of others
MAX_WORDS = 50_000
MAX_TEXT = 20_000  # characters of a title or a text that are read
TENTHS = np.linspace(0, 1, 11)[1:-1]


@dataclass(frozen=True)
class Sparse:
    """A sparse matrix (CSR): the entries of row i are `values[s]` in the columns `columns[s]`, s from indptr[i] on.

    indptr: (n_rows + 1,) int32; columns: (n_values,) int32; values: (n_values,) float32.
    """

    indptr: IntArray
    columns: IntArray
    values: FloatArray

    def __len__(self) -> int:
        return len(self.indptr) - 1

    def dot(self, dense: FloatArray) -> FloatArray:
        """Return this matrix times `dense` (n_columns, m): (n_rows, m) float32.

        >>> ones = np.ones(3, dtype=np.float32)
        >>> rows = Sparse(np.array([0, 2, 2, 3], dtype=np.int32), np.array([0, 2, 1], dtype=np.int32), ones)
        >>> rows.dot(np.array([[1], [10], [100]], dtype=np.float32)).ravel().tolist()
        [101.0, 0.0, 10.0]
        """
        product = np.zeros((len(self), dense.shape[1]), dtype=np.float32)
        filled = np.diff(self.indptr) > 0
        if filled.any():
            scaled = self.values[:, None] * dense[self.columns]
            product[filled] = np.add.reduceat(scaled, self.indptr[:-1][filled], axis=0)
        return product

    def take(self, rows: IntArray) -> "Sparse":
        counts = np.diff(self.indptr)[rows]
        indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
        at = np.repeat(self.indptr[rows] - indptr[:-1], counts) + np.arange(indptr[-1])
        return Sparse(indptr, self.columns[at], self.values[at])


@dataclass(frozen=True)
class Content:
    """The features of n items.

    words: the block of words alone; terms: all blocks side by side, words first; static: (n, 256) float32 of the
    static embedding, or (n, 0) without it; described: (n,) bool, False for an item without any known word or category.
    """

    words: Sparse
    terms: Sparse
    static: FloatArray
    described: BoolArray


@dataclass(frozen=True)
class Features:
    """Vocabularies, weights and price limits that were fitted on the items of the training window.

    words and categories: the vocabularies, sorted; word_idf (n_words,) and category_idf (n_categories,) float32;
    prices: limits of the deciles, at most 9 float32; static: whether texts are also embedded.
    """

    words: list[str]
    categories: list[str]
    word_idf: FloatArray
    category_idf: FloatArray
    prices: FloatArray
    static: bool

    @property
    def n_terms(self) -> int:
        return len(self.words) + len(self.categories) + len(self.prices) + 1

    def of(self, items: pl.DataFrame) -> Content:
        """Compute the features of items; items: title, text, categories, price (see `recsys/data/split.py`)."""
        words = _block(_words(items), self.words, self.word_idf, items.height)
        categories = _block(_categories(items), self.categories, self.category_idf, items.height)
        prices = _tenths(items, self.prices)
        static = _static(items) if self.static else np.empty((items.height, 0), dtype=np.float32)
        described = (np.diff(words.indptr) > 0) | (np.diff(categories.indptr) > 0) | static.any(axis=1)
        terms = _side_by_side([words, categories, prices], [len(self.words), len(self.categories)])
        return Content(words, terms, static, described)

    def settings(self) -> dict[str, Any]:
        return {"words": self.words, "categories": self.categories, "static": self.static}

    def arrays(self) -> dict[str, FloatArray]:
        return {"word_idf": self.word_idf, "category_idf": self.category_idf, "prices": self.prices}

    @classmethod
    def load(cls, settings: Mapping[str, Any], arrays: Mapping[str, FloatArray]) -> "Features":
        """Build the features again from the values that `settings` and `arrays` returned."""
        return cls(
            words=settings["words"],
            categories=settings["categories"],
            word_idf=arrays["word_idf"],
            category_idf=arrays["category_idf"],
            prices=arrays["prices"],
            static=settings["static"],
        )


def fit(items: pl.DataFrame, static: bool) -> Features:
    """Fit on items of the training window; items: title, text, categories, price. `static` needs wordllama."""
    words, word_idf = _vocabulary(_words(items), items.height, MIN_ITEMS)
    categories, category_idf = _vocabulary(_categories(items), items.height, 1)
    priced = items.filter(pl.col("price").is_not_null())
    prices = np.unique(np.quantile(_prices(priced), TENTHS)) if priced.height else np.empty(0)
    return Features(words, categories, word_idf, category_idf, prices.astype(np.float32), static)


def _words(items: pl.DataFrame) -> pl.DataFrame:
    """Count the words of title and text, in lower case: columns row, term, times."""
    read = pl.concat_str(
        [pl.col(name).fill_null("").str.head(MAX_TEXT) for name in ("title", "text")], separator=" "
    ).str.to_lowercase()
    return _counted(items, read.str.extract_all(r"\w+"))


def _categories(items: pl.DataFrame) -> pl.DataFrame:
    return _counted(items, pl.col("categories"))


def _counted(items: pl.DataFrame, terms: pl.Expr) -> pl.DataFrame:
    numbered = pl.int_range(pl.len(), dtype=pl.Int32).alias("row")
    found = items.select(numbered, terms.alias("term")).explode("term").drop_nulls("term")
    return found.group_by("row", "term").agg(times=pl.len()).sort("row", "term")


def _vocabulary(counted: pl.DataFrame, n_items: int, min_items: int) -> tuple[list[str], FloatArray]:
    """Terms of at least `min_items` items, the commonest if they are too many; idf = ln((1 + n) / (1 + n_with)) + 1."""
    terms = (
        counted.group_by("term")
        .agg(items=pl.len())
        .filter(pl.col("items") >= min_items)
        .sort("items", "term", descending=[True, False])
        .head(MAX_WORDS)
        .sort("term")
    )
    idf = np.log((1 + n_items) / (1 + terms["items"].to_numpy())) + 1
    return terms["term"].to_list(), idf.astype(np.float32)


def _block(counted: pl.DataFrame, terms: list[str], idf: FloatArray, n_items: int) -> Sparse:
    """Return TF-IDF rows, (1 + ln times) * idf, scaled to unit length; terms outside the vocabulary are left out."""
    columns = {"term": terms, "column": np.arange(len(terms), dtype=np.int32), "idf": idf}
    vocabulary = pl.DataFrame(columns, schema_overrides={"term": pl.String})
    found = counted.join(vocabulary, on="term").sort("row", "column")
    rows, values = found["row"].to_numpy(), (1 + np.log(found["times"].to_numpy())) * found["idf"].to_numpy()
    lengths = np.sqrt(np.bincount(rows, values**2, minlength=n_items))
    indptr = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=n_items))]).astype(np.int32)
    return Sparse(indptr, found["column"].to_numpy(), (values / lengths[rows]).astype(np.float32))


def _tenths(items: pl.DataFrame, limits: FloatArray) -> Sparse:
    """Return rows with a one in the column of the price's decile; empty without a price."""
    present = items["price"].is_not_null().to_numpy()
    columns = np.searchsorted(limits, _prices(items))[present].astype(np.int32)
    indptr = np.concatenate([[0], np.cumsum(present)]).astype(np.int32)
    return Sparse(indptr, columns, np.ones(len(columns), dtype=np.float32))


def _side_by_side(blocks: list[Sparse], widths: list[int]) -> Sparse:
    """Concatenate the blocks by columns; widths: the number of columns of each block but the last."""
    n_rows, before = len(blocks[0]), np.cumsum([0, *widths])
    owners = np.concatenate([np.repeat(np.arange(n_rows), np.diff(block.indptr)) for block in blocks])
    columns = np.concatenate([block.columns + start for block, start in zip(blocks, before, strict=False)])
    order = np.argsort(owners, kind="stable")
    indptr = np.concatenate([[0], np.cumsum(np.bincount(owners, minlength=n_rows))]).astype(np.int32)
    values = np.concatenate([block.values for block in blocks])
    return Sparse(indptr, columns[order].astype(np.int32), values[order])


def _prices(items: pl.DataFrame) -> FloatArray:
    prices: FloatArray = items["price"].cast(pl.Float32).fill_null(0).to_numpy()
    return prices


def _static(items: pl.DataFrame) -> FloatArray:
    """(n, 256) float32 of unit length, zeros for a text without words: the mean of fixed vectors of its tokens."""
    texts = items.select(
        pl.concat_str([pl.col(name).fill_null("").str.head(MAX_TEXT) for name in ("title", "text")], separator=" ")
    ).to_series()
    embedded: FloatArray = np.asarray(_wordllama().embed(texts.to_list(), norm=True), dtype=np.float32)
    embedded[~texts.str.contains(r"\w").to_numpy()] = 0  # an empty text has a vector too, of no meaning
    return embedded


@cache
def _wordllama() -> Any:
    import wordllama  # optional, and 20 MB of memory

    folder = Path(wordllama.__file__).parent
    return wordllama.WordLlama.load(cache_dir=folder, disable_download=True)
