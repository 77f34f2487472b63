"""Cells of own files: times, lists and numbers in every way they are written, and formats that would misread."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from recsys.datasets._files.cells import bracketed_values, read_lists
from recsys.datasets._files.settings import TableFile
from recsys.datasets._files.times import check_format
from recsys.errors import DataError, ParamsError
from recsys.params import parse
from tests.support.own_files import EVENTS, run


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RECSYS_DATA_DIR", raising=False)


ISO = {
    "2024-05-01 10:00:00 UTC": "10:00:00", "2024-05-01 10:00:00+02": "08:00:00", "2024-05-01T10:00Z": "10:00:00",
    "2024-05-01t10:00:00z": "10:00:00", "20240501T100000Z": "10:00:00", "2024-05-01T10:00:00Z": "10:00:00",
    "2024-05-01T10:00:00,25": "10:00:00.250", "2024-05-01 10:00:00.123456789+00": "10:00:00.123456",
    "2024-05-01 10:00:00 -0430": "14:30:00", "2024-05-01T10:00:00.000000+05:30": "04:30:00", "2024-05-01": "00:00:00",
    "20240501": "00:00:00", "2024-05-01 10:00": "10:00:00", "2024-05-01 10:00:00 gmt": "10:00:00",
    "2024-05-01T1000+0200": "08:00:00",
}  # fmt: skip


def test_iso_8601_as_databases_write_it() -> None:
    found = run(EVENTS.replace(",", ";") + "".join(f"{text};a;{text}\n" for text in ISO), separator=";")
    assert found.times() == {text: f"2024-05-01 {time}" for text, time in ISO.items()}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        *((f"2024-05-01 10:00:00{zone}", "names_a_zone") for zone in (" CEST", " PST", "EST", " BST", " MEZ")),
        ("2024-05-01T10:00+02:00[Europe/Berlin]", "names_a_zone"),
        *((text, "unreadable") for text in ("2024-02-30", "2024-05-01 25:00", "2024-05-01 10:00:00+99", "01.05.2024")),
        *((text, "unreadable") for text in ("24-05-01", "1714557600", "2024-5-1", "2024-W18-3", "yesterday", "10:00")),
    ],
)
def test_what_is_no_moment_for_certain_refuses_its_row(text: str, reason: str) -> None:
    found = run(EVENTS + f"u1,a,{text}\nu2,a,2024-05-01 10:00:00 UTC\n")
    assert found.users() == ["u2"]
    assert found.reasons() == {f"timestamp_{reason}": 1}


def test_local_times_get_the_zone_that_is_set_and_none_is_guessed_at_a_change_of_clocks() -> None:
    times = ["2024-03-31 01:59:59", "2024-03-31 02:30:00", "2024-03-31 03:00:00", "2024-10-27 02:30:00", "2024-10-27"]
    times += ["2024-10-27 02:30:00+02", "2024-07-01 12:00:00Z"]
    found = run(EVENTS + "".join(f"u{at},a,{time}\n" for at, time in enumerate(times)), time_zone="Europe/Berlin")
    assert found.times() == {
        "u0": "2024-03-31 00:59:59", "u2": "2024-03-31 01:00:00", "u4": "2024-10-26 22:00:00",
        "u5": "2024-10-27 00:30:00", "u6": "2024-07-01 12:00:00",
    }  # fmt: skip
    assert found.reasons() == {"timestamp_at_clock_change": 2}


def test_times_in_a_format_of_their_own_get_the_zone_too() -> None:
    form: dict[str, Any] = {"timestamp_format": "%d/%m/%Y %H:%M", "time_zone": "America/New_York"}
    assert run(EVENTS + "u,a,13/01/2024 09:05\n", **form).times() == {"u": "2024-01-13 14:05:00"}
    form = {"timestamp_format": "%d/%m/%Y %H:%M %z", "time_zone": "America/New_York"}
    assert run(EVENTS + "u,a,13/01/2024 09:05 +0100\n", **form).times() == {"u": "2024-01-13 08:05:00"}
    form = {"timestamp_format": "epoch_s", "time_zone": "America/New_York"}
    assert run(EVENTS + "u,a,1714557600\n", **form).times() == {"u": "2024-05-01 10:00:00"}


@pytest.mark.parametrize(
    ("form", "reason"),
    [
        ("%d.%m.%y", "a year of two digits"), ("%D", "a year of two digits"), ("%Y-%m-%d %H:%M %Z", "%Z reads no zone"),
        ("%Y-%m-%d %H:%M CET", "a zone in the text would be ignored"), ("%d.%m.%Y %H:%M +02:00", "a zone in the text"),
        ("%Y-%M-%d %H:%m", "%M is minutes"), ("%Y-%m-%d %H:%m", "%m is the month"), ("%Y-%m-%d %I:%M", "needs %p"),
        ("%d.%m. %H:%M", "expected a year"), ("%H:%M", "expected a year"), ("%Y-%m", "expected a year"),
        ("%c", "no other"), ("%Y-%m-%d %H:%M:%S.%f", "%f counts nanoseconds"), ("%s", "no other"),
        ("epoch_ns", "expected epoch_s"),
    ],
)  # fmt: skip
def test_a_format_that_would_misread_is_refused_in_one_line(form: str, reason: str) -> None:
    with pytest.raises(ParamsError, match=rf"^here: timestamp_format '.*': .*{reason}") as error:
        parse(TableFile, {"path": "x.csv", "timestamp_format": form}, "here")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "form",
    ["%F %T", "%d.%m.%Y", "%Y%m%d%H%M%S", "%b %d, %Y %I:%M %p", "%Y-%j", "%m/%d/%Y %R %z", "%A, %d. %B %Y at %H:%M"],
)
def test_a_format_that_is_clear_is_taken(form: str) -> None:
    check_format(form, None)


def test_a_literal_utc_beside_another_zone_is_refused() -> None:
    check_format("%Y-%m-%dT%H:%M:%SZ", "UTC")
    with pytest.raises(ValueError, match="it is UTC: remove time_zone"):
        check_format("%Y-%m-%dT%H:%M:%SZ", "Europe/Berlin")


@pytest.mark.parametrize(
    ("form", "other"), [("%d/%m/%Y", "%m/%d/%Y"), ("%m-%d-%Y", "%d-%m-%Y"), ("%Y.%d.%m", "%Y.%m.%d")]
)
def test_days_and_months_that_are_exchanged_are_noticed_by_days_after_the_twelfth(form: str, other: str) -> None:
    days = pl.datetime_range(pl.datetime(2024, 1, 1), pl.datetime(2024, 3, 31), eager=True)
    content = EVENTS + "".join(f"u,a,{text}\n" for text in days.dt.strftime(form))
    assert run(content, timestamp_format=form).interactions.height == len(days)
    with pytest.raises(
        DataError, match=rf"^events.csv: timestamp_format '{other}' does not fit column 'timestamp', '{form}'"
    ):
        run(content, timestamp_format=other)


@pytest.mark.parametrize("zone", ["CEST", "EST", "UTC+2", "+02:00", "Berlin", "Europe/Berlim", ""])
def test_a_zone_that_is_no_place_is_refused(zone: str) -> None:
    with pytest.raises(ParamsError, match=r"time_zone: expected a name .* such as Europe/Berlin, or UTC"):
        parse(TableFile, {"path": "x.csv", "time_zone": zone}, "here")


@pytest.mark.parametrize(
    ("key", "value"),
    [("encoding", "utf-9"), ("separator", '"'), ("separator", "ab"), ("quote", ","), ("escape", '"'), ("decimal", ";")],
)
def test_a_setting_that_cannot_be_is_one_line(key: str, value: str) -> None:
    with pytest.raises(ParamsError, match=r"^here: ") as error:
        parse(TableFile, {"path": "x.csv", key: value}, "here")
    assert "\n" not in str(error.value)


LISTS: dict[str, list[str] | None] = {
    "['Comedy', 'Drama']": ["Comedy", "Drama"], '["a","b"]': ["a", "b"], "{a,b}": ["a", "b"], "[a, b]": ["a", "b"],
    '{Drama,"Film, Noir",Children\'s}': ["Drama", "Film, Noir", "Children's"], "['a' 'b'\n 'c']": ["a", "b", "c"],
    'c("a", "b")': ["a", "b"], "('a',)": ["a"], "{'a', 'b'}": ["a", "b"],
    "['it''s', \"x's\", 'y\\'s']": ["it's", "x's", "y's"],
    "[]": [], "{}": [], '["a\\"b", "\\u00fc"]': ['a"b', "ü"],
    '[{"id": 1, "name": "A"}, {"id": 2, "name": "B"}]': ["A", "B"],
    "[{'id': 1, 'name': 'A'}]": ["A"], "[1, 2]": ["1", "2"], "['a', None, nan, '']": ["a"], "a|b": ["a", "b"],
    "a; b ;": ["a", "b"], "a, b": ["a, b"], "(no genres listed)": ["(no genres listed)"], "Food (dry)": ["Food (dry)"],
    "NULL": None, "": None, "['a": None, "['a'] 'b']": None, "[['a'], ['b']]": None, '{"a": 1}': None, "[': ']']": None,
    "[" * 5000 + "]" * 5000: None,
}  # fmt: skip


def test_lists_in_any_notation_are_lists_and_bad_ones_are_emptied() -> None:
    frame = pl.DataFrame({"item_id": [f"i{at}" for at in range(len(LISTS))], "categories": list(LISTS)})
    content = frame.write_csv()
    found = run(EVENTS + "u,i0,2024-05-01\n", content, {})
    assert dict(zip(LISTS, found.items["categories"].to_list(), strict=True)) == {
        text: values or [] for text, values in LISTS.items()
    }
    bad = [text for text, values in LISTS.items() if values is None and text not in ("NULL", "")]
    assert found.notes("items")["categories emptied: unreadable"] == len(bad)


@pytest.mark.parametrize(
    ("separator", "text"), [(",", "a, b"), (";", "a;b"), ("/", "a / b"), (" > ", "a > b"), ("::", "a::b")]
)
def test_the_separator_of_lists_without_brackets_is_a_setting(separator: str, text: str) -> None:
    frame = pl.DataFrame({"x": [text, "['a', 'b']", "a|b"]})
    assert frame.select(read_lists("x", separator, []))["x"].to_list() == [["a", "b"], ["a", "b"], ["a|b"]]


words = st.text(st.characters(exclude_categories=["C", "Z"], exclude_characters="\\"), min_size=1, max_size=5)


@example(["0", "''"])
@given(st.lists(words, max_size=4))
def test_a_list_that_python_prints_comes_back(values: list[str]) -> None:
    assert bracketed_values(str(values)) == values


@given(st.text(st.sampled_from("[]{}()'\",\\ ab|c\n"), max_size=12))
def test_no_text_between_brackets_raises(text: str) -> None:
    values = bracketed_values(text)
    assert values is None or all(isinstance(value, str) for value in values)
