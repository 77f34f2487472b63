"""One value and a whole column are judged alike, and each limit is where the table says it is."""

import sys
import unicodedata
from datetime import UTC, datetime, timedelta, timezone

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.schemas import field_limits as limits

ODD = "ab \t\n\r\0\x1f\x7f\x85\xa0\xad\u0301é\u200b\u200d\u202e\u2028\ufe0f\ufeff\u3164\u2800\U000e0041日ª"
texts = st.text(st.sampled_from(ODD) | st.characters(exclude_categories=["Cs"]), max_size=6) | st.sampled_from(
    ["x" * 256, "é" * 256, "x" * 257, "日" * 257, " a", "a ", "e\u0301", ""]
)
NUMBERS = [0.0, -0.0, -1.0, 1e12, -1e12, 1.000001e12, float("inf"), float("-inf"), float("nan"), 5e-324]
MICROSECOND = timedelta(microseconds=1)


def of_column(expression: pl.Expr, *values: object) -> list[object]:
    return pl.DataFrame({"x": values}, strict=False).select(expression.alias("fault"))["fault"].to_list()


@given(texts)
def test_a_text_and_a_column_of_texts_are_judged_alike(text: str) -> None:
    frame = pl.DataFrame({"x": [text]}, {"x": pl.String})
    as_id, as_name = limits.id_faults("x"), limits.name_faults("x")
    one_line, lines = limits.text_faults("x", 5), limits.text_faults("x", 5, lines=True)
    found = frame.select(as_id.alias("id"), as_name.alias("name"), one_line.alias("line"), lines.alias("lines")).row(0)
    wanted = [limits.id_fault(text), limits.name_fault(text), limits.text_fault(text, 5)]
    assert found == (*wanted, limits.text_fault(text, 5, lines=True))
    assert set(found) <= {None, *limits.MESSAGES}


@given(st.floats() | st.sampled_from(NUMBERS), st.booleans())
def test_a_number_and_a_column_of_numbers_are_judged_alike(number: float, negative: bool) -> None:
    fault = limits.number_fault(number, negative=negative)
    assert of_column(limits.number_faults("x", negative=negative), number) == [fault]
    if fault is None:
        assert abs(number) <= 1e12
        assert negative or number >= 0


@given(st.datetimes(timezones=st.just(UTC)))
def test_a_time_and_a_column_of_times_are_judged_alike(moment: datetime) -> None:
    assert of_column(limits.time_faults("x"), moment) == [limits.time_fault(moment)]


def test_what_nobody_can_see_is_what_unicode_says() -> None:
    white = [chr(at) for at in range(sys.maxunicode + 1) if unicodedata.category(chr(at)) in ("Zs", "Zl", "Zp")]
    assert [sign for sign in white if limits.id_fault(f"a{sign}b") != "invisible"] == [" "]
    controls = [chr(at) for at in range(sys.maxunicode + 1) if unicodedata.category(chr(at)) in ("Cc", "Cs")]
    assert len(controls) == 65 + 2048
    assert {limits.id_fault(f"a{sign}b") for sign in controls} == {"control_character"}
    seen = {chr(at) for at in range(sys.maxunicode + 1) if limits.id_fault(f"a{chr(at)}b") == "invisible"}
    assert {unicodedata.category(sign) for sign in seen} == {"Cf", "Cn", "Lo", "Mn", "So", "Zl", "Zp", "Zs"}
    assert {sign for sign in seen if unicodedata.category(sign) == "So"} == {"\u2800"}


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ("anna", None),
        ("Anna B.", None),
        ("日本", None),
        ("é" * 256, None),
        ("é" * 257, "too_long"),
        ("", "empty"),
        (" anna", "padded"),
        ("anna\n", "control_character"),
        ("an\0na", "control_character"),
        ("an\ud800na", "control_character"),
        ("an\u200bna", "invisible"),
        ("anna\u00a0", "invisible"),
        ("\ufeffanna", "invisible"),
        ("e\u0301", "not_normal"),
    ],
)
def test_what_an_id_is(value: str, fault: str | None) -> None:
    assert limits.id_fault(value) == fault


def test_a_text_may_have_lines_where_that_is_said() -> None:
    assert limits.text_fault("a\r\n\tb", 10, lines=True) is None
    assert limits.text_fault("a\nb", 10) == "control_character"
    assert limits.text_fault("a\x1bb", 10, lines=True) == "control_character"


@pytest.mark.parametrize("hours", [-14, 0, 14])
def test_times_are_within_their_range_in_every_zone_and_survive_a_change_of_it(hours: int) -> None:
    zone = timezone(timedelta(hours=hours))
    first, last = limits.EARLIEST.astimezone(zone), (limits.LATEST - MICROSECOND).astimezone(zone)
    assert limits.time_fault(first) is None
    assert limits.time_fault(last) is None
    assert limits.time_fault(first - MICROSECOND) == "before_1990"
    assert limits.time_fault(last + MICROSECOND) == "after_2100"
    assert datetime.fromtimestamp(last.timestamp(), zone) == last
    assert limits.time_fault(datetime.min.replace(tzinfo=zone)) == "before_1990"
    assert limits.time_fault(datetime.max.replace(tzinfo=zone)) == "after_2100"
