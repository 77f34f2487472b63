"""Files of one table in any form: packed in any way, Parquet in folders, JSON Lines, several with other columns."""

import bz2
import gzip
import io
import json
import lzma
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from backports import zstd

from recsys.errors import DataError
from tests.support.own_files import EVENTS, run, write

BERLIN: dict[str, Any] = {"time_zone": "Europe/Berlin"}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RECSYS_DATA_DIR", raising=False)


def zipped(content: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("__MACOSX/._orders.csv", b"x")
        archive.writestr("orders.csv", content)
    return packed.getvalue()


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress,
    "GZ": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zst": zstd.compress,
    "ZIP": zipped,
}


@pytest.mark.parametrize("ending", PACKERS)
def test_any_compression_in_any_case(ending: str) -> None:
    content = (EVENTS + "".join(f"u{at},a,2024-05-01\n" for at in range(3)) + 'x,"\n').encode()
    write(f"Orders.CSV.{ending}", PACKERS[ending](content))
    found = run(path=f"Orders.CSV.{ending}")
    assert found.users() == ["u0", "u1", "u2"]
    assert found.bad_lines() == [(5, "unclosed_quote")]


def test_parquet_in_folders_with_columns_of_other_types() -> None:
    for at, ids in enumerate((pl.Series([7, 8]), pl.Series(["x", "007"]), pl.Series([9.0, float("nan")]))):
        times = pl.Series(["2024-05-01 10:00", "2024-03-31 02:30"]).str.to_datetime(time_unit="ns")
        frame = pl.DataFrame({"user_id": ids, "item_id": ["a", "b"], "timestamp": times, "value": [1.0, float("nan")]})
        Path(f"lake/day={at}").mkdir(parents=True)
        frame.write_parquet(f"lake/day={at}/part.PARQUET")
    found = run(path="lake", float_ids="whole", **BERLIN)
    assert found.users() == ["7", "x", "9"]
    assert set(found.interactions["timestamp"]) == {datetime(2024, 5, 1, 8, tzinfo=UTC)}
    assert found.reasons() == {"timestamp_at_clock_change": 3}


def test_files_of_one_table_can_differ_in_order_and_columns() -> None:
    write("a.csv", "user_id,item_id,timestamp\nu1,a,2024-05-01\n")
    write("b.csv", "extra,timestamp,user_id,item_id\n?,2024-05-01,u2,a\nbad\n")
    write("c.jsonl", '{"user_id": 3, "timestamp": "2024-05-01", "item_id": "a"}\n')
    found = run(path=["b.csv", "a.csv", "c.jsonl"])
    assert found.users() == ["u2", "u1", "3"]
    (raw,) = found.quarantine["raw"]
    assert (json.loads(raw)["(file)"], json.loads(raw)["(line)"], json.loads(raw)["(text)"]) == ("b.csv", 3, "bad")


def test_a_line_that_is_no_json_object_costs_itself() -> None:
    good = '{"user_id": 1, "item_id": "a", "timestamp": "2024-05-01", "value": 1.50}'
    bad = [
        "{",
        "[1]",
        "",
        '{"user_id": "\\ud83d"}',
        "nul\0",
        '{"user_id": 2.0, "item_id": "a", "timestamp": "2024-05-01"}',
    ]
    write("events.jsonl", "\n".join([good, *bad]) + "\n" + good.replace("1,", "12345678901234567890,"))
    found = run(path="events.jsonl")
    assert found.users() == ["1", "12345678901234567890"]
    assert found.bad_lines() == [
        (2, "not_json"), (3, "no_json_object"), (4, "blank_line"), (5, "not_json"), (6, "nul_byte"),
        (7, "user_id_float_shaped"),
    ]  # fmt: skip
    found.assert_every_line_counts(interactions=8)


@pytest.mark.parametrize("bad", ['["a"]', '{"id": "a"}', "true", "[]"])
@pytest.mark.parametrize("key", ["user_id", "item_id"])
def test_an_id_that_is_no_text_or_number_costs_its_line(bad: str, key: str) -> None:
    good = '{"user_id": "u", "item_id": "a", "timestamp": "2024-05-01"}'
    write("events.jsonl", good + "\n" + good.replace('"u"' if key == "user_id" else '"a"', bad) + "\n")
    found = run(path="events.jsonl")
    assert found.users() == ["u"]
    assert found.bad_lines() == [(2, "id_is_no_text_or_number")]


def test_keys_named_as_our_own_columns_are_kept_apart() -> None:
    write("events.jsonl", '{"user_id": 1, "item_id": "a", "timestamp": "2024-05-01", "(line)": 7}\n{\n')
    assert run(path="events.jsonl").bad_lines() == [(2, "not_json")]


def test_lines_that_end_with_a_carriage_return_alone() -> None:
    assert run((EVENTS + "u1,a,2024-05-01\nu2,a,2024-05-02\n").replace("\n", "\r")).users() == ["u1", "u2"]


def test_a_damaged_archive_and_one_of_several_files_are_one_line() -> None:
    write("a.csv.gz", gzip.compress(EVENTS.encode() * 5000)[:-20])
    with pytest.raises(DataError, match=r"^a.csv.gz: cannot be unpacked \(.*\): replace the file"):
        run(path="a.csv.gz")
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("a.csv", EVENTS)
        archive.writestr("b.csv", EVENTS)
    write("a.zip", packed.getvalue())
    with pytest.raises(DataError, match=r"^a.zip: 2 files inside, expected one: unpack it and name the files"):
        run(path="a.zip")
    write("b.json", "[]")
    with pytest.raises(DataError, match=r"^b.json: a JSON array, expected one object per line: convert it"):
        run(path="b.json")
