"""A workbook written by hand, as published, and its rows as Parquet give the same raw data; then the real lines."""

import hashlib
import io
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from xml.sax.saxutils import escape

import polars as pl
import pytest

from recsys.data.raw_tables import RawTables
from recsys.datasets import online_retail
from recsys.datasets.online_retail import PARQUET, RAW_FILE, ZIP, Config
from recsys.errors import DataError, SourceUnreachableError

MORNING, NOON = datetime(2010, 12, 1, 8, 26), datetime(2011, 12, 9, 12, 50)  # noqa: DTZ001 the published times have no zone
UK = "United Kingdom"
LINES = pl.DataFrame(
    [
        ("536365", "85123A", "WHITE HANGING HEART ", 6, MORNING, 2.55, "17850.0", UK),
        ("536365", "71053", " WHITE METAL  LANTERN", 6, MORNING, 3.39, "17850.0", UK),
        ("536366", "85123a", "CREAM HANGING HEART", 1, MORNING, 2.95, "13047.0", UK),
        ("536367", "85123A", "WHITE HANGING HEART", 1, NOON, 9.95, None, UK),
        ("C536379", "85123A", "wrong one", -1, NOON, 2.55, "17850.0", UK),
        ("536380", "POST", "POSTAGE", 1, NOON, 18.0, "12583.0", "France"),
        ("536381", "gift_0001_20", "Gift Voucher £20.00", 1, NOON, 16.67, "12583.0", "France"),
        ("536382", "71053", "damaged & thrown away", -3, NOON, 0.0, "17850.0", UK),
        ("536383", "71053", "20713", 1, NOON, 0.0, "17850.0", UK),
        ("A563185", "B", "Adjust bad debt", 1, NOON, -11062.06, None, UK),
        ("536384", "79323W", "Unsaleable, destroyed.", -5, NOON, 0.0, None, UK),
        ("536385", "15056BL", None, 2, NOON, 5.95, "13047.0", UK),
    ],
    schema=pl.Schema(online_retail.LINES),
    orient="row",
)
PARTS = {
    "[Content_Types].xml": '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"><Default'
    ' Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/><Default Extension="xml"'
    ' ContentType="application/xml"/></Types>',
    "_rels/.rels": '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship'
    ' Id="r1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument"'
    ' Target="xl/workbook.xml"/></Relationships>',
    "xl/workbook.xml": '<workbook xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
    ' xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"><sheets><sheet name="Online Retail"'
    ' sheetId="1" r:id="r1"/></sheets></workbook>',
    "xl/_rels/workbook.xml.rels": '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
    '<Relationship Id="r1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/worksheet"'
    ' Target="worksheets/sheet1.xml"/><Relationship Id="r2" Target="styles.xml"'
    ' Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/styles"/></Relationships>',
    "xl/styles.xml": '<styleSheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><cellXfs count="2">'
    '<xf numFmtId="0"/><xf numFmtId="22" applyNumberFormat="1"/></cellXfs></styleSheet>',
}


def cell(value: object) -> str:
    """As a spreadsheet stores it: codes of digits are numbers, times are days since 1899-12-30 with a date format."""
    if value is None:
        return "<c/>"
    if isinstance(value, datetime):
        days = (value - datetime(1899, 12, 30)).total_seconds() / 86_400  # noqa: DTZ001
        return f'<c s="1"><v>{days!r}</v></c>'
    text = str(value).removesuffix(".0")
    if text.lstrip("-").replace(".", "", 1).isdigit():
        return f"<c><v>{text}</v></c>"
    return f'<c t="inlineStr"><is><t xml:space="preserve">{escape(text)}</t></is></c>'


def workbook(lines: pl.DataFrame) -> bytes:
    rows = "".join(f"<row>{''.join(map(cell, row))}</row>" for row in [tuple(lines.columns), *lines.rows()])
    sheet = f'<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>{rows}</sheetData></worksheet>'
    return zipped({**PARTS, "xl/worksheets/sheet1.xml": sheet})


def zipped(members: dict[str, str] | dict[str, bytes]) -> bytes:
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w", zipfile.ZIP_DEFLATED) as content:
        for name, data in members.items():
            content.writestr(name, data)
    return memory.getvalue()


@pytest.fixture
def local(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty local folder; nothing else is reachable."""
    folder = tmp_path / "local"
    folder.mkdir()
    monkeypatch.setenv("RECSYS_DATA_DIR", str(folder))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(online_retail, "PUBLISHER", "http://127.0.0.1:1/online+retail.zip")
    return folder


def fetched(out: Path, config: Config | None = None) -> str:
    out.mkdir()
    return str(online_retail.fetch(config or Config(), out, seed=7)["source"])


def put_parquet(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    LINES.write_parquet(path)
    monkeypatch.setattr(online_retail, "PARQUET_SHA256", hashlib.sha256(path.read_bytes()).hexdigest())


def tables_of(lines: pl.DataFrame, raw: Path) -> RawTables:
    raw.mkdir(exist_ok=True)
    online_retail._normalised(lines, raw).write_parquet(raw / RAW_FILE)
    return online_retail.tables(Config(), raw)


def test_workbook_and_parquet_give_the_same_bytes(local: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (local / ZIP).write_bytes(zipped({"Online Retail.xlsx": workbook(LINES)}))
    assert fetched(tmp_path / "from_workbook") == "local folder"
    (local / ZIP).unlink()
    put_parquet(local / PARQUET, monkeypatch)
    assert fetched(tmp_path / "from_parquet") == "local folder"
    files = [tmp_path / folder / RAW_FILE for folder in ("from_workbook", "from_parquet")]
    assert files[0].read_bytes() == files[1].read_bytes()
    raw = pl.read_parquet(files[0])
    assert raw.schema == LINES.schema
    assert raw.drop("CustomerID").equals(LINES.drop("CustomerID"))
    assert raw["CustomerID"].to_list()[:4] == ["17850", "17850", "13047", None]


def test_mirror_may_hold_either(local: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    book, rows = tmp_path / "mirrored.zip", tmp_path / "mirrored.parquet"
    book.write_bytes(zipped({"Online Retail.xlsx": workbook(LINES)}))
    put_parquet(rows, monkeypatch)
    assert fetched(tmp_path / "a", Config(mirrors=[str(tmp_path / "absent.zip"), str(book)])) == "mirror"
    assert fetched(tmp_path / "b", Config(mirrors=[str(rows)])) == "mirror"


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"readme.txt": b""}, "0 workbooks inside, expected one; put http"),
        ({"a.xlsx": b"", "b.xlsx": b""}, "2 workbooks inside, expected one; put http"),
        ({"a.xlsx": b"no workbook"}, r"'a.xlsx' cannot be read \(.*\); put http"),
        ({"a.xlsx": workbook(LINES.drop("StockCode"))}, r"no column 'StockCode', found \['InvoiceNo', .*; put http"),
        (
            {"a.xlsx": workbook(LINES.with_columns(Quantity=pl.lit("six")))},
            "column 'Quantity' is String, for example 'six', expected Int64; put http",
        ),
        (
            {"a.xlsx": workbook(LINES.with_columns(InvoiceDate=pl.lit("today")))},
            "column 'InvoiceDate' is String, for example 'today', expected Datetime.*; put http",
        ),
    ],
)
def test_another_workbook_is_refused(local: Path, tmp_path: Path, members: dict[str, bytes], message: str) -> None:
    """The sha256 of the publisher's zip is not known, so what is inside is looked at."""
    (local / ZIP).write_bytes(zipped(members))
    with pytest.raises(DataError, match=rf"online\+retail.zip: .*{message}") as caught:
        fetched(tmp_path / "raw")
    assert "\n" not in str(caught.value)


def test_altered_parquet_is_refused(local: Path, tmp_path: Path) -> None:
    LINES.write_parquet(local / PARQUET)
    with pytest.raises(SourceUnreachableError, match=r"online_retail_all.parquet: corrupt or another version"):
        fetched(tmp_path / "raw")


def test_every_line_comes_out_with_the_first_reason_that_fits(tmp_path: Path) -> None:
    found = tables_of(LINES, tmp_path).interactions.collect()
    assert found.height == LINES.height
    assert dict(zip(LINES["InvoiceNo"].to_list()[3:], found["reject"].to_list()[3:], strict=True)) == {
        "536367": "no_customer",
        "C536379": "cancelled",
        "536380": "not_a_product",
        "536381": "not_a_product",
        "536382": "non_positive_quantity",
        "536383": "zero_price",
        "A563185": "no_customer",
        "536384": "no_customer",
        "536385": None,
    }
    assert found.filter(pl.col("reject").is_null()).select("user_id", "item_id", "event", "value").rows() == [
        ("17850", "85123A", "purchase", 6 * 2.55),
        ("17850", "71053", "purchase", 6 * 3.39),
        ("13047", "85123A", "purchase", 2.95),
        ("13047", "15056BL", "purchase", 2 * 5.95),
    ]
    assert found["timestamp"][0] == MORNING.replace(tzinfo=UTC)
    assert found["raw"].struct.unnest().columns == LINES.columns


def test_items_are_what_was_sold(tmp_path: Path) -> None:
    found = tables_of(LINES, tmp_path).items.collect()
    assert found.select("item_id", "title", "text", "price", "reject").rows() == [
        ("15056BL", None, "", 5.95, None),
        ("71053", "WHITE METAL LANTERN", "white metal lantern", 3.39, None),
        ("79323W", None, None, None, "never_sold"),
        ("85123A", "WHITE HANGING HEART", "white hanging heart cream", 2.95, None),
    ]
    assert found["categories"].to_list() == [[]] * 4


@pytest.mark.parametrize(
    "code", ["DOT", "M", "m", "D", "C2", "S", "B", "BANK CHARGES", "AMAZONFEE", "CRUK", "PADS", "2205", "220556"]
)
def test_codes_that_are_no_products(tmp_path: Path, code: str) -> None:
    found = tables_of(LINES.head(1).with_columns(StockCode=pl.lit(code)), tmp_path)
    assert found.interactions.collect()["reject"].to_list() == ["not_a_product"]
    assert found.items.collect().is_empty()


def test_missing_raw_data_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no file 'online_retail.parquet'; run `dvc repro fetch`"):
        online_retail.tables(Config(), tmp_path)


def test_published_lines(data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counts that the publisher's workbook is known for, and what the mapping makes of them."""
    monkeypatch.setenv("RECSYS_DATA_DIR", str(data_dir))
    assert fetched(tmp_path / "raw") == "local folder"
    lines = pl.read_parquet(tmp_path / "raw" / RAW_FILE)
    assert (lines.height, lines["InvoiceNo"].n_unique(), lines["StockCode"].n_unique()) == (541_909, 25_900, 4_070)
    assert (lines["CustomerID"].drop_nulls().n_unique(), lines["CustomerID"].null_count()) == (4_372, 135_080)
    assert lines["InvoiceNo"].str.starts_with("C").sum() == 9_288

    found = online_retail.tables(Config(), tmp_path / "raw")
    interactions, items = found.interactions.collect(), found.items.collect()
    reasons = dict(interactions["reject"].value_counts().rows())
    assert sum(reasons.values()) == 541_909
    assert reasons == {
        "cancelled": 9_288,
        "no_customer": 134_697,  # and 383 lines that are cancelled as well
        "not_a_product": 1_554,
        "zero_price": 33,
        None: 396_337,
    }
    kept = interactions.filter(pl.col("reject").is_null())
    assert (kept["user_id"].n_unique(), kept["item_id"].n_unique()) == (4_334, 3_659)
    assert (kept["value"] > 0).all()
    assert interactions["timestamp"].min() == datetime(2010, 12, 1, 8, 26, tzinfo=UTC)
    assert interactions["timestamp"].max() == datetime(2011, 12, 9, 12, 50, tzinfo=UTC)
    assert not interactions["user_id"].drop_nulls().str.contains(r"\.").any()

    sold = items.filter(pl.col("reject").is_null())
    assert (items.height, sold.height) == (3_926, 3_791)
    assert sold["item_id"].is_unique().all()
    assert set(kept["item_id"]) <= set(sold["item_id"])
    assert sold["title"].null_count() == 0
    assert (sold["price"] > 0).all()

    # Lines that differ in the invoice or the description only are the same event once they are mapped.
    exact = kept.height - kept["raw"].n_unique()
    mapped = kept.height - kept.drop("raw", "reject").unique().height
    assert (exact, mapped) == (5_187, 5_228)
