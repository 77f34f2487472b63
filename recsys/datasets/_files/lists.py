"""Reads lists that are written as text: JSON, Python, R, PostgreSQL, NumPy, or values between separators.

["a", "b"]   ['a', "b's"]   ('a',)   {a,"b c"}   c("a", "b")   ['a' 'b']   [{"name": "a"}]   a|b   a; b
"""

import ast
import json
import re
from typing import Any

import polars as pl

SEPARATORS = "|;"
# Parentheses are brackets where quotes follow: `(no genres listed)` is a text. What looks listed must be readable.
_LOOKS_LISTED = r"""(?s)^(?:[\[{].*[\]}]|[a-z]*[\[({]\s*["'].*|[a-z]+\([\[{].*\))$"""
_BRACKETS = re.compile(r"(?s)(?:\[(.*)\]|\{(.*)\}|c?\((.*)\))")
_QUOTED = r"""[uUrRbB]?(?:"(?P<double>(?:[^"\\]|\\.|"")*)"|'(?P<single>(?:[^'\\]|\\.|'')*)')\s*(?:,|\Z|(?=["']))"""
_ELEMENT = re.compile(rf"\s*(?:{_QUOTED}|(?P<bare>[^\"',][^,]*|)(?:,|\Z))", re.DOTALL)
_ESCAPE = re.compile(r"\\(.)|\"\"|''", re.DOTALL)


def read_lists(column: str, separator: str | None, missing: list[str]) -> pl.Expr:
    """Parse each text of a column into a list of texts; null where the text in brackets is no list.

    separator: between values without brackets, by default any of `SEPARATORS`; missing: values, in lower case, that are
    left out.
    """
    text = pl.col(column).str.strip_chars()
    unified = text.str.replace_all(f"[{SEPARATORS}]", "\x1f") if separator is None else text
    parts = unified.str.split("\x1f" if separator is None else separator)
    bracketed = text.str.contains(_LOOKS_LISTED)
    read = pl.when(bracketed).then(text).map_batches(_read_bracketed, pl.List(pl.String), is_elementwise=True)
    value = pl.element().str.strip_chars()
    named = (value != "") & ~value.str.to_lowercase().is_in(missing)
    return pl.when(bracketed).then(read).otherwise(parts).list.eval(value.filter(named))


def _read_bracketed(texts: pl.Series) -> pl.Series:
    unique = texts.drop_nulls().unique()
    lists = pl.Series([bracketed_values(text) for text in unique], dtype=pl.List(pl.String))
    table = pl.DataFrame({"text": unique, "values": lists})
    return texts.alias("text").to_frame().join(table, on="text", how="left", maintain_order="left")["values"]


def bracketed_values(text: str) -> list[str] | None:
    """Return the values of a list in brackets; None if the text is no such list.

    >>> bracketed_values("['Comedy', 'Drama']"), bracketed_values('{Drama,"Film, Noir"}'), bracketed_values("[']")
    (['Comedy', 'Drama'], ['Drama', 'Film, Noir'], None)
    """
    for read in (json.loads, ast.literal_eval):
        try:
            # Python joins neighbours, so `['a' 'b']` is left to the pattern: only lists of objects are read by it
            if read is json.loads or text.startswith("[{"):
                return _json_values(read(text))
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            pass
    match = _BRACKETS.fullmatch(text)
    if not match:
        return None
    inner, at, values = next(part for part in match.groups() if part is not None), 0, []
    while at < len(inner):
        found = _ELEMENT.match(inner, at)
        if not found or found.end() == at:
            return None
        quoted = found["single"] if found["double"] is None else found["double"]
        if quoted is None and set("[{") & set(found["bare"]):
            return None
        values.append(found["bare"] if quoted is None else _ESCAPE.sub(lambda part: part[1] or part[0][0], quoted))
        at = found.end()
    return values


def _json_values(found: Any) -> list[str] | None:
    """Return the values of a list; for objects in it, their `name`."""
    if not isinstance(found, list):
        return None if found else []
    values = [value.get("name", value.get("title")) if isinstance(value, dict) else value for value in found]
    if any(isinstance(value, dict | list) for value in values):
        return None
    return [str(value) for value in values if value is not None]
