"""The limits of every field. API and training use the same ones, so training keeps whatever the API accepts.

Each `*_fault` returns the name of what is wrong with a value, such as `too_long`, or None if it is valid. Each
`*_faults` takes the name of a column and returns the polars expression for the same check: a fault or null per row. The
API explains the fault in its message; training quarantines the row with column and fault: `user_id_too_long`.

An id is a text of 1 to 256 characters in Unicode normal form C, without white space at its ends, without control
characters and without invisible characters, so that no two different ids look the same. A name (of a category, or of a
surface: the place that shows a list) is one line of 1 to 256 characters. Lengths count characters, not bytes. The
attributes of an item are a flat object: a name of letters, digits, _ and - -> a text, number, boolean or list of names.
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from unicodedata import is_normalized

import numpy as np
import polars as pl

MAX_ID_LENGTH = 256
# A guest is a user of training under this name in front of its id, and a user's id has the limit too.
GUEST = "anonymous:"
MAX_GUEST_LENGTH = MAX_ID_LENGTH - len(GUEST)
MAX_TITLE_LENGTH = 1_000
MAX_TEXT_LENGTH = 100_000
MAX_CATEGORIES = 100
MAX_ATTRIBUTES, MAX_ATTRIBUTES_LENGTH = 50, 10_000  # characters of JSON, names and all
MAX_VECTOR_LENGTH = 8_192
LEAST_VECTOR_NUMBER = 1e-30  # numbers of a vector that are nearer to 0 count as 0: float32 rounds some of them to 0
MAX_ATTRIBUTE_LENGTH = 9_900  # a text of this length fits beside its name
ATTRIBUTE_NAME = r"[A-Za-z0-9_-]{1,64}"
ATTRIBUTE_NAMES = f"^({ATTRIBUTE_NAME}(,{ATTRIBUTE_NAME}){{0,{MAX_ATTRIBUTES - 1}}})?$"  # several in one text, or none
# Older than any log: seconds that were read as microseconds land in 1970. A century ahead of most shops, and far enough
# from the ends of the calendar that a change of zone, a float of seconds and integer nanoseconds all hold it.
EARLIEST = datetime(1990, 1, 1, tzinfo=UTC)
LATEST = datetime(2100, 1, 1, tzinfo=UTC)
# More than any price in any currency, and exact to a cent in a float64.
MAX_NUMBER = 1e12
PURCHASE, RETURN = "purchase", "return"
# weights of event types that the data set does not have; after a dislike or return an item is seen, but not liked
DEFAULT_WEIGHTS = {"view": 1.0, "click": 1.0, "cart": 3.0, PURCHASE: 5.0, "dislike": 0.0, RETURN: 0.0}

MESSAGES = {
    "empty": "expected at least 1 character",
    "too_long": "too long",
    "control_character": "a control character, which no text needs; send it without",
    "padded": "white space at an end; send it without",
    "invisible": "a character that nobody can see, such as a no-break space; send it without",
    "not_normal": "not in Unicode normal form C; send it normalised",
    "full_width": "a full-width letter or digit; send the plain one",
    "guest": f"{GUEST} in front names a guest in training; send the guest's id as anonymous_id",
    "nan": "not a number",
    "infinite": "not a finite number",
    "too_large": f"larger than {MAX_NUMBER:g}",
    "negative": "below zero",
    "before_1990": f"before {EARLIEST:%Y-%m-%d}",
    "after_2100": f"not before {LATEST:%Y-%m-%d}",
    "not_flat": "expected an object of texts, numbers, true or false, and lists of texts",
    "too_many": f"expected at most {MAX_ATTRIBUTES} attributes",
    "bad_name": "the name of an attribute has 1 to 64 letters (a to z), digits, _ and -",
    "all_zero": "all numbers are 0; leave the vector out",
    "contain_bad_name": f"each text of a list is one line of 1 to {MAX_ID_LENGTH} characters",
}

# Escapes that both Python's `re` and polars read.
_CONTROL = r"\x00-\x1f\x7f-\x9f"
_CONTROL_BUT_LINES = r"\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f"
# Default_Ignorable_Code_Point of Unicode, marks of annotation, and all white space but U+0020.
_INVISIBLE = (
    r"\u00a0\u00ad\u034f\u061c\u115f\u1160\u1680\u17b4\u17b5\u180b-\u180f\u2000-\u200f\u2028-\u202f\u205f-\u206f\u2800"
    r"\u3000\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
_WIDE_SPACES = r"\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000\t-\r"
_FULL_WIDTH = {chr(code): chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F)}
_find_control = re.compile(f"[{_CONTROL}\ud800-\udfff]").search
_find_control_but_lines = re.compile(f"[{_CONTROL_BUT_LINES}\ud800-\udfff]").search
_BAD_IN_IDS = {"padded": "^ | $", "invisible": f"[{_INVISIBLE}]", "full_width": "[\uff01-\uff5e]"}
_find_bad_in_ids = {fault: re.compile(pattern).search for fault, pattern in _BAD_IN_IDS.items()}


def id_fault(value: str) -> str | None:
    """Return the fault of an id; the docstring of this module says what is valid."""
    if value.isascii() and value.isprintable() and 0 < len(value) <= MAX_ID_LENGTH and value.strip() == value:
        return None
    if fault := name_fault(value) or next((name for name, find in _find_bad_in_ids.items() if find(value)), None):
        return fault
    return None if is_normalized("NFC", value) else "not_normal"


def name_fault(value: str) -> str | None:
    """Return the fault of a name: it must be one line, not empty, and no longer than an id."""
    return text_fault(value, MAX_ID_LENGTH) if value else "empty"


def text_fault(value: str, max_length: int, *, lines: bool = False) -> str | None:
    """Return the fault of a text that may be empty; lines: whether tabs and line breaks are allowed."""
    if len(value) > max_length:
        return "too_long"
    return "control_character" if (_find_control_but_lines if lines else _find_control)(value) else None


def number_fault(value: float, *, negative: bool = True) -> str | None:
    """Return the fault of a number; negative: whether it may be below zero."""
    if math.isnan(value):
        return "nan"
    if math.isinf(value):
        return "infinite"
    if value < 0 and not negative:
        return "negative"
    return "too_large" if abs(value) > MAX_NUMBER else None


def vector_fault(numbers: Sequence[float]) -> str | None:
    """Return the fault of a vector whose numbers are valid: all of them count as 0."""
    return None if (np.abs(numbers) >= LEAST_VECTOR_NUMBER).any() else "all_zero"


def packed_vector(numbers: Sequence[float]) -> bytes:
    """Return a vector as the store keeps it: the bytes of its numbers as float32, little-endian."""
    return np.asarray(numbers, dtype="<f4").tobytes()


def is_packed_vector(cell: Any) -> bool:
    """Return whether a cell is of `packed_vector`, and within the limits."""
    if not isinstance(cell, bytes) or not 0 < len(cell) <= 4 * MAX_VECTOR_LENGTH or len(cell) % 4:
        return False
    numbers = np.frombuffer(cell, dtype="<f4")
    return bool(np.isfinite(numbers).all() and numbers.any())


def time_fault(moment: datetime) -> str | None:
    """Return the fault of a time; None if EARLIEST <= time < LATEST. moment: must have a time zone."""
    if moment < EARLIEST:
        return "before_1990"
    return "after_2100" if moment >= LATEST else None


def attributes_fault(attributes: Any) -> str | None:
    """Return the fault of an item's attributes, a value read from JSON; valid is a flat object within the limits."""
    if not isinstance(attributes, dict):
        return "not_flat"
    if len(attributes) > MAX_ATTRIBUTES:
        return "too_many"
    for name, value in attributes.items():
        fault = _value_fault(value) if re.fullmatch(ATTRIBUTE_NAME, name) else "bad_name"
        if fault:
            return fault
    return "too_long" if len(packed_attributes(attributes) or "") > MAX_ATTRIBUTES_LENGTH else None


def _value_fault(value: Any) -> str | None:
    match value:
        case bool():
            return None
        case str():
            return text_fault(value, MAX_ATTRIBUTE_LENGTH, lines=True)
        case int() | float():
            return "too_large" if abs(value) > MAX_NUMBER else number_fault(value)
        case list() if len(value) > MAX_CATEGORIES:
            return "too_long"
        case list():
            return None if all(isinstance(one, str) and not name_fault(one) for one in value) else "contain_bad_name"
    return "not_flat"


def packed_attributes(attributes: Mapping[str, Any]) -> str | None:
    """Return attributes as JSON text, sorted by name and without those that are None; None if none remains.

    >>> packed_attributes({"size": 5.0, "brand": "Acme", "image": None})
    '{"brand":"Acme","size":5}'
    """
    values = {
        name: int(value) if isinstance(value, float) and value.is_integer() else value
        for name, value in sorted(attributes.items())
        if value is not None
    }
    return json.dumps(values, ensure_ascii=False, separators=(",", ":")) if values else None


def unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object, as `object_pairs_hook` of `json.loads`. Raises: KeyError: it has this key twice."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise KeyError(next(name for name in found if names.count(name) > 1))
    return found


def read_attributes(text: Any) -> dict[str, Any] | None:
    """Return the attributes from JSON text of `packed_attributes`; None if the text is invalid or exceeds a limit."""
    try:
        found = json.loads(text)
    except (ValueError, TypeError, RecursionError):
        return None
    return found if attributes_fault(found) is None else None


def id_faults(column: str) -> pl.Expr:
    """Return the expression for the fault of each id, by the rules of `id_fault`; null also where it is missing."""
    text = pl.col(column)
    return pl.coalesce(
        name_faults(column),
        *(_when(text.str.contains(pattern), fault) for fault, pattern in _BAD_IN_IDS.items()),
        _when(text.str.normalize("NFC") != text, "not_normal"),
    )


def normal_ids(column: str) -> pl.Expr:
    """Return the expression for each id in Unicode form C, with plain instead of full-width characters, and without
    invisible characters or white space at the ends."""
    text = pl.col(column).str.replace_all(f"[{_WIDE_SPACES}]", " ").str.replace_all(f"[{_INVISIBLE}{_CONTROL}]", "")
    return text.str.replace_many(_FULL_WIDTH).str.normalize("NFC").str.strip_chars(" ")


def name_faults(column: str) -> pl.Expr:
    """Return the expression for the fault of each name, by the rules of `name_fault`."""
    return pl.coalesce(_when(pl.col(column) == "", "empty"), text_faults(column, MAX_ID_LENGTH))


def categories_faults(column: str) -> pl.Expr:
    """Return the expression for the fault of each list of names: too many names, or a missing or invalid one."""
    names, one = pl.col(column), pl.element()
    length = one.str.len_chars()
    faults = one.is_null() | (length == 0) | (length > MAX_ID_LENGTH) | one.str.contains(f"[{_CONTROL}]")
    return pl.coalesce(
        _when(names.list.len() > MAX_CATEGORIES, "too_long"),
        _when(names.list.eval(faults).list.any(), "contain_bad_name"),
    )


def attributes_faults(column: str) -> pl.Expr:
    """Return the expression for the fault of each text of attributes: "unreadable" if `read_attributes` refuses it."""

    def unreadable(texts: pl.Series) -> pl.Series:
        return pl.Series([text is not None and read_attributes(text) is None for text in texts], dtype=pl.Boolean)

    return _when(pl.col(column).map_batches(unreadable, pl.Boolean, is_elementwise=True), "unreadable")


def text_faults(column: str, max_length: int, *, lines: bool = False) -> pl.Expr:
    """Return the expression for the fault of each text, by the rules of `text_fault`."""
    control = _CONTROL_BUT_LINES if lines else _CONTROL
    return pl.coalesce(
        _when(pl.col(column).str.len_chars() > max_length, "too_long"),
        _when(pl.col(column).str.contains(f"[{control}]"), "control_character"),
    )


def number_faults(column: str, *, negative: bool = True) -> pl.Expr:
    """Return the expression for the fault of each number; negative: whether it may be below zero."""
    number = pl.col(column)
    return pl.coalesce(
        _when(number.is_nan(), "nan"),
        _when(number.is_infinite(), "infinite"),
        _when(pl.lit(not negative) & (number < 0), "negative"),
        _when(number.abs() > MAX_NUMBER, "too_large"),
    )


def vector_faults(column: str) -> pl.Expr:
    """Return the expression for the fault of each list of numbers: it is too long, or a number is not finite or too
    large, or all are 0."""
    numbers, one = pl.col(column), pl.element()
    return pl.coalesce(
        _when(numbers.list.len() > MAX_VECTOR_LENGTH, "too_long"),
        _when(~numbers.list.eval(one.is_finite()).list.all(), "not_finite"),
        _when(numbers.list.eval(one.abs() > MAX_NUMBER).list.any(), "too_large"),
        _when(~numbers.list.eval(one.abs() >= LEAST_VECTOR_NUMBER).list.any(), "all_zero"),
    )


def time_faults(column: str) -> pl.Expr:
    """Return the expression for the fault of each time (Datetime, UTC), by the rules of `time_fault`."""
    moment = pl.col(column)
    return pl.coalesce(_when(moment < EARLIEST, "before_1990"), _when(moment >= LATEST, "after_2100"))


def read_returns(events: pl.LazyFrame) -> pl.LazyFrame:
    """Turn purchases and returns of a negative value, as in older logs, into returns with the refunded amount as
    `value`. events: has the columns `event` (text) and `value` (number or null)."""
    given_back = (pl.col("event").is_in([PURCHASE, RETURN]) & (pl.col("value") < 0)).fill_null(False)
    return events.with_columns(
        event=pl.when(given_back).then(pl.lit(RETURN)).otherwise("event"),
        value=pl.when(given_back).then(-pl.col("value")).otherwise("value"),
    )


def _when(wrong: pl.Expr, fault: str) -> pl.Expr:
    return pl.when(wrong).then(pl.lit(fault))
