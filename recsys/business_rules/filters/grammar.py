"""Parses the text of a filter into a tree; `GRAMMAR` is the whole language.

Keywords may be in capitals. A text has "double" or 'single' quotes; a backslash makes the next character literal.
"""

import re
from dataclasses import dataclass

from lark import Lark, Token, Transformer, UnexpectedCharacters, UnexpectedToken, v_args
from lark.parsers.lalr_interactive_parser import InteractiveParser

from recsys.errors import FilterError, quoted

GRAMMAR = r"""
    ?either: both (_OR both)*
    ?both: one (_AND one)*
    ?one: test | "(" either ")" | NOT one      -> negation
    ?test: (CATEGORY | ATTRIBUTE) EQUAL TEXT   -> comparison
        | (CATEGORY | ATTRIBUTE) IN "(" TEXT ("," TEXT)* ")" -> among
        | (CATEGORY | ATTRIBUTE) NOT IN "(" TEXT ("," TEXT)* ")" -> not_among
        | (PRICE | ATTRIBUTE) (EQUAL | ORDER) NUMBER -> comparison
        | (PRICE | ATTRIBUTE) BETWEEN NUMBER _AND NUMBER -> between
        | (AVAILABLE | ATTRIBUTE) EQUAL (TRUE | FALSE) -> comparison
    EQUAL: "=" | "!="
    ORDER: "<=" | ">=" | "<" | ">"
    TEXT: /"(\\.|[^"\\])*"|'(\\.|[^'\\])*'/s
    NUMBER: /[+-]?([0-9]{1,30}\.?[0-9]{0,30}|\.[0-9]{1,30})(e[+-]?[0-9]{1,2})?(?![\w.])/i
    CATEGORY: /category\b/i
    PRICE: /price\b/i
    AVAILABLE: /available\b/i
    ATTRIBUTE: /attributes\.[a-z0-9_-]{1,64}(?![\w.-])/i
    NOT: /not\b/i
    IN: /in\b/i
    BETWEEN: /between\b/i
    _AND: /and\b/i
    _OR: /or\b/i
    TRUE: /true\b/i
    FALSE: /false\b/i
    %ignore /\s+/
"""
NAMES = {  # terminal -> its name in messages, in the order in which messages list them
    "CATEGORY": "category", "PRICE": "price", "AVAILABLE": "available", "ATTRIBUTE": "attributes.NAME", "NOT": "not",
    "IN": "in", "BETWEEN": "between", "_AND": "and", "_OR": "or", "TRUE": "true", "FALSE": "false", "LPAR": "(",
    "RPAR": ")", "COMMA": ",", "EQUAL": "=, !=", "ORDER": "<, <=, >, >=", "NUMBER": "a number",
    "TEXT": 'a text in quotes, as in category = "garden"', "$END": "the end",
}  # fmt: skip
ATTRIBUTE = "attributes."  # prefix of the name of an attribute
MAX_LENGTH = 2_000  # characters
MAX_DEPTH = 20  # levels of nested parentheses and `not`
NESTING = ("LPAR", "NOT")
NEXT = re.compile(r"""(["'])(\\.|(?!\1)[^\\])*\1|[\w.]+|\S""", re.DOTALL)  # the part of a filter that a message quotes


@dataclass(frozen=True)
class Comparison:
    """One comparison of a field with values: texts for `category`, numbers for `price` (two for the operator between),
    one bool for `available`, any of these for an attribute, whose field is "attributes." and its name."""

    field: str
    operator: str
    values: tuple[str, ...] | tuple[float, ...] | tuple[bool, ...]


@dataclass(frozen=True)
class Not:
    """True where `inner` is false."""

    inner: "Tree"


@dataclass(frozen=True)
class And:
    """True where all parts are true."""

    parts: tuple["Tree", ...]


@dataclass(frozen=True)
class Or:
    """True where at least one part is true."""

    parts: tuple["Tree", ...]


Tree = Comparison | Not | And | Or


def parse(text: str) -> Tree:
    """Parse the text of a filter.

    >>> parse('category in ("a", "b") and not price < 5')
    And(parts=(Comparison(field='category', operator='in', values=('a', 'b')), Not(inner=Comparison(field='price', operator='<', values=(5.0,)))))

    Raises:
        FilterError: "filter: 'prize' at position 1, expected one of: category, price, available, attributes.NAME, ..."
        FilterError: "filter: 2,134 characters, expected at most 2,000: send the items as `candidates` instead"
    """  # noqa: E501 (a doctest cannot be folded)
    if len(text) > MAX_LENGTH:
        raise FilterError(
            f"filter: {len(text):,} characters, expected at most {MAX_LENGTH:,}: send the items as `candidates` instead"
        )
    parser = _PARSER.parse_interactive(text)
    try:
        for token in parser.iter_parse():
            if token.type in NESTING and _depth(parser) == MAX_DEPTH:
                raise _refused(text, token.start_pos, f"at most {MAX_DEPTH} nested parentheses and `not`")
        tree: Tree = parser.feed_eof()  # type: ignore[no-untyped-call]
    except UnexpectedCharacters as error:
        raise _refused(text, error.pos_in_stream, _choices(parser)) from None
    except UnexpectedToken as error:
        raise _refused(
            text, len(text) if error.token.type == "$END" else error.pos_in_stream, _choices(parser)
        ) from None
    return tree


def fields(tree: Tree) -> set[str]:
    """Return the fields that a filter compares, such as "price"."""
    return {test.field for test in comparisons(tree)}


def categories(tree: Tree) -> set[str]:
    """Return the names of all categories in a filter."""
    return {str(value) for test in comparisons(tree) if test.field == "category" for value in test.values}


def attributes(tree: Tree) -> set[str]:
    """Return the names of all attributes that a filter compares, without `attributes.`."""
    return {field.removeprefix(ATTRIBUTE) for field in fields(tree) if field.startswith(ATTRIBUTE)}


def comparisons(tree: Tree) -> list[Comparison]:
    """Return the comparisons of a filter, from left to right."""
    if isinstance(tree, Comparison):
        return [tree]
    parts = (tree.inner,) if isinstance(tree, Not) else tree.parts
    return [leaf for part in parts for leaf in comparisons(part)]


@v_args(inline=True)
class _Builder(Transformer[Token, Tree]):
    """Builds the `Tree` while lark parses: lark calls the method with the name of a rule of `GRAMMAR` for its parts."""

    def either(self, *parts: Tree) -> Tree:
        return Or(parts)

    def both(self, *parts: Tree) -> Tree:
        return And(parts)

    def negation(self, _: Token, inner: Tree) -> Tree:
        return Not(inner)

    def comparison(self, field: Token, operator: Token, value: Token) -> Tree:
        return Comparison(_field(field), str(operator), (_value(value),))  # type: ignore[arg-type]

    def between(self, field: Token, operator: Token, low: Token, high: Token) -> Tree:
        return Comparison(_field(field), operator.lower(), (float(low), float(high)))

    def among(self, field: Token, operator: Token, *names: Token) -> Tree:
        return Comparison(_field(field), operator.lower(), tuple(_text(name) for name in names))

    def not_among(self, field: Token, _: Token, operator: Token, *names: Token) -> Tree:
        return Not(self.among(field, operator, *names))


_PARSER = Lark(GRAMMAR, start="either", parser="lalr", transformer=_Builder())


def _depth(parser: InteractiveParser) -> int:
    """Return how many parentheses and `not` enclose the current position of the text."""
    return sum(isinstance(part, Token) and part.type in NESTING for part in parser.parser_state.value_stack)


def _field(token: Token) -> str:
    return ATTRIBUTE + token[len(ATTRIBUTE) :] if token.type == "ATTRIBUTE" else token.lower()


def _value(token: Token) -> str | float | bool:
    if token.type == "TEXT":
        return _text(token)
    return float(token) if token.type == "NUMBER" else token.type == "TRUE"


def _text(token: Token) -> str:
    return re.sub(r"\\(.)", r"\1", token[1:-1], flags=re.DOTALL)


def _choices(parser: InteractiveParser) -> str:
    terminals = parser.accepts()  # type: ignore[no-untyped-call]
    named = [name for terminal, name in NAMES.items() if terminal in terminals]
    return named[0] if len(named) == 1 else f"one of: {', '.join(named)}"


def _refused(text: str, at: int | None, wanted: str) -> FilterError:
    match = NEXT.match(text, at or 0)
    found = "the end" if match is None else quoted(match[0])
    if match is not None and match[0] in "\"'":
        found = "a text without its closing quote"
    return FilterError(f"filter: {found} at position {(at or 0) + 1}, expected {wanted}")
