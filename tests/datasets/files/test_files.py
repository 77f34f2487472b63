"""Own CSV and Parquet: every way of naming columns, writing times and listing categories; and what cannot be read."""

import hashlib
import json
import runpy
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from recsys.data.raw_tables import RawTables
from recsys.datasets import files
from recsys.errors import DataError, ParamsError, SourceUnreachableError
from recsys.params import parse

EVENTS = "reader,book,borrowed\n007,ü1,{}\n"
COLUMNS = {"user_id": "reader", "item_id": "book", "timestamp": "borrowed"}
TEN = datetime(2024, 5, 1, 10, tzinfo=UTC)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RECSYS_DATA_DIR", raising=False)
    Path("raw").mkdir()


def read(items: dict[str, Any] | None = None, **interactions: Any) -> RawTables:
    own = {"path": "events.csv", "columns": COLUMNS, "event": "loan", **interactions}
    content = {"interactions": own, "items": items}
    config = parse(files.Config, content, "datasets.files.adapter")
    files.fetch(config, Path("raw"), seed=0)
    return files.tables(config, Path("raw"))


def test_columns_are_renamed_ids_stay_text_and_the_whole_row_is_kept_for_quarantine() -> None:
    Path("events.csv").write_text("reader,book,borrowed,value,note\n007,ü1,2024-05-01, 1.5,hi\n")
    found = read().interactions.collect().row(0, named=True)
    assert found.pop("raw") == {
        "reader": "007",
        "book": "ü1",
        "borrowed": "2024-05-01",
        "value": " 1.5",
        "note": "hi",
    }
    assert found == {
        "user_id": "007",
        "item_id": "ü1",
        "timestamp": datetime(2024, 5, 1, tzinfo=UTC),
        "value": 1.5,
        "notes": "",
        "event": "loan",
        "reject": None,
    }


@pytest.mark.parametrize(
    ("text", "form", "time"),
    [
        ("2024-05-01T10:00:00", None, TEN),
        ("2024-05-01 10:00:00", None, TEN),
        (" 2024-05-01 10:00 ", None, TEN),
        ("2024-05-01T10:00:00Z", None, TEN),
        ("2024-05-01T12:00:00.000+02:00", None, TEN),
        ("2024-05-01T10:00:00.25", None, TEN.replace(microsecond=250_000)),
        ("2024-05-01", None, TEN.replace(hour=0)),
        ("01.05.2024 10:00", "%d.%m.%Y %H:%M", TEN),
        ("01/05/2024 12:00 +0200", "%d/%m/%Y %H:%M %z", TEN),
        ("1714557600", "epoch_s", TEN),
        ("1714557600.0", "epoch_s", TEN),
        ("1714557600000", "epoch_ms", TEN),
        ("1714557600000000", "epoch_us", TEN),
    ],
)
def test_times_in_text(text: str, form: str | None, time: datetime) -> None:
    Path("events.csv").write_text(EVENTS.format(text))
    found = read(timestamp_format=form).interactions.collect()
    assert found["timestamp"].cast(pl.Datetime("us", "UTC")).to_list() == [time]
    assert found["reject"].to_list() == [None]


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("yesterday", None),
        ("31.02.2024", None),
        ("2024-02-30", None),
        ("2024-05-01", "%d.%m.%Y"),
        ("soon", "epoch_s"),
        ("2024-05-01 25:00:00", None),
    ],
)
def test_text_that_is_no_time_refuses_its_row_only(text: str, form: str | None) -> None:
    Path("events.csv").write_text(EVENTS.format(text) + "008,b,\n")
    found = read(timestamp_format=form).interactions.collect()
    assert found["timestamp"].to_list() == [None, None]
    assert found["reject"].to_list() == ["timestamp_unreadable", None]


def test_items_categories_and_yes_or_no() -> None:
    Path("events.csv").write_text(EVENTS.format("2024-05-01"))
    Path("items.csv").write_text("item_id;subjects;available\na; x / y /;Yes\nb;;0\nc;z;perhaps\nd;z;\n")
    columns = {"categories": "subjects"}
    found = read({"path": "items.csv", "separator": ";", "category_separator": "/", "columns": columns}).items.collect()
    assert found["categories"].to_list() == [["x", "y"], None, ["z"], ["z"]]
    assert found["available"].to_list() == [True, False, None, None]
    assert found["reject"].to_list() == [None] * 4
    assert found["notes"].str.strip_chars().to_list() == ["", "", "available emptied: unreadable", ""]


def test_without_items_they_are_those_of_the_interactions_in_order() -> None:
    Path("events.csv").write_text(
        "reader,book,borrowed\nu,b,2024-05-01\nu,,2024-05-01\nv,a,2024-05-02\nv,b,2024-05-03\n"
    )
    found = read()
    assert found.items.collect().to_dict(as_series=False) == {"item_id": ["b", "a"], "derived": [True, True]}
    assert found.items_file == found.interactions_file == Path("events.csv")


def test_parquet_keeps_its_own_types() -> None:
    frame = pl.DataFrame({"user_id": [7], "item_id": ["a"], "timestamp": [TEN], "event": ["x"], "value": [1.5]})
    frame.write_parquet("events.parquet")
    found = read(path="events.parquet", columns={}, event=None).interactions.collect()
    assert found.drop("raw", "reject", "notes").equals(frame.with_columns(pl.col("user_id").cast(pl.String)))


def test_a_relative_path_is_looked_for_in_the_data_folder_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "events.csv").write_text(EVENTS.format("2024-05-01"))
    with pytest.raises(
        SourceUnreachableError, match=r"^events.csv: no such file, looked at /.*/events.csv: correct the"
    ):
        read()
    monkeypatch.setenv("RECSYS_DATA_DIR", str(tmp_path / "shared"))
    assert read().interactions.collect().height == 1


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (
            {"columns": {"user": "reader"}},
            r"'user' is not a canonical column, expected some of user_id, item_id, timestamp, event",
        ),
        ({"columns": {"event": "kind"}, "event": "loan"}, r"both `event` and `columns.event` are set"),
        ({"delimiter": ";"}, r"unknown key 'interactions.delimiter'"),
    ],
)
def test_wrong_settings_are_one_line(change: dict[str, Any], line: str) -> None:
    with pytest.raises(ParamsError, match=line) as error:
        read(**change)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "content", "line"),
    [
        ("events.csv", b"", r"^events.csv: empty file, expected interactions"),
        (
            "events.csv",
            b"a,b\n1,2\n",
            r"^events.csv: no column 'reader' \(for user_id\), the columns are 'a', 'b': correct",
        ),
        ("events.docx", b"PK", r"^events.docx: expected a name that ends with .csv, .tsv, .txt, .jsonl, .*, .parquet"),
        (
            "events.parquet",
            b"PAR1 not at all",
            r"^events.parquet: not readable as parquet \(.*\): repair or replace it",
        ),
    ],
)
def test_a_file_that_is_something_else_is_one_line(name: str, content: bytes, line: str) -> None:
    Path(name).write_bytes(content)
    with pytest.raises(DataError, match=line) as error:
        read(path=name)
    assert "\n" not in str(error.value)


def test_a_column_that_is_not_mapped_must_have_its_canonical_name() -> None:
    Path("events.csv").write_text(EVENTS.format("2024-05-01"))
    wanted = (
        r"^events.csv: no column 'event' \(for event\), the columns are 'reader', 'book', 'borrowed': correct adapter\."
    )
    with pytest.raises(DataError, match=wanted):
        read(event=None)
    with pytest.raises(DataError, match=r"no column 'user_id' \(for user_id\)"):
        read(columns={"item_id": "book", "timestamp": "borrowed"})


def test_tables_before_fetch_is_one_line() -> None:
    config = files.Config.model_validate({"interactions": {"path": "events.csv"}})
    with pytest.raises(DataError, match=r"^raw: no file 'interactions.json'; run `dvc repro fetch`"):
        files.tables(config, Path("raw"))


def test_the_example_is_what_its_script_draws(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = root / "docs" / "examples" / "library"
    script = runpy.run_path(str(folder / "make.py"))
    written: dict[str, str] = {}
    monkeypatch.setattr(Path, "write_text", lambda self, text, encoding: written.update({self.name: text}))
    script["main"]()
    assert written == {name: (folder / name).read_text(encoding="utf-8") for name in ("loans.csv", "books.csv")}


def test_what_was_copied_is_noted() -> None:
    Path("events.csv").write_text(EVENTS.format("2024-05-01"))
    config = files.Config.model_validate({"interactions": {"path": "events.csv", "columns": COLUMNS}})
    origin = files.fetch(config, Path("raw"), seed=0)
    content = Path("events.csv").read_bytes()
    noted = {"path": str(Path("events.csv").absolute()), "sha256": hashlib.sha256(content).hexdigest()}
    assert json.loads(json.dumps(origin)) == {"source": "own files", "interactions": [noted]}
