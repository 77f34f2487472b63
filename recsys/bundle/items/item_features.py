"""Computes features of an item's content: the words of its title and text, its categories, its price.

Words and categories are weighted by TF-IDF, prices are cut into deciles. Each of the three is a block of unit length,
and the blocks are columns of one sparse matrix: in rich texts rare words matter most, and a dense embedding loses them.
Vocabularies are fitted on items with interactions in the training window only. The sparse algebra is our own, on numpy
and polars, so that the API, which runs without scipy, computes the same numbers for an item that arrives today.

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

MIN_ITEMS = 2  # a word that only one item has cannot relate it to others
MAX_WORDS = 50_000
MAX_TEXT = 20_000  # characters of a title or a text that are read
TENTHS = np.linspace(0, 1, 11)[1:-1]


@dataclass(frozen=True)
class Sparse:
    """A sparse matrix in the format CSR: row i has the values `values[s]` in the columns `columns[s]`. s goes from
    indptr[i] up to indptr[i + 1]. indptr: (n_rows + 1,) int32; columns: (n_values,) int32; values: (n_values,)
    float32."""

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
        """Return the matrix of these rows only, in this order."""
        counts = np.diff(self.indptr)[rows]
        indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
        at = np.repeat(self.indptr[rows] - indptr[:-1], counts) + np.arange(indptr[-1])
        return Sparse(indptr, self.columns[at], self.values[at])


@dataclass(frozen=True)
class Content:
    """The features of n items. words: TF-IDF of the words alone; terms: all blocks side by side, words first; static:
    (n, 256) float32, static embeddings of the texts, or (n, 0) if unused; described: (n,) bool, False for an item that
    has no word or category of the vocabularies."""

    words: Sparse
    terms: Sparse
    static: FloatArray
    described: BoolArray


@dataclass(frozen=True)
class Features:
    """Vocabularies, weights and price limits that were fitted on the items of the training window.

    words and categories: the vocabularies, sorted; word_idf (n_words,) and category_idf (n_categories,) float32: their
    inverse document frequencies; prices: the limits of the deciles, at most 9 float32; static: whether texts also get a
    static embedding.
    """

    words: list[str]
    categories: list[str]
    word_idf: FloatArray
    category_idf: FloatArray
    prices: FloatArray
    static: bool

    @property
    def n_terms(self) -> int:
        """The number of columns of `Content.terms`."""
        return len(self.words) + len(self.categories) + len(self.prices) + 1

    def of(self, items: pl.DataFrame) -> Content:
        """Compute the features of items. items: title, text, categories, price, as in `recsys/data/split.py`."""
        words = _block(_words(items), self.words, self.word_idf, items.height)
        categories = _block(_categories(items), self.categories, self.category_idf, items.height)
        prices = _tenths(items, self.prices)
        static = _static(items) if self.static else np.empty((items.height, 0), dtype=np.float32)
        described = (np.diff(words.indptr) > 0) | (np.diff(categories.indptr) > 0) | static.any(axis=1)
        terms = _side_by_side([words, categories, prices], [len(self.words), len(self.categories)])
        return Content(words, terms, static, described)

    def settings(self) -> dict[str, Any]:
        """Return what `load` needs besides `arrays`, for JSON."""
        return {"words": self.words, "categories": self.categories, "static": self.static}

    def arrays(self) -> dict[str, FloatArray]:
        """Return the float32 arrays that `load` needs, by name."""
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
    """Fit vocabularies, weights and price limits on items of the training window. items: title, text, categories,
    price; static: also use static embeddings, which need the package wordllama."""
    words, word_idf = _vocabulary(_words(items), items.height, MIN_ITEMS)
    categories, category_idf = _vocabulary(_categories(items), items.height, 1)
    priced = items.filter(pl.col("price").is_not_null())
    prices = np.unique(np.quantile(_prices(priced), TENTHS)) if priced.height else np.empty(0)
    return Features(words, categories, word_idf, category_idf, prices.astype(np.float32), static)


def supplied_mean(items: pl.DataFrame) -> FloatArray | None:
    """Return the mean of the vectors that the data supply for items, (d,) float32; None without any."""
    if "vector" not in items.columns or not items["vector"].count():
        return None
    mean: FloatArray = items["vector"].drop_nulls().to_numpy().mean(axis=0, dtype=np.float64).astype(np.float32)
    return mean


def supplied_vectors(items: pl.DataFrame, mean: FloatArray) -> FloatArray:
    """Return the vectors that the data supply for items, such as image embeddings: (n, d) float32 of unit length after
    `mean`, (d,), was subtracted; zeros without one, or with one of another length. items: `vector`, an array, or bytes
    as in the API's store. With the mean, which all embeddings share, any two items would be similar."""
    vectors = np.zeros((items.height, len(mean)), dtype=np.float32)
    if "vector" in items.columns:
        given = items["vector"]
        if given.dtype == pl.Binary:  # a vector of another length becomes null
            given = given.bin.reinterpret(dtype=pl.Array(pl.Float32, len(mean)), endianness="little")
        centred = given.drop_nulls().to_numpy() - mean
        lengths = np.linalg.norm(centred, axis=1, keepdims=True)
        vectors[given.is_not_null().to_numpy()] = centred / np.maximum(lengths, np.finfo(np.float32).tiny)
    return vectors


def _words(items: pl.DataFrame) -> pl.DataFrame:
    """Count the words of title and text, in lower case. Columns: row (position in `items`), term, times."""
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
    """Return the terms that at least `min_items` items have, at most the `MAX_WORDS` commonest, sorted, and their idf.
    idf = ln((1 + number of items) / (1 + items with the term)) + 1. counted: the result of `_words`."""
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
    """Return rows of TF-IDF, (1 + ln times) * idf, scaled to unit length; terms outside of `terms` are left out."""
    columns = {"term": terms, "column": np.arange(len(terms), dtype=np.int32), "idf": idf}
    vocabulary = pl.DataFrame(columns, schema_overrides={"term": pl.String})
    found = counted.join(vocabulary, on="term").sort("row", "column")
    rows, values = found["row"].to_numpy(), (1 + np.log(found["times"].to_numpy())) * found["idf"].to_numpy()
    lengths = np.sqrt(np.bincount(rows, values**2, minlength=n_items))
    indptr = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=n_items))]).astype(np.int32)
    return Sparse(indptr, found["column"].to_numpy(), (values / lengths[rows]).astype(np.float32))


def _tenths(items: pl.DataFrame, limits: FloatArray) -> Sparse:
    """Return one row per item with a 1 in the column of its price's decile; a row without a price is empty."""
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
    """Embed each text as the mean of fixed token vectors: (n, 256) float32 of unit length, zeros without words."""
    texts = items.select(
        pl.concat_str([pl.col(name).fill_null("").str.head(MAX_TEXT) for name in ("title", "text")], separator=" ")
    ).to_series()
    embedded: FloatArray = np.asarray(_wordllama().embed(texts.to_list(), norm=True), dtype=np.float32)
    embedded[~texts.str.contains(r"\w").to_numpy()] = 0  # not what wordllama returns without words
    return embedded


@cache
def _wordllama() -> Any:
    import wordllama  # optional, and 20 MB of memory

    folder = Path(wordllama.__file__).parent
    return wordllama.WordLlama.load(cache_dir=folder, disable_download=True)
