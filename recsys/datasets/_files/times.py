"""Parses times from text: ISO 8601 and its variants in databases, a format of strptime, or a number since 1970.

Ambiguous times are refused: zone names other than UTC, years of two digits, 12-hour clocks without am or pm.
"""

import re

import polars as pl

EPOCHS = {"epoch_s": 1_000_000, "epoch_ms": 1_000, "epoch_us": 1}
UTC_TIME = pl.Datetime("us", "UTC")
UNREADABLE, NAMED_ZONE, CLOCK_CHANGE = "unreadable", "names_a_zone", "at_clock_change"
_ISO = (
    r"(?i)^(?<date>\d{4}-\d{2}-\d{2}|\d{8})(?:[T ] *(?<hour>\d{2}):?(?<minute>\d{2})"
    r"(?::?(?<second>\d{2})(?:[.,](?<fraction>\d{1,6})\d*)?)? *(?<zone>Z|UTC|GMT|[+-]\d{2}(?::?\d{2})?)?)?$"
)
_DIRECTIVE = re.compile(r"%([-_0]?)(\.?[369]?f|:{1,2}z|#z|.)")
_TAKEN = set("YmdebBhHkIlMSpPzFTRjaAnt%") | {".f", ".3f", ".6f", ".9f", "3f", "6f", "9f", ":z", "::z", "#z"}
_ZONE_IN_TEXT = re.compile(r"\b(?!UTC|GMT|T\b|Z\b)[A-Z]{2,5}\b|[+-]\d{2}:?\d{2}\b")


def check_format(form: str, zone: str | None) -> None:
    """Check that a format for strptime is unambiguous and fits `zone`, the setting `time_zone`.

    Raises:
        ValueError: "timestamp_format '%d.%m.%y': a year of two digits can be misread: expected %Y"
    """
    if form in EPOCHS:
        return
    if form.startswith("epoch"):
        raise ValueError(f"timestamp_format {form!r}: expected {', '.join(EPOCHS)} or a format as for strptime")
    found = [match[2] for match in _DIRECTIVE.finditer(form)]
    literal = _DIRECTIVE.sub(" ", form)
    parts = "".join({"F": "Ymd", "T": "HMS", "R": "HM"}.get(name, name[-1]) for name in found)
    hour, minute, month = max(parts.find("H"), parts.find("I")), parts.find("M"), parts.rfind("m")
    day_and_month = "j" in parts or (set("de") & set(parts) and set("mbBh") & set(parts))
    faults = (
        (bool({"y", "D"} & set(found)), "a year of two digits can be misread: expected %Y"),
        ("Z" in found, "%Z reads no zone: write the offset as %z, or leave it out of the text and set time_zone"),
        (bool(_ZONE_IN_TEXT.search(literal)), "a zone in the text would be ignored: use %z, or set time_zone"),
        (bool(re.search(r"\b(?:Z|UTC|GMT)\b", literal)) and zone not in (None, "UTC"), "it is UTC: remove time_zone"),
        ("f" in found, "%f counts nanoseconds: expected %.f in place of .%f"),
        (not set(found) <= _TAKEN, f"expected no other directives than {' '.join(sorted(_TAKEN))}"),
        ("Y" not in parts or not day_and_month, "expected a year, a month and a day"),
        ("I" in parts and not {"p", "P"} & set(parts), "%I, a 12-hour clock, needs %p"),
        (minute >= 0 and not 0 <= hour < minute, "%M is minutes and follows the hour, %m is the month"),
        (0 <= hour == month - 1, "%m is the month and never follows the hour, %M is minutes"),
    )
    for wrong, reason in faults:
        if wrong:
            raise ValueError(f"timestamp_format {form!r}: {reason}")


def swapped(form: str | None) -> str | None:
    """Return the format with day and month exchanged; None unless both are numbers in it."""
    if form is None or not re.search("%-?d", form) or not re.search("%-?m", form):
        return None
    return re.sub("(%-?)([dm])", lambda match: match[1] + ("m" if match[2] == "d" else "d"), form)


def read_times(column: str, dtype: pl.DataType, form: str | None, zone: str | None) -> pl.Expr:
    """Return the expression for a struct: `time`, Datetime in UTC or null, and `fault`, the reason for null.

    form: format, see `check_format`, None for ISO 8601; zone: time zone of times without one, None for UTC.
    """
    value = pl.col(column)
    if form in EPOCHS:
        micros = (value.cast(pl.Float64, strict=False) * EPOCHS[form]).round().cast(pl.Int64, strict=False)
        return _with_fault(micros.cast(UTC_TIME), value, pl.lit(UNREADABLE))
    if dtype == pl.String:
        return value.map_batches(
            lambda texts: _read_texts(texts, form, zone),
            return_dtype=pl.Struct({"time": UTC_TIME, "fault": pl.String}),
            is_elementwise=True,
        )
    if isinstance(dtype, pl.Datetime) and dtype.time_zone is not None:
        return _with_fault(value.cast(UTC_TIME), value, pl.lit(UNREADABLE))
    local = value.cast(pl.Datetime("us"))
    whole = dtype.is_integer()  # microseconds since 1970
    return _with_fault(_to_utc(local, None if whole else zone), value, pl.lit(CLOCK_CHANGE))


def _with_fault(time: pl.Expr, value: pl.Expr, fault: pl.Expr) -> pl.Expr:
    return pl.struct(time=time, fault=pl.when(value.is_not_null() & time.is_null()).then(fault))


def _to_utc(local: pl.Expr, zone: str | None) -> pl.Expr:
    if zone is None:
        return local.dt.replace_time_zone("UTC")
    placed = local.dt.replace_time_zone(zone, ambiguous="null", non_existent="null")
    return placed.dt.convert_time_zone("UTC")


def _read_texts(texts: pl.Series, form: str | None, zone: str | None) -> pl.Series:
    frame = texts.alias("text").to_frame().with_columns(pl.col("text").str.strip_chars())
    frame = _read_iso(frame) if form is None else _read_form(frame, form)
    time = pl.coalesce("exact", _to_utc(pl.col("local"), zone))
    fault = (
        pl.when(pl.col("local").is_not_null())
        .then(pl.lit(CLOCK_CHANGE))
        .when(pl.col("text").str.contains(r"\d\s*(?:[A-Za-z]{2,5}|\[.*\])$") & pl.lit(form is None))
        .then(pl.lit(NAMED_ZONE))
        .otherwise(pl.lit(UNREADABLE))
    )
    return frame.select(_with_fault(time, pl.col("text"), fault)).to_series()


def _read_form(frame: pl.DataFrame, form: str) -> pl.DataFrame:
    """Parse with a format: add `exact` (UTC) if the format has a zone, else `local` (time without a zone)."""
    time = pl.col("text").str.to_datetime(form, time_unit="us", strict=False)
    if any(match[2].endswith("z") for match in _DIRECTIVE.finditer(form)):
        return frame.with_columns(exact=time.dt.convert_time_zone("UTC"), local=pl.lit(None, pl.Datetime("us")))
    return frame.with_columns(exact=pl.lit(None, UTC_TIME), local=time)


def _read_iso(frame: pl.DataFrame) -> pl.DataFrame:
    """Parse ISO 8601: add `exact` (UTC) where the text has a zone, else `local` (time without a zone)."""
    text = pl.col("text")
    frame = frame.with_columns(local=text.str.to_datetime("%Y-%m-%d %H:%M:%S%.f", time_unit="us", strict=False))
    rest = pl.when(pl.col("local").is_null()).then(text)
    frame = frame.with_columns(rest.str.extract_groups(_ISO).alias("parts")).unnest("parts")
    digits = pl.concat_str(
        pl.col("date").str.replace_all("-", "", literal=True),
        *(pl.col(name).fill_null("00") for name in ("hour", "minute", "second")),
        pl.lit("."), pl.col("fraction").fill_null("0"),
    )  # fmt: skip
    hours, minutes = (pl.col("zone").str.extract(r"[+-](\d{2}):?(\d{2})?", group) for group in (1, 2))
    offset = hours.cast(pl.Int64) * 60 + minutes.fill_null("0").cast(pl.Int64)
    signed = pl.when(pl.col("zone").str.starts_with("-")).then(-offset).otherwise(offset.fill_null(0))
    read = digits.str.to_datetime("%Y%m%d%H%M%S%.f", time_unit="us", strict=False)
    named = pl.col("zone").is_not_null()
    exact = pl.when(named & (signed.abs() <= 18 * 60)).then(read - pl.duration(minutes=signed))
    return frame.select(
        "text", exact=exact.dt.replace_time_zone("UTC"), local=pl.coalesce("local", pl.when(~named).then(read))
    )
