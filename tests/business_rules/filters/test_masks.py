"""Filters: every one that can be written agrees with what it says of each item, one by one."""

import operator
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.bundle import bundle
from recsys.bundle.catalogue import Catalogue
from recsys.business_rules.filters.masks import Filters
from recsys.errors import FilterError
from tests.support import bundles

NAMES = ["garden", "kitchen", 'ünï "çødé"', "it's", "a\\b", "nobody's"]
PRICES = [0.0, 1.5, 5.0, 19.99, 20.0, 1e6]
SIGNS = {
    "=": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge
}  # fmt: skip
Item = dict[str, Any]
ITEM = st.fixed_dictionaries(
    {
        "categories": st.lists(st.sampled_from(NAMES[:-1]), max_size=3, unique=True),
        "price": st.none() | st.sampled_from(PRICES),
        "available": st.booleans(),
    }
)


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Catalogue:
    return bundle.load(bundles.write(tmp_path_factory.mktemp("filters") / "bundle")).catalogue


def stocked(catalogue: Catalogue, items: list[Item]) -> Catalogue:
    """The same shop with these items in place of its own."""
    frame = pl.DataFrame(
        {"row": range(len(items)), **{name: [item[name] for item in items] for name in items[0]}},
        schema={"row": pl.Int32, "categories": pl.List(pl.String), "price": pl.Float64, "available": pl.Boolean},
    )
    available = frame["available"].to_numpy().copy()
    return replace(catalogue, frame=frame, available=available, popularity=np.zeros(len(items), dtype=np.float32))


def quoted(name: str) -> st.SearchStrategy[str]:
    marks = [f"{mark}{name.replace(chr(92), chr(92) * 2).replace(mark, chr(92) + mark)}{mark}" for mark in "\"'"]
    return st.sampled_from(marks)


@st.composite
def comparisons(draw: st.DrawFn) -> tuple[str, Any]:
    """A comparison as text, and as a function of one item."""
    kind = draw(st.sampled_from(["category", "in", "price", "between", "available"]))
    if kind in ("category", "in"):
        names = draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=1 if kind == "category" else 3))
        written = [draw(quoted(name)) for name in names]
        if kind == "category":
            sign = draw(st.sampled_from(["=", "!="]))
            return f"category{sign}{written[0]}", lambda item: (names[0] in item["categories"]) == (sign == "=")
        absent = draw(st.booleans())
        text = f"category {'not ' if absent else ''}in ({', '.join(written)})"
        return text, lambda item: bool(set(names) & set(item["categories"])) != absent
    if kind == "available":
        sign, value = draw(st.sampled_from(["=", "!="])), draw(st.booleans())
        return f"Available {sign} {str(value).upper()}", lambda item: (item["available"] == value) == (sign == "=")
    low, high = draw(st.sampled_from(PRICES)), draw(st.sampled_from(PRICES))
    if kind == "between":
        return (
            f"price BETWEEN {low} and {high!r}",
            lambda item: item["price"] is not None and low <= item["price"] <= high,
        )
    sign = draw(st.sampled_from(sorted(SIGNS)))
    return f"price {sign} {low}", lambda item: item["price"] is not None and SIGNS[sign](item["price"], low)


def combined(inner: st.SearchStrategy[tuple[str, Any]]) -> st.SearchStrategy[tuple[str, Any]]:
    def both(parts: tuple[tuple[str, Any], tuple[str, Any]]) -> tuple[str, Any]:
        (left, first), (right, second) = parts
        return f"({left}) and {right}", lambda item: first(item) and second(item)

    def either(parts: tuple[tuple[str, Any], tuple[str, Any]]) -> tuple[str, Any]:
        (left, first), (right, second) = parts
        return f"({left} OR\n({right}))", lambda item: first(item) or second(item)

    def negated(part: tuple[str, Any]) -> tuple[str, Any]:
        return f"not ({part[0]})", lambda item: not part[1](item)

    # `both` is only safe to be negated or joined in parentheses, which every user of `inner` writes
    two = st.tuples(
        inner.map(lambda part: (f"({part[0]})", part[1])), inner.map(lambda part: (f"({part[0]})", part[1]))
    )
    return two.map(both) | two.map(either) | inner.map(negated)


@settings(max_examples=300, deadline=None)
@given(items=st.lists(ITEM, min_size=1, max_size=8), written=st.recursive(comparisons(), combined, max_leaves=6))
def test_a_mask_is_what_the_filter_says_of_each_item(
    catalogue: Catalogue, items: list[Item], written: tuple[str, Any]
) -> None:
    text, true = written
    filters = Filters(stocked(catalogue, items))
    assert filters.mask(text).tolist() == [true(item) for item in items], text


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ('category = "kitchen"', [*bundles.KITCHEN, bundles.SOLD_OUT]),
        (
            'category = "garden > tools" or category = "kitchen" and available = false',
            [*bundles.GARDEN, bundles.SOLD_OUT],
        ),
        ('(category = "garden > tools" or category = "kitchen") and not available != false', [bundles.SOLD_OUT]),
        ("not price between 0 and 100", [0]),
        ("price != 2", list(range(1, bundles.N_ITEMS))),
        ("not price = 1.5", [0]),
        ('not category in ("kitchen", "garden")', bundles.NEW),
        ("category = 'of nobody'", []),
    ],
)
def test_and_binds_closer_than_or(catalogue: Catalogue, text: str, rows: list[int]) -> None:
    assert np.flatnonzero(Filters(catalogue).mask(text)).tolist() == rows


def test_stock_is_read_when_asked(catalogue: Catalogue) -> None:
    filters = Filters(stocked(catalogue, [{"categories": ["garden"], "price": 1.0, "available": True}]))
    text = 'category = "garden" and available = true'
    assert filters.mask(text).tolist() == [True]  # as the catalogue says
    stock = np.zeros(1, dtype=np.bool_)
    for available in (False, True, False):
        stock[0] = available
        assert filters.mask(text, stock).tolist() == [available]
        assert filters.mask(text.replace("true", "false"), stock).tolist() == [not available]


def test_a_mask_that_is_handed_out_again_cannot_be_written_to(catalogue: Catalogue) -> None:
    filters = Filters(catalogue)
    assert filters.mask("price > 1") is filters.mask("price > 1")
    with pytest.raises(ValueError, match="read-only"):
        filters.mask("price > 1")[0] = True


def test_candidates_are_a_mask(catalogue: Catalogue) -> None:
    mask = Filters(catalogue).candidates(np.array([3, 5, 3], dtype=np.int32))
    assert np.flatnonzero(mask).tolist() == [3, 5]


def test_a_filter_that_cannot_be_read_is_refused_each_time(catalogue: Catalogue) -> None:
    filters = Filters(catalogue)
    for _ in range(2):
        with pytest.raises(FilterError, match="position 9"):
            filters.mask("price < cheap")
