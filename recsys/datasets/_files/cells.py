"""Parses the cells of a table: missing values, ids, numbers, times, booleans, lists.

Lists may be written as in JSON, Python, R, PostgreSQL, NumPy or Scala, as tags, or with separators:

["a", "b"]   ['a', "b's"]   ('a',)   {a,"b c"}   c("a", "b")   ['a' 'b']   [{"name": "a"}]   a|b   a; b   <a><b>

The column `notes` lists the changes in a row, `reject` has the reason why the row is rejected. An unusable cell of an
item or user is emptied; a row of interactions with an unusable cell is rejected.
"""

import ast
import json
import re
from typing import Any

import polars as pl

from recsys.data.raw_tables import NOTES, RAW, REJECT, noted
from recsys.data.schema import ITEMS, VECTORS
from recsys.datasets._files.settings import ATTRIBUTE, KINDS, QUANTITY, TIMES, VECTOR, DescribedFile, Kind, TableFile
from recsys.datasets._files.times import read_times
from recsys.schemas.field_limits import (
    MAX_ATTRIBUTES_LENGTH,
    RETURN,
    categories_faults,
    normal_ids,
    number_faults,
    packed_attributes,
    text_faults,
)

IDS = ("user_id", "item_id")
YES = (
    "true", "t", "yes", "y", "1", "1.0", "on", "ja", "wahr", "oui", "vrai", "si", "sí", "sim", "available", "enabled",
    "active", "in stock", "in-stock", "in_stock", "instock",
)  # fmt: skip
NO = (
    "false", "f", "no", "n", "0", "0.0", "off", "nein", "falsch", "non", "faux", "não", "unavailable", "disabled",
    "inactive", "discontinued", "sold out", "sold_out", "out of stock", "out-of-stock", "out_of_stock", "outofstock",
)  # fmt: skip
YES_NO = dict.fromkeys(YES, True) | dict.fromkeys(NO, False)
UNREADABLE = "unreadable"
# 123.0, `123.` of SAS, 1.2E+08 of spreadsheets, 1.2E8 of Java and Spark; without a point, 12e8 may be hexadecimal
_FLOAT_SHAPED = r"^[+-]?\d+(?:\.0*|(?:\.\d+)?[eE]\+\d+|\.\d+[eE]\d+)$"
_NUMBER = r"^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$"
_WHY = "(fault)"


def read_cells(table: pl.LazyFrame, file: TableFile) -> pl.LazyFrame:
    """Return the table with parsed columns, and with NOTES, one line per changed cell. table: canonical columns as
    text, RAW (the row's original cells) and REJECT (the reason to reject the row, or null)."""
    table = table.with_columns(_plain(*one) for one in table.collect_schema().items() if one[0] not in (REJECT, RAW))
    columns = {name: dtype for name, dtype in table.collect_schema().items() if name not in (REJECT, RAW)}
    table = _without_markers(table.with_columns(pl.lit("").alias(NOTES)), columns, file.null_values)
    for column, dtype in columns.items():
        if column in IDS:
            table = _with_id(table, column, dtype, file)
        else:
            value = _read(column, dtype, file).struct.rename_fields([column, _WHY])
            table = table.with_columns(value.struct.unnest())
        if isinstance(file, DescribedFile) and column not in IDS:
            own = column.startswith(ATTRIBUTE)
            limit = _attribute_faults(column, table) if own else (ITEMS | VECTORS)[column].fault
            fault = pl.col(_WHY) if limit is None else pl.coalesce(_WHY, limit)
            table = noted(table, {column: pl.when(fault.is_null()).then(pl.col(column))}, f"{column} emptied: ", fault)
        else:
            table = table.with_columns(pl.coalesce(REJECT, pl.lit(f"{column}_") + pl.col(_WHY)))
    return _multiply_by_quantity(_merge_attributes(table.drop(_WHY), columns), columns)


def swapped_dates(table: pl.LazyFrame, column: str, form: str, other: str) -> bool:
    """Return whether more texts fit only `other`, the format with day and month exchanged, than only `form`."""
    texts = pl.col(column).str.strip_chars()
    ours, theirs = (texts.str.to_datetime(way, time_unit="us", strict=False).is_not_null() for way in (form, other))
    only = table.select(ours=(ours & ~theirs).sum(), theirs=(theirs & ~ours).sum()).collect(engine="streaming")
    return bool(only["theirs"][0] > only["ours"][0])


def _plain(column: str, dtype: pl.DataType) -> pl.Expr:
    """Return the expression that converts a column to a type that this module parses: other types of text, empty
    columns and ids in decimal numbers to text, an array to a list."""
    texts = dtype in (pl.Categorical, pl.Enum, pl.Null) or (column in IDS and dtype == pl.Decimal)
    to = pl.String if texts else pl.List(dtype.inner) if isinstance(dtype, pl.Array) else dtype
    return pl.col(column).cast(to)


def _without_markers(table: pl.LazyFrame, columns: dict[str, pl.DataType], markers: list[str]) -> pl.LazyFrame:
    """Turn the texts in `markers` and NaN into null, with a note; blank cells become null without one."""
    lowered = [marker.strip().lower() for marker in markers]
    for column, dtype in columns.items():
        if dtype == pl.String:
            text = pl.col(column).str.strip_chars()
            missing = text.str.to_lowercase().is_in([*lowered, ""])
            value = pl.when(~missing).then(pl.col(column) if column in (*IDS, "title", "text") else text)
            about = pl.when(missing).then(pl.lit("'") + text + "'")
            table = noted(table, {column: value}, f"{column} missing as ", about)
        elif dtype.is_float():
            table = table.with_columns(pl.col(column).fill_nan(None))
    return table


def _with_id(table: pl.LazyFrame, column: str, dtype: pl.DataType, file: TableFile) -> pl.LazyFrame:
    value = pl.col(column)
    if dtype.is_float():
        whole = (value == value.round()) & (value.abs() < 2**53)
        text = pl.when(whole).then(value.cast(pl.Int64).cast(pl.String) + ".0").otherwise(value.cast(pl.String) + "e+0")
        table = table.with_columns(text.alias(column))
    elif dtype.is_integer():
        table = table.with_columns(value.cast(pl.String))
    elif dtype != pl.String:
        return table.with_columns(pl.lit(None, pl.String).alias(_WHY))  # for validation to refuse
    if file.odd_ids == "normalise":
        about = pl.when(normal_ids(column) != value).then(pl.lit("normalised"))
        table = noted(table, {column: normal_ids(column)}, f"{column} ", about)
    if file.float_ids == "whole":
        about = pl.when(value.str.contains(r"^[+-]?\d+\.0+$")).then(pl.lit("read as whole number"))
        table = noted(table, {column: value.str.replace(r"^([+-]?\d+)\.0+$", "$1")}, f"{column} ", about)
    odd = value.str.contains(_FLOAT_SHAPED) & pl.lit(file.float_ids != "keep")
    fault = pl.when(odd).then(pl.lit("float_shaped")).when(value.str.contains("\ufffd")).then(pl.lit("garbled"))
    return table.with_columns(fault.alias(_WHY))


def _read(column: str, dtype: pl.DataType, file: TableFile) -> pl.Expr:
    """Return the expression for a struct: the parsed value, and the fault if the text cannot be parsed."""
    value = pl.col(column)
    if column in TIMES:
        return read_times(column, dtype, file.timestamp_format, file.time_zone)
    if column == VECTOR:
        return _read_vectors(column, dtype)
    read, kind, text = value, KINDS.get(column), dtype == pl.String
    if isinstance(file, DescribedFile) and column.startswith(ATTRIBUTE):
        by_type: Kind | None = "number" if dtype.is_numeric() else "list" if isinstance(dtype, pl.List) else None
        kind = file.attributes[column.removeprefix(ATTRIBUTE)].kind or by_type
        read = value if dtype == pl.Boolean else _as_text(value, dtype)
    if kind == "number":
        read = _number(value, file.decimal) if text else value.cast(pl.Float64, strict=False)
    elif kind == "yes_no":
        if text:
            read = value.str.to_lowercase().replace_strict(YES_NO, default=None, return_dtype=pl.Boolean)
        elif dtype.is_numeric():
            read = pl.when(value.is_in([0, 1])).then(value == 1)
    elif kind == "list" and isinstance(file, DescribedFile):
        if text:
            read = read_lists(column, file.category_separator, [marker.lower() for marker in file.null_values])
        elif isinstance(dtype, pl.List):
            read = value.list.drop_nulls().list.eval(_as_text(pl.element(), dtype.inner))
            read = pl.when(read.list.len() == read.list.drop_nulls().list.len()).then(read)
    elif column in ("title", "text"):
        read = _as_text(value, dtype)
        read = read.str.replace_all(r"[\t\r\n]+", " ") if column == "title" else read
    return pl.struct(read.alias("value"), fault=pl.when(value.is_not_null() & read.is_null()).then(pl.lit(UNREADABLE)))


def _read_vectors(column: str, dtype: Any) -> pl.Expr:
    """Return the expression for a struct: the numbers of each list, and the fault if a value is not a list of them."""
    value = numbers = pl.col(column)
    if dtype == pl.String:
        numbers = value.str.replace_all(r"""[\[\](){}"',;|\s]+""", " ").str.strip_chars().str.split(" ")
    elif not isinstance(dtype, pl.List) or dtype.inner.is_nested():
        numbers = pl.lit(None, pl.List(pl.Float32))
    read = numbers.list.eval(pl.element().cast(pl.Float32, strict=False))
    whole = (read.list.len() > 0) & (read.list.drop_nulls().list.len() == read.list.len())
    read = pl.when(whole).then(read)
    return pl.struct(read.alias("value"), fault=pl.when(value.is_not_null() & read.is_null()).then(pl.lit(UNREADABLE)))


def _as_text(value: pl.Expr, dtype: Any) -> pl.Expr:
    """Return the expression for a value as text; null for structures and bytes."""
    return pl.lit(None, pl.String) if dtype.is_nested() or dtype == pl.Binary else value.cast(pl.String, strict=False)


def _attribute_faults(column: str, table: pl.LazyFrame) -> pl.Expr | None:
    """Return the expression for the fault of each value of an attribute; None if its dtype has only valid values."""
    dtype = table.collect_schema()[column]
    if isinstance(dtype, pl.List):
        return categories_faults(column)
    if dtype.is_numeric():
        return number_faults(column)
    return text_faults(column, MAX_ATTRIBUTES_LENGTH, lines=True) if dtype == pl.String else None


def _merge_attributes(table: pl.LazyFrame, columns: dict[str, pl.DataType]) -> pl.LazyFrame:
    """Merge the columns of attributes into one JSON column; an item whose attributes exceed the limit has none."""
    names = [column for column in columns if column.startswith(ATTRIBUTE)]
    if not names:
        return table
    parts = pl.struct(pl.col(name).alias(name.removeprefix(ATTRIBUTE)) for name in names)
    packed = parts.map_batches(lambda rows: pl.Series(map(packed_attributes, rows), dtype=pl.String), pl.String)
    table = table.with_columns(attributes=packed).drop(names)
    fault = pl.when(pl.col("attributes").str.len_chars() > MAX_ATTRIBUTES_LENGTH).then(pl.lit("too_long"))
    return noted(table, {"attributes": pl.when(fault.is_null()).then("attributes")}, "attributes emptied: ", fault)


def _number(text: pl.Expr, decimal: str | None) -> pl.Expr:
    bare = text.str.replace(r"^([+-]?)\s*\p{Sc}\s*|\s*\p{Sc}$", "$1").str.replace("^−", "-")
    if decimal is not None:
        mark, other = re.escape(decimal), re.escape("," if decimal == "." else ".")
        grouped = rf"^[+-]?\d{{1,3}}(?:[{other} '’\u00a0\u202f]\d{{3}})+(?:{mark}\d*)?$"
        ungrouped = bare.str.replace_all(rf"[{other} '’\u00a0\u202f]", "")
        bare = pl.when(bare.str.contains(grouped)).then(ungrouped).when(~bare.str.contains(other)).then(bare)
        bare = bare.str.replace(decimal, ".", literal=True)
    return pl.when(bare.str.contains(_NUMBER)).then(bare).cast(pl.Float64, strict=False)


def _multiply_by_quantity(table: pl.LazyFrame, columns: dict[str, pl.DataType]) -> pl.LazyFrame:
    """Multiply `value`, the unit price, by the quantity; a quantity below zero makes the row a return."""
    if QUANTITY not in columns:
        return table
    back, value = (pl.col(QUANTITY) < 0).fill_null(False), pl.lit(None, pl.Float64)
    if "value" in columns:
        value = pl.col("value") * pl.col(QUANTITY).fill_null(1.0)
        value = pl.when(back).then(-value.abs()).otherwise(value)
    table = table.with_columns(value=value)
    if "event" in columns:
        without = back & pl.col("value").is_null()
        table = table.with_columns(event=pl.when(without).then(pl.lit(RETURN)).otherwise("event"))
    return table.drop(QUANTITY)


SEPARATORS = "|;"
# Parentheses begin a list only before a quote: `(no genres listed)` is a text. A list must be readable.
_OF_SCALA = "WrappedArray|ArrayBuffer|ArraySeq|List|Set|Vector"
_LOOKS_LISTED = (
    r"""(?s)^(?:[\[{].*[\]}]|[a-z]*[\[({]\s*["'].*|[a-z]+\([\[{].*\)|set\(\)|(?:<[^<>]+>)+"""
    rf"|(?:{_OF_SCALA})\(.*\))$"
)
_BRACKETS = re.compile(rf"(?s)(?:\[(.*)\]|\{{(.*)\}}|(?:c|set|{_OF_SCALA})?\((.*)\))")
_QUOTED = r"""[uUrRbB]?(?:"(?P<double>(?:[^"\\]|\\.|"")*)"|'(?P<single>(?:[^'\\]|\\.|'')*)')\s*(?:,|\Z|(?=["']))"""
_ELEMENT = re.compile(rf"\s*(?:{_QUOTED}|(?P<bare>[^\"',][^,]*|)(?:,|\Z))", re.DOTALL)
_ESCAPE = {kind: re.compile(rf"\\(.)|{each * 2}", re.DOTALL) for kind, each in (("double", '"'), ("single", "'"))}


def read_lists(column: str, separator: str | None, missing: list[str]) -> pl.Expr:
    """Return the expression for each cell as a list of texts; null if a text in brackets is not a list. separator:
    between values without brackets, None for any of `SEPARATORS`; missing: values to leave out, lower case."""
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
    """Return the values of a list in brackets; None if the text is not one.

    >>> bracketed_values("['Comedy', 'Drama']"), bracketed_values('{Drama,"Film, Noir"}'), bracketed_values("[']")
    (['Comedy', 'Drama'], ['Drama', 'Film, Noir'], None)
    """
    for read in (json.loads, ast.literal_eval):
        try:
            # Python would read ['a' 'b'] as one text, so it parses only lists of objects; the pattern below parses the
            # others
            if read is json.loads or text.startswith("[{"):
                return _json_values(read(text))
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            pass
    if text.startswith("<"):
        return text[1:-1].split("><")
    match = _BRACKETS.fullmatch(text)
    if not match:
        return None
    inner, at, values = next(part for part in match.groups() if part is not None), 0, []
    while at < len(inner):
        found = _ELEMENT.match(inner, at)
        if not found or found.end() == at:
            return None
        kind = "single" if found["double"] is None else "double"
        quoted = found[kind]
        if quoted is None and set("[{") & set(found["bare"]):
            return None
        values.append(
            found["bare"] if quoted is None else _ESCAPE[kind].sub(lambda part: part[1] or part[0][0], quoted)
        )
        at = found.end()
    return values


def _json_values(found: Any) -> list[str] | None:
    """Return the values of a JSON list, and the `name` of each object in it; None for other structures."""
    if not isinstance(found, list):
        return None if found else []
    values = [value.get("name", value.get("title")) if isinstance(value, dict) else value for value in found]
    if any(isinstance(value, dict | list) for value in values):
        return None
    return [str(value) for value in values if value is not None]
