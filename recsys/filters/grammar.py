"""The language of filters: text -> tree. What a filter may say, and nothing else, can be written in it.

    filter = and {"or" and}          and = not {"and" not}          not = "not" not | "(" filter ")" | test
    test   = "category" ("=" | "!=") text | "category" ["not"] "in" "(" text {"," text} ")"
           | "price" ("=" | "!=" | "<" | "<=" | ">" | ">=") number | "price" "between" number "and" number
           | "available" ("=" | "!=") ("true" | "false")

Words are the same in capitals. A text stands in "double" or 'single' quotes; a backslash makes the next character
literal.
"""

import math
import re
from dataclasses import dataclass

from recsys.errors import FilterError

MAX_LENGTH = 2_000  # characters
MAX_DEPTH = 20  # of parentheses and `not` within each other

FIELDS = ("category", "price", "available")
OPERATORS = {"category": ("=", "!=", "in"), "price": ("=", "!=", "<", "<=", ">", ">="), "available": ("=", "!=")}
_TOKEN = re.compile(
    r"""\s*(?:(?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')"""
    r"""|(?P<number>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?(?![\w.]))|(?P<word>[^\W\d]\w*)|(?P<sign><=|>=|!=|[=<>(),]))""",
    re.DOTALL,
)


@dataclass(frozen=True)
class Comparison:
    """One comparison. values: texts of `category`, numbers of `price`, one bool of `available`; `between` has two."""

    field: str
    operator: str
    values: tuple[str, ...] | tuple[float, ...] | tuple[bool, ...]


@dataclass(frozen=True)
class Not:
    """True where `inner` is not."""

    inner: "Tree"


@dataclass(frozen=True)
class And:
    """True where all parts are."""

    parts: tuple["Tree", ...]


@dataclass(frozen=True)
class Or:
    """True where one part is."""

    parts: tuple["Tree", ...]


Tree = Comparison | Not | And | Or


@dataclass(frozen=True)
class _Token:
    kind: str  # "text", "number", "word", "sign" or "end"
    text: str
    position: int  # from 1, as people count


def parse(text: str) -> Tree:
    """The tree of a filter.

    >>> parse('category in ("a", "b") and not price < 5')
    And(parts=(Comparison(field='category', operator='in', values=('a', 'b')), Not(inner=Comparison(field='price', operator='<', values=(5.0,)))))

    Raises:
        FilterError: "filter: 'prize' at position 1, wanted one of: category, price, available, not, ("
        FilterError: "filter: 2,134 characters, wanted at most 2,000: send the items as `candidates` instead"
    """  # noqa: E501 (a doctest cannot be folded)
    if len(text) > MAX_LENGTH:
        raise FilterError(
            f"filter: {len(text):,} characters, wanted at most {MAX_LENGTH:,}: send the items as `candidates` instead"
        )
    parser = _Parser(_tokens(text))
    tree = parser.either(0)
    if parser.next.kind != "end":
        raise parser.wanted("`and`, `or` or the end")
    return tree


def fields(tree: Tree) -> set[str]:
    """All fields that a filter asks for."""
    return {test.field for test in comparisons(tree)}


def categories(tree: Tree) -> set[str]:
    """All categories that a filter names."""
    return {str(value) for test in comparisons(tree) if test.field == "category" for value in test.values}


def comparisons(tree: Tree) -> list[Comparison]:
    """The leaves, from left to right."""
    if isinstance(tree, Comparison):
        return [tree]
    parts = (tree.inner,) if isinstance(tree, Not) else tree.parts
    return [leaf for part in parts for leaf in comparisons(part)]


def _tokens(text: str) -> list[_Token]:
    tokens: list[_Token] = []
    at, end = 0, len(text.rstrip())
    while at < end:
        match = _TOKEN.match(text, at)
        if match is None:
            rest = text[at:].lstrip()
            position = len(text) - len(rest) + 1
            problem = "a text without its closing quote" if rest[0] in "\"'" else repr(rest[0])
            raise FilterError(f"filter: {problem} at position {position}, see the documentation of filters")
        kind = str(match.lastgroup)
        tokens.append(_Token(kind, match[kind], match.start(kind) + 1))
        at = match.end()
    return [*tokens, _Token("end", "", len(text) + 1)]


class _Parser:
    """Recursive descent: one method per line of the grammar."""

    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._at = 0

    @property
    def next(self) -> _Token:
        return self._tokens[self._at]

    def wanted(self, what: str) -> FilterError:
        """The next token is not what must stand here."""
        found = "the end" if self.next.kind == "end" else repr(self.next.text)
        return FilterError(f"filter: {found} at position {self.next.position}, wanted {what}")

    def either(self, depth: int) -> Tree:
        parts = [self._both(depth)]
        while self._accept("or"):
            parts.append(self._both(depth))
        return parts[0] if len(parts) == 1 else Or(tuple(parts))

    def _both(self, depth: int) -> Tree:
        parts = [self._maybe_not(depth)]
        while self._accept("and"):
            parts.append(self._maybe_not(depth))
        return parts[0] if len(parts) == 1 else And(tuple(parts))

    def _maybe_not(self, depth: int) -> Tree:
        if depth > MAX_DEPTH:
            raise self.wanted(f"at most {MAX_DEPTH} parentheses and `not` within each other")
        if self._accept("not"):
            return Not(self._maybe_not(depth + 1))
        if self._accept("("):
            tree = self.either(depth + 1)
            self._expect(")")
            return tree
        return self._test()

    def _test(self) -> Tree:
        field = next((name for name in FIELDS if self._accept(name)), None)
        if field is None:
            raise self.wanted(f"one of: {', '.join(FIELDS)}, not, (")
        if field == "category" and self._accept("not"):
            self._expect("in")
            return Not(Comparison(field, "in", self._list()))
        if field == "price" and self._accept("between"):
            low = self._number()
            self._expect("and")
            return Comparison(field, "between", (low, self._number()))
        operator = next((sign for sign in OPERATORS[field] if self._accept(sign)), None)
        if operator is None:
            more = {"category": ", not in", "price": ", between"}.get(field, "")
            raise self.wanted(f"one of: {', '.join(OPERATORS[field])}{more} after {field!r}")
        if operator == "in":
            return Comparison(field, operator, self._list())
        if field == "category":
            return Comparison(field, operator, (self._text(),))
        return Comparison(field, operator, (self._number(),) if field == "price" else (self._bool(),))

    def _list(self) -> tuple[str, ...]:
        self._expect("(")
        values = [self._text()]
        while self._accept(","):
            values.append(self._text())
        self._expect(")")
        return tuple(values)

    def _text(self) -> str:
        if self.next.kind != "text":
            raise self.wanted('a text in quotes, as in category = "garden"')
        return re.sub(r"\\(.)", r"\1", self._take().text[1:-1], flags=re.DOTALL)

    def _number(self) -> float:
        if self.next.kind != "number" or not math.isfinite(float(self.next.text)):
            raise self.wanted("a number")
        return float(self._take().text)

    def _bool(self) -> bool:
        if self._accept("true"):
            return True
        self._expect("false", "true or false")
        return False

    def _take(self) -> _Token:
        self._at += 1
        return self._tokens[self._at - 1]

    def _accept(self, text: str) -> bool:
        if self.next.kind in ("word", "sign") and self.next.text.lower() == text:
            self._at += 1
            return True
        return False

    def _expect(self, text: str, what: str = "") -> None:
        if not self._accept(text):
            raise self.wanted(what or f"{text!r}")
