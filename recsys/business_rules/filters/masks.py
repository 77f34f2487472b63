"""Turns the filters of requests into masks over the catalogue: the items that may be shown.

    filters = Filters(bundle.catalogue)                                     # one per bundle
    query = Query(..., only=filters.mask('category = "garden" and price < 20'))

`recsys/business_rules/filters/grammar.py` has the syntax. For an item without a price every comparison of the price is
false, so `not price < 20` is true. A category or attribute that no item has is allowed and matches nothing.
"""

import json
from dataclasses import replace
from functools import lru_cache

import numpy as np
import polars as pl

from recsys.bundle.catalogue import Catalogue
from recsys.business_rules.filters.grammar import ATTRIBUTE, And, Comparison, Not, Tree, attributes, fields, parse
from recsys.contracts import NO_ROWS, BoolArray, FloatArray, IntArray

CACHED = 64  # filters; a mask takes one byte per item
CACHED_ATTRIBUTES = 16
PRICED = {"=": np.equal, "!=": np.not_equal, "<": np.less, "<=": np.less_equal, ">": np.greater, ">=": np.greater_equal}


class Filters:
    """Computes masks for one catalogue and caches them; the parts that compare `available` are computed each time."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._price = catalogue.frame["price"].to_numpy()  # NaN where unknown
        self._attribute = lru_cache(maxsize=CACHED_ATTRIBUTES)(catalogue.attribute)
        self._compiled = lru_cache(maxsize=CACHED)(self._compile)

    def mask(self, text: str, available: BoolArray | None = None) -> BoolArray:
        """Return the mask of a filter, for `Query.only`: (n_items,) bool, True where the filter is true; read-only.

        available: (n_items,) bool, whether each item is in stock now; None: as in the catalogue.

        Raises:
            FilterError: "filter: 'prize' at position 1, expected one of: category, price, available, ..."
        """
        mask, stock, _ = self._compiled(text)
        if stock is None:
            return mask
        return mask & self._true(stock, self._catalogue.available if available is None else available)

    def unknown(self, text: str) -> list[str]:
        """Return the names of the attributes in a filter that no item has, sorted. Raises the errors of `mask`."""
        return self._compiled(text)[2]

    def candidates(self, rows: IntArray) -> BoolArray:
        """Return the mask of a request that lists its own candidates: (n_items,) bool, True for these rows."""
        mask = np.zeros(len(self._catalogue), dtype=np.bool_)
        mask[rows] = True
        return mask

    def _compile(self, text: str) -> tuple[BoolArray, Tree | None, list[str]]:
        """Return the mask of the parts that do not compare `available`, the other parts (None if there are none), and
        the attributes that no item has."""
        tree = parse(text)
        parts = tree.parts if isinstance(tree, And) else (tree,)
        mask = np.ones(len(self._catalogue), dtype=np.bool_)
        for part in parts:
            if "available" not in fields(part):
                mask &= self._true(part, self._catalogue.available)
        mask.flags.writeable = False  # it is in the cache
        stock = tuple(part for part in parts if "available" in fields(part))
        names = attributes(tree)
        return mask, And(stock) if stock else None, sorted(names - self._catalogue.attribute_names) if names else []

    def _true(self, tree: Tree, available: BoolArray) -> BoolArray:
        if isinstance(tree, Comparison):
            return self._compared(tree, available)
        if isinstance(tree, Not):
            return ~self._true(tree.inner, available)
        join = np.logical_and if isinstance(tree, And) else np.logical_or
        mask: BoolArray = join.reduce([self._true(part, available) for part in tree.parts])
        return mask

    def _compared(self, test: Comparison, available: BoolArray) -> BoolArray:
        if test.field == "category":
            mask = np.zeros(len(self._catalogue), dtype=np.bool_)
            for name in test.values:
                mask[self._catalogue.of_category.get(str(name), NO_ROWS)] = True
            return ~mask if test.operator == "!=" else mask
        if test.field == "available":
            wanted = (test.operator == "=") == test.values[0]
            return available if wanted else ~available
        if test.field.startswith(ATTRIBUTE):
            return self._has(test)
        return _in_order(test, self._price)

    def _has(self, test: Comparison) -> BoolArray:
        """Compare an attribute: as text with texts, as number with numbers; `!=` is true where `=` is false."""
        values, first = self._attribute(test.field.removeprefix(ATTRIBUTE)), test.values[0]
        equal = replace(test, operator="=" if test.operator == "!=" else test.operator)
        if isinstance(first, float):
            numbers = values["value"].cast(pl.Float64, strict=False).fill_null(np.nan).to_numpy()
            rows = values["row"].to_numpy()[_in_order(equal, numbers)]
        else:
            texts = [str(value) if isinstance(value, str) else json.dumps(value) for value in test.values]
            rows = values.filter(pl.col("value").is_in(texts))["row"].to_numpy()
        mask = self.candidates(rows)
        return ~mask if test.operator == "!=" else mask


def _in_order(test: Comparison, numbers: FloatArray) -> BoolArray:
    """Compare numbers; NaN, which is unknown, fails every comparison."""
    bounds = [float(value) for value in test.values]
    if test.operator == "between":
        found: BoolArray = (numbers >= bounds[0]) & (numbers <= bounds[1])
    else:
        found = PRICED[test.operator](numbers, bounds[0]) & ~np.isnan(numbers)
    return found
