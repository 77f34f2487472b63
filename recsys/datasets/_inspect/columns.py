"""Guesses the kind of each column of a sample: a time and its format, a number, yes or no, a URL, text."""

import re
from dataclasses import dataclass

import numpy as np
import polars as pl

from recsys.datasets._files.settings import NULL_VALUES
from recsys.datasets._files.times import EPOCHS, read_times, swapped

NEARLY_ALL = 0.98
TIMES, ROWS = 1_000, 5_000
CLOCKS = ("", " %H:%M:%S", " %H:%M", " %I:%M:%S %p", " %I:%M %p")
DAYS = ("%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%m-%d-%Y", "%Y/%m/%d", "%d %b %Y", "%b %d, %Y")
FORMATS = [day + clock for day in DAYS for clock in CLOCKS]
YEARS_1990_TO_2100 = 631_152_000, 4_102_444_800  # range of plausible times, seconds since 1970
TIME_NAMES = r"time|date|datum|zeit|when|ts$|_at$|_on$"
CURRENCY = r"^([+-]?)\s*\p{Sc}\s*|\s*\p{Sc}$"  # around a number
_REAL = r"[+-]?(?:\d*\.\d+(?:[eE][+-]?\d+)?|\d(?:\.\d*)?[eE][+-]?\d+|[01]\.?)"
SHAPES = {
    "whole number": r"^[+-]?\d+$",
    "number": r"^[+-]?\d*\.?\d+(?:[eE][+-]?\d+)?$",
    "number with a decimal comma": r"^[+-]?(?:\d+|\d{1,3}(?:[. ]\d{3})+)(?:,\d+)?$",
    "yes or no": r"(?i)^(?:true|false|yes|no|y|n|t|f|ja|nein)$",
    "address": r"^https?://",
    "vector": rf"""^[\[(\{{]?[\s"]*{_REAL}(?:["\s,;|]+{_REAL}){{7,}}[\s"]*[\])\}}]?$""",
    "list": r"^[\[{(].*[\]})]$|^[^|;]+(?:[|;][^|;]+)+$",
}


@dataclass(frozen=True)
class Column:
    """A column and its guessed kind: "time", "few values", "text", or a key of `SHAPES`, such as "number", "yes or no",
    "address" (a URL), "vector" (eight numbers or more, not whole ones) and "list". form: format of the times, None for
    ISO 8601; doubtful: whether day and month could be exchanged; empty: share of missing cells; distinct: number of
    different values; plain: if the column was looked up in another file, its name there (`name` is then file.column),
    else ""."""

    name: str
    kind: str
    values: pl.Series
    empty: float
    distinct: int
    form: str | None = None
    doubtful: bool = False
    plain: str = ""

    @property
    def examples(self) -> list[str]:
        return self.values.unique(maintain_order=True)[:3].to_list()

    @property
    def is_number(self) -> bool:
        return self.kind in ("whole number", "number", "number with a decimal comma")


def describe(column: pl.Series) -> Column:
    """Return one column of texts with its guessed kind."""
    filled = column.drop_nulls().str.strip_chars()
    values = filled.filter(~filled.str.to_lowercase().is_in([*NULL_VALUES, ""]))
    empty, distinct = 1 - len(values) / max(len(column), 1), values.n_unique()
    found = _time(values, re.search(TIME_NAMES, column.name.lower()) is not None or column.name.isdigit())
    if found is not None:
        form, doubtful = found
        return Column(column.name, "time", values, empty, distinct, form, doubtful)
    return Column(column.name, _shape(values, distinct), values, empty, distinct)


def _shape(values: pl.Series, distinct: int) -> str:
    few = values[:ROWS].str.replace(CURRENCY, "$1")
    for name, pattern in SHAPES.items():
        share = few.str.contains(pattern).mean()
        if isinstance(share, float) and share >= (NEARLY_ALL if name != "list" else 0.3):
            return name
    return "few values" if distinct <= max(2, len(values) // 100) else "text"


def _time(values: pl.Series, by_name: bool) -> tuple[str | None, bool] | None:
    """Return (format, doubtful), see `Column`; None if the values are no times. by_name: whether the column has a name
    like a time, or no name; only then whole numbers may be times."""
    few = values.unique(maintain_order=True)[:TIMES]
    if not len(few) or not few[0][:1].isalnum() or not re.search(r"\d", few[0]):
        return None
    if few.str.contains(r"^\d{9,}(?:\.\d*)?$").all():
        first, last = YEARS_1990_TO_2100
        fits = (
            unit
            for unit, micros in EPOCHS.items()
            if (few.cast(pl.Float64) * micros / 1e6).is_between(first, last).all()
        )
        unit = next(fits, None) if by_name else None
        return None if unit is None else (unit, False)
    for form in (None, *FORMATS):
        if _share_read(few, form) >= NEARLY_ALL:
            other = swapped(form)
            if other is None or _share_read(few, other) < 1:
                return form, False
            # the first rows of a log are from few days; the wrong format spreads them over the year
            return min(
                (form, other), key=lambda one: np.ptp(_read(few, one).drop_nulls().dt.epoch("s").to_numpy())
            ), True
    return None


def _share_read(values: pl.Series, form: str | None) -> float:
    return 1 - _read(values, form).null_count() / len(values)


def _read(values: pl.Series, form: str | None) -> pl.Series:
    table = pl.DataFrame({"time": values})
    return table.select(read_times("time", pl.String(), form, None).struct.field("time"))["time"]
