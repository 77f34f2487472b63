"""The language of filters: what is refused, in one line that says where."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.business_rules.filters.grammar import MAX_DEPTH, MAX_LENGTH, categories, comparisons, parse
from recsys.errors import FilterError

WORDS = ["category", "price", "available", "=", "!=", "<", "(", ")", ",", "and", "or", "not", "in", "between", "true"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "filter: the end at position 1, expected one of: category, price, available, attributes.NAME, not, ("),
        (
            "prize < 3",
            "filter: 'prize' at position 1, expected one of: category, price, available, attributes.NAME, not, (",
        ),
        ("price < 'a'", "filter: \"'a'\" at position 9, expected a number"),
        ("price = 1e999", "filter: '1e999' at position 9, expected a number"),
        ("price ~ 3", "filter: '~' at position 7, expected one of: between, =, !=, <, <=, >, >="),
        ("price < 3x", "filter: '3x' at position 9, expected a number"),
        ("price in (3)", "filter: 'in' at position 7, expected one of: between, =, !=, <, <=, >, >="),
        (
            'category = "a',
            "filter: a text without its closing quote at position 12, "
            'expected a text in quotes, as in category = "garden"',
        ),
        ("category = a", "filter: 'a' at position 12, expected a text in quotes, as in category = \"garden\""),
        ("category not = 'a'", "filter: '=' at position 14, expected in"),
        ("category in ()", "filter: ')' at position 14, expected a text in quotes, as in category = \"garden\""),
        ("available", "filter: the end at position 10, expected =, !="),
        ("available = 1", "filter: '1' at position 13, expected one of: true, false"),
        ("price < 3 price > 1", "filter: 'price' at position 11, expected one of: and, or, the end"),
        ("(price < 3", "filter: the end at position 11, expected )"),
        ("price between 1 or 2", "filter: 'or' at position 17, expected and"),
        (
            "price < 3 and",
            "filter: the end at position 14, expected one of: category, price, available, attributes.NAME, not, (",
        ),
        ("price < 3; drop table items", "filter: ';' at position 10, expected one of: and, or, the end"),
        (
            "__import__('os')",
            "filter: '__import__' at position 1, expected one of: category, price, available, attributes.NAME, not, (",
        ),
    ],
)
def test_one_line_says_what_and_where(text: str, problem: str) -> None:
    with pytest.raises(FilterError) as caught:
        parse(text)
    assert str(caught.value) == problem


def test_a_filter_may_be_so_long_and_so_deep_and_no_more() -> None:
    assert parse("price<1" + " " * (MAX_LENGTH - 7))
    with pytest.raises(FilterError, match=r"filter: 2,001 characters, expected at most 2,000: send the items"):
        parse("price<1" + " " * (MAX_LENGTH - 6))
    assert parse("not " * MAX_DEPTH + "price < 1")
    for opened, closed in (("not ", ""), ("(", ")")):
        nested = opened * (MAX_DEPTH + 1) + "price < 1" + closed * (MAX_DEPTH + 1)
        with pytest.raises(FilterError, match="expected at most 20 nested parentheses and `not`"):
            parse(nested)


def test_what_a_filter_asks_for() -> None:
    tree = parse('price < 3 or not (category in ("a", "b") and category != \'c\')')
    assert [test.field for test in comparisons(tree)] == ["price", "category", "category"]
    assert categories(tree) == {"a", "b", "c"}


@given(st.lists(st.sampled_from([*WORDS, "1", "'a'", "\\", '"', "é", "\n"]), max_size=30).map(" ".join) | st.text())
def test_any_text_is_a_tree_or_refused_in_one_line(text: str) -> None:
    try:
        tree = parse(text)
    except FilterError as error:
        assert "\n" not in str(error)  # noqa: PT017 (most texts are refused, some are not)
    else:
        assert parse(text) == tree
