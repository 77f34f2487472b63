"""Files as people have them, which were once answered wrongly, each with neighbours of its kind."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from recsys.errors import DataError
from tests.support.own_files import EVENTS, GOOD, run

NOTED = "user_id,item_id,timestamp,note\n"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RECSYS_DATA_DIR", raising=False)


def noted(n: int = 20, **notes: str) -> str:
    """n rows, one a line; notes: of the rows `r<number>`."""
    rows = [f"u{at},i{at % 5},2024-05-{at + 1:02},{notes.get(f'r{at}', 'ok')}" for at in range(n)]
    return NOTED + "\n".join(rows) + "\n"


@pytest.mark.parametrize(
    ("content", "bad"),
    [
        (noted(r3='"12 inch vinyl'), [(5, "unclosed_quote")]),
        (noted(r3='12" vinyl'), [(5, "stray_quote")]),
        (noted(r3='"12 inch', r9='"14 inch'), [(5, "stray_quote"), (11, "unclosed_quote")]),
        (noted(r3='"12 inch', r9='vinyl 14"'), [(5, "unclosed_quote"), (11, "stray_quote")]),
        (noted(r19='"12 inch vinyl').rstrip("\n"), [(21, "unclosed_quote")]),
        (noted(r0='"a" b', r19='a "b"'), [(2, "stray_quote"), (21, "stray_quote")]),
        (noted(r3="a,b"), [(5, "wrong_number_of_cells")]),
        (noted(r3="a,b", r4='"x, y"', r5='"",z'), [(5, "wrong_number_of_cells"), (7, "wrong_number_of_cells")]),
        (noted().replace("u3,i3,2024-05-04,ok", "u3"), [(5, "wrong_number_of_cells")]),
        (noted().replace("u3,i3,2024-05-04,ok", ""), [(5, "blank_line")]),
        (noted(r3="o\0k"), [(5, "nul_byte")]),
        (noted().replace("u3,i3,2024-05-04,ok", NOTED.strip()), [(5, "repeated_header")]),
    ],
)
def test_a_bad_line_costs_itself_and_is_named(content: str, bad: list[tuple[int, str]]) -> None:
    found = run(content)
    assert found.bad_lines() == bad
    (lines,) = found.report.files["interactions"]
    assert (lines.lines, lines.header, lines.rows, lines.refused) == (21, 1, 20 - len(bad), len(bad))
    assert found.interactions.height == 20 - len(bad)
    texts = [json.loads(raw)["(text)"] for raw in found.quarantine["raw"]]
    assert texts == [content.split("\n")[number - 1] for number, _ in bad]


@pytest.mark.parametrize("note", ['"12 inch vinyl', '12" vinyl', '7" and 12"', '"'])
def test_without_quoting_inch_marks_are_text(note: str) -> None:
    for quote in (None, "none", ""):
        found = run(noted(r3=note), quote=quote)
        assert found.interactions.height == 20
        assert found.quarantine.is_empty()


def test_without_a_header_a_bad_first_line_costs_itself_only() -> None:
    columns = {"user_id": 1, "item_id": 2, "timestamp": 3}
    found = run('"x\n' + GOOD.split("\n", 1)[1] + "u2,b,2024-05-02\n", header=False, columns=columns)
    assert found.users() == ["u1", "u2"]
    assert found.bad_lines() == [(1, "unclosed_quote")]


def test_rows_of_several_lines_count_all_of_them() -> None:
    content = noted(3, r1='"one\n\ntwo, ""three""\r\nfour"') + 'u3,i3,2024-05-04,"lost\nat the end\n'
    found = run(content)
    (lines,) = found.report.files["interactions"]
    assert (lines.lines, lines.header, lines.rows, lines.row_lines, lines.refused) == (9, 1, 3, 6, 2)
    assert found.bad_lines() == [(8, "unclosed_quote"), (9, "wrong_number_of_cells")]


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "iso8859-15", "mac-roman"])
def test_bytes_of_another_encoding_cost_their_line_until_the_encoding_is_set(encoding: str) -> None:
    content = (EVENTS + "u3,café,2024-05-04\nu4,i1,2024-05-05\n").encode(encoding)
    found = run(content)
    assert found.bad_lines() == [(2, "not_in_encoding")]
    assert json.loads(found.quarantine["raw"][0])["(text)"].startswith("u3,caf\\x")
    assert run(content, encoding=encoding).interactions["item_id"].to_list() == ["café", "i1"]


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "iso8859-15"])
def test_lines_in_utf8_among_western_ones_cost_their_line(encoding: str) -> None:
    western = (
        "u3,caf\u00e9,2024-05-04\nu4,\u00ab\u00dcBER\u00bb,2024-05-05\nu5,\u00ab\u00dcBER\u00ae\u00bb,2024-05-05\n"
    )
    content = (EVENTS + western).encode(encoding) + "u6,na\u00efve \u00a3 \u20ac,2024-05-06\n".encode()
    found = run(content, encoding=encoding)
    assert found.bad_lines() == [(5, "not_in_encoding")]
    assert found.interactions["item_id"].to_list() == [
        "caf\u00e9",
        "\u00ab\u00dcBER\u00bb",
        "\u00ab\u00dcBER\u00ae\u00bb",
    ]


def test_bytes_that_are_none_of_the_encoding_that_is_set_cost_their_line() -> None:
    assert run(
        EVENTS.encode("cp1252") + b"u1,\x81,2024-05-01\nu2,\x80,2024-05-01\n", encoding="cp1252"
    ).bad_lines() == [(2, "not_in_encoding")]
    wide = GOOD.encode("utf-16-le") + b"\x00\xd8\x41\x00" + ",b,2024-05-02\nu2,c,2024-05-03\n".encode("utf-16-le")
    found = run(b"\xff\xfe" + wide, encoding="utf-16")
    assert found.bad_lines() == [(3, "not_in_encoding")]
    assert found.users() == ["u1", "u2"]


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (GOOD.encode("utf-16"), r"^events.csv: begins like UTF-16, and the setting is utf-8: set encoding: utf-16"),
        (GOOD.encode("utf-32"), r"^events.csv: begins like UTF-32, and the setting is utf-8: set encoding: utf-32"),
        (GOOD.encode("utf-16-be"), r"^events.csv: full of zero bytes, as UTF-16 is: set encoding, such as utf-16-le"),
        (b"\xe9,item_id,timestamp\n", r"^events.csv: line 1 cannot be read \(not_in_encoding\): .*; correct encoding"),
        (b"", r"^events.csv: empty file, expected interactions"),
        (GOOD.replace(",", ";").encode(), r"no column 'user_id' .* 'user_id;item_id;timestamp': correct .*, separator"),
        (
            b'"user_id,item_id\n1,2\n',
            r"^events.csv: line 1 cannot be read \(unclosed_quote\).*; correct encoding, quote",
        ),
        (b"user_id,item_id,user_id,timestamp\n1,2,3,4\n", r"^events.csv: two columns are named 'user_id': rename one"),
        (GOOD.encode()[:30] + b"\x1f", None),
    ],
)
def test_a_file_under_wrong_settings_is_one_line_that_names_the_setting(content: bytes, line: str | None) -> None:
    if line is None:
        assert run(content).interactions.is_empty()
        return
    with pytest.raises(DataError, match=line) as error:
        run(content)
    assert "\n" not in str(error.value)


def test_utf16_without_its_mark_is_one_line() -> None:
    with pytest.raises(
        DataError, match=r"^events.csv: not readable as utf-16 \(.*\): set `encoding` to that of the file"
    ):
        run(GOOD.encode("utf-16-le"), encoding="utf-16")


def test_utf8_that_is_called_something_else_is_refused() -> None:
    with pytest.raises(DataError, match=r"^events.csv: is UTF-8, which cp1252 would garble: drop the setting encoding"):
        run(EVENTS + "ü,a,2024-05-01\n", encoding="cp1252")
    assert run(GOOD, encoding="cp1252").users() == ["u1"]


@pytest.mark.parametrize(
    "encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-8-sig", "utf-32", "shift_jis", "gb18030"]
)
def test_any_encoding_that_python_knows_is_read(encoding: str) -> None:
    content = (EVENTS + "u0,日本,2024-05-01\nu1,i1,2024-05-02\n").encode(encoding)
    found = run(content, encoding=encoding)
    assert found.interactions["item_id"].to_list() == ["日本", "i1"]
    assert found.report.files["interactions"][0].lines == 3


MARKERS = [
    "NULL",
    "null",
    "NaN",
    "nan",
    "None",
    "\\N",
    "N/A",
    "NA",
    "undefined",
    "#N/A",
    "-",
    "(null)",
    "<NA>",
    "NaT",
    "  ",
]


def test_markers_of_missing_make_no_people_and_are_counted() -> None:
    found = run(
        EVENTS + "".join(f"{marker},i{at},2024-05-01\n" for at, marker in enumerate(MARKERS)) + "anna,i,2024-05-01\n"
    )
    assert found.users() == ["anna"]
    assert found.reasons() == {"user_id_missing": 15}
    assert found.notes() == {f"user_id missing as '{marker.strip()}'": 1 for marker in MARKERS}
    assert found.items["item_id"].to_list() == ["i"]


def test_markers_are_a_setting_and_hold_for_every_column() -> None:
    content = EVENTS.strip() + ",value\nNULL,a,2024-05-01,*\n*,b,2024-05-01,\nanna,c,2024-05-01,nan\n"
    found = run(content, null_values=["*"])
    assert found.users() == ["NULL"]
    assert found.reasons() == {"user_id_missing": 1, "value_unreadable": 1}
    assert found.notes() == {"user_id missing as '*'": 1, "value missing as '*'": 1}


@pytest.mark.parametrize("ids", [("123.0", "55.0"), ("1.23E+11", "5"), ("7", "55.00"), ("1e+05", "4.0")])
def test_ids_that_went_through_floats_are_refused_and_counted(ids: tuple[str, str]) -> None:
    found = run(EVENTS + f"{ids[0]},{ids[1]},2024-05-01\n123,55,2024-05-02\n")
    assert found.users() == ["123"]
    assert sum(count for reason, count in found.reasons().items() if reason.endswith("_float_shaped")) == 1
    assert found.items["item_id"].to_list() == ["55"]


def test_float_ids_can_be_read_as_whole_numbers_or_kept() -> None:
    content = EVENTS + "123.0,55.0,2024-05-01\n123,55,2024-05-02\n1.2E+11,55,2024-05-03\nv1.0,55,2024-05-03\n"
    whole = run(content, float_ids="whole")
    assert whole.users() == ["123", "123", "v1.0"]
    assert whole.reasons() == {"user_id_float_shaped": 1}
    assert whole.notes() == {"item_id read as whole number": 1, "user_id read as whole number": 1}
    assert run(content, float_ids="keep").users() == ["123.0", "123", "1.2E+11", "v1.0"]


UNSEEN = {
    "u ": "padded", " u": "padded", "u\u00a0": "invisible", "u\u200b": "invisible", "\ufeffu": "invisible",
    "u\u00ad": "invisible", "e\u0301": "not_normal", "ｕ": "full_width", "u\x1f": "control_character",
}  # fmt: skip


def test_ids_that_only_look_like_others_are_refused_and_counted_or_normalised() -> None:
    rows = "".join(f"{user},i,2024-05-01\n" for user in UNSEEN)
    content = EVENTS + "u,i,2024-05-01\nU,i,2024-05-01\n" + rows
    found = run(content)
    assert found.users() == ["u", "U"]
    reasons = pl.Series([f"user_id_{reason}" for reason in UNSEEN.values()]).value_counts()
    assert found.reasons() == dict(reasons.iter_rows())
    normal = run(content, odd_ids="normalise")
    assert set(normal.users()) == {"u", "U", "é"}
    assert normal.notes() == {"user_id normalised": len(UNSEEN)}


def test_a_zero_byte_in_an_id_refuses_its_line() -> None:
    found = run(EVENTS + "u\0x,i\0y,2024-05-01\nu2,i2,2024-05-02\n")
    assert found.bad_lines() == [(2, "nul_byte")]
    assert found.users() == ["u2"]


def test_refused_rows_make_no_items() -> None:
    rows = ["u1,a,2024-05-01", "u2,ghost,not a date", ",ghost2,2024-05-01", "user_id,item_id,timestamp"]
    more = [
        "u3,ghost3,1980-01-01",
        "u4,ghost4,2099-01-01",
        "NULL,ghost5,2024-05-01",
        "u 6 ,ghost6,2024-05-01",
        "u7,gh\0st,x",
    ]
    found = run(EVENTS + "\n".join([*rows, *more]) + "\n")
    assert found.items["item_id"].to_list() == ["a"]
    assert (found.report.items.read, found.report.items.kept, found.report.interactions.rejected) == (1, 1, 8)
    unknown = run(
        EVENTS.strip() + ",event\nu1,a,2024-05-01,purchase\nu1,b,2024-05-01,teleport\n", columns={"event": "event"}
    )
    assert unknown.items["item_id"].to_list() == ["a"]


@pytest.mark.parametrize(
    ("columns", "rows"),
    [
        ({"value": "amount"}, "u1,a,2024-05-01,20,1\nu1,a,2024-05-03,-20,1\nu2,b,2024-05-02,5,1\n"),
        ({"value": "amount", "quantity": "pieces"}, "u1,a,2024-05-01,5,4\nu1,a,2024-05-03,5,-4\nu2,b,2024-05-02,5,1\n"),
        (
            {"value": "amount", "quantity": "pieces"},
            "u1,a,2024-05-01,5,4\nu1,a,2024-05-03,-5,-4\nu2,b,2024-05-02,5,1\n",
        ),
        (
            {"value": "amount", "event": "kind"},
            "u1,a,2024-05-01,20,order\nu1,a,2024-05-03,20,return\nu2,b,2024-05-02,5,order\n",
        ),
    ],
)
def test_a_return_is_no_like(columns: dict[str, str], rows: str) -> None:
    content = "user_id,item_id,timestamp,amount," + ("kind" if "event" in columns else "pieces") + "\n" + rows
    found = run(content.replace("order", "purchase"), columns=columns)
    assert found.interactions["event"].to_list() == ["purchase", "return", "purchase"]
    assert found.interactions["value"].to_list() == [20.0, 20.0, 5.0]
    assert found.interactions["weight"].to_list() == [1.0, 0.0, 1.0]
    assert found.notes() == ({} if "event" in columns else {"event read as return": 1})
    assert found.report.items_without_likes == 0


def test_pieces_below_zero_are_a_return_even_without_a_price() -> None:
    found = run("user_id,item_id,timestamp,n\nu1,a,2024-05-01,1\nu1,a,2024-05-02,-1\n", columns={"quantity": "n"})
    assert found.interactions["event"].to_list() == ["purchase", "return"]
    assert found.interactions["weight"].to_list() == [1.0, 0.0]


@pytest.mark.parametrize("like_from", [4, {"rating": 4.0}])
def test_a_value_below_the_threshold_is_no_like(like_from: Any) -> None:
    content = "user_id,item_id,timestamp,value,event\nu1,a,2024-05-01,0.5,rating\nu1,b,2024-05-03,4,rating\n"
    content += "u2,b,2024-05-02,-3,rating\nu3,b,2024-05-02,,rating\n"
    found = run(
        content.replace("rating", "purchase"), like_from={"purchase": 4.0} if isinstance(like_from, dict) else 4
    )
    assert found.interactions["weight"].to_list() == [0.0, 1.0, 0.0, 1.0]
