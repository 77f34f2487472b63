"""Online Retail: every invoice line of a British online wholesaler of gifts, December 2010 to December 2011.

Source: D. Chen, Online Retail, UCI Machine Learning Repository, 2015, https://doi.org/10.24432/C5BW33, CC BY 4.0.

One invoice line is one purchase with value quantity x unit price (GBP). Rejected, with the first reason that applies:
cancelled invoices, lines without a customer, codes other than five digits and at most two letters (postage, fees,
manual entries, vouchers, ...), quantities and prices that are not above zero. Codes that differ only in upper or lower
case are one product. `prepare` removes repeated lines.

Items are the product codes. Title: the most frequent description in its sales; text: the words of all descriptions in
its sales; price: the median unit price (GBP). All three come from sales of any date, with or without a customer: the
notes in other lines ("damaged", "check", "ebay") describe no product. A product without a sale is rejected. The data
have no categories. Times are the shop's local time, used as UTC.

The publisher states no sha256 of the zip, so only its inner checksums, its columns and their types are checked.
"""

from pathlib import Path
from typing import Any
from zipfile import ZipFile

import fastexcel
import polars as pl
from pydantic import Field

from recsys.data.download import Place, local_places, obtain
from recsys.data.raw_tables import RawTables
from recsys.errors import DataError, one_line
from recsys.params import Section

PUBLISHER = "https://archive.ics.uci.edu/static/public/352/online+retail.zip"
ZIP = "online+retail.zip"
PARQUET = "online_retail_all.parquet"
PARQUET_SHA256 = "198e0ff1b4f11be672fc1611aac5e73127a6eb853594da8df084e3287838a30f"  # the workbook's rows, as Parquet
RAW_FILE = "online_retail.parquet"
LINES: dict[str, pl.DataType] = {
    "InvoiceNo": pl.String(),
    "StockCode": pl.String(),
    "Description": pl.String(),
    "Quantity": pl.Int64(),
    "InvoiceDate": pl.Datetime("us"),
    "UnitPrice": pl.Float64(),
    "CustomerID": pl.String(),
    "Country": pl.String(),
}
PRODUCT = r"^\d{5}[A-Z]{0,2}$"


class Config(Section):
    """mirrors: other URLs or paths of the publisher's zip; one that ends with .parquet has the same rows as Parquet."""

    mirrors: list[str] = Field(default_factory=list)


def fetch(config: Config, out: Path, seed: int) -> dict[str, Any]:
    """Write the invoice lines as Parquet, the same bytes from workbook and Parquet; `seed` has no effect."""
    places = [
        *local_places("online-retail", PARQUET, PARQUET_SHA256),
        *local_places("online-retail", ZIP, None),
        Place("publisher", PUBLISHER, ZIP, None),
        *(
            Place("mirror", mirror, PARQUET, PARQUET_SHA256)
            if mirror.endswith(".parquet")
            else Place("mirror", mirror, ZIP, None)
            for mirror in config.mirrors
        ),
    ]
    found = obtain(places, out.parent / "downloads")
    lines = pl.read_parquet(found.path) if found.place.filename == PARQUET else _read_zip(found.path)
    _normalised(lines, found.path).write_parquet(out / RAW_FILE)
    return found.provenance


def tables(config: Config, raw: Path) -> RawTables:
    """Return the invoice lines as purchases and the product codes as items.

    Raises:
        DataError: "data/raw: no file 'online_retail.parquet'; run `dvc repro fetch`"
    """
    file = raw / RAW_FILE
    if not file.is_file():
        raise DataError(f"{raw}: no file {RAW_FILE!r}; run `dvc repro fetch`")
    lines = pl.scan_parquet(file).with_columns(
        item_id=pl.col("StockCode").str.strip_chars().str.to_uppercase(), raw=pl.struct(*LINES)
    )
    return RawTables(_interactions(lines), _items(lines), interactions_file=file, items_file=file)


def _interactions(lines: pl.LazyFrame) -> pl.LazyFrame:
    reasons = {
        "cancelled": pl.col("InvoiceNo").str.starts_with("C"),
        "no_customer": pl.col("CustomerID").is_null(),
        "not_a_product": ~pl.col("item_id").str.contains(PRODUCT),
        "non_positive_quantity": pl.col("Quantity") <= 0,
        "zero_price": pl.col("UnitPrice") <= 0,
    }
    return lines.select(
        "item_id",
        "raw",
        user_id="CustomerID",
        timestamp=pl.col("InvoiceDate").dt.replace_time_zone("UTC"),
        event=pl.lit("purchase"),
        value=pl.col("Quantity") * pl.col("UnitPrice"),
        reject=pl.coalesce(pl.when(found).then(pl.lit(reason)) for reason, found in reasons.items()),
    )


def _items(lines: pl.LazyFrame) -> pl.LazyFrame:
    products = lines.filter(pl.col("item_id").str.contains(PRODUCT)).select(
        "item_id",
        "UnitPrice",
        description=pl.col("Description").str.replace_all(r"\s+", " ").str.strip_chars(),
        sold=~pl.col("InvoiceNo").str.starts_with("C") & (pl.col("Quantity") > 0) & (pl.col("UnitPrice") > 0),
    )
    sales = products.filter("sold")
    described = (
        sales.group_by("item_id", "description")
        .agg(times=pl.len())
        .sort("item_id", "times", "description", descending=[False, True, False])
        .group_by("item_id", maintain_order=True)
        .agg(
            title=pl.col("description").drop_nulls().first(),
            text=pl.col("description")
            .str.to_lowercase()
            .str.split(" ")
            .explode()
            .unique(maintain_order=True)
            .str.join(" "),
        )
    )
    return (
        products.group_by("item_id")
        .agg(price=pl.col("UnitPrice").filter("sold").median(), sold=pl.col("sold").any())
        .join(described, on="item_id", how="left")
        .sort("item_id")
        .select(
            "item_id",
            "title",
            "text",
            "price",
            categories=pl.lit([], pl.List(pl.String)),
            available=True,
            reject=pl.when(~pl.col("sold")).then(pl.lit("never_sold")),
        )
    )


def _read_zip(file: Path) -> pl.DataFrame:
    """Return the first sheet of the only workbook in the zip, with dtypes by the cells of each column."""
    with ZipFile(file) as content:
        books = [name for name in content.namelist() if name.lower().endswith(".xlsx")]
        if len(books) != 1:
            raise DataError(f"{file}: {len(books)} workbooks inside, expected one; put {PUBLISHER} there")
        book = content.read(books[0])
    try:
        return pl.read_excel(book, engine="calamine", infer_schema_length=None)
    except (pl.exceptions.PolarsError, fastexcel.FastExcelError) as error:
        reason = one_line(str(error), 200)
        raise DataError(f"{file}: {books[0]!r} cannot be read ({reason}); put {PUBLISHER} there") from error


def _normalised(lines: pl.DataFrame, file: Path) -> pl.DataFrame:
    """Return the published columns in their dtypes; product codes lose the '.0' of numbers written as text."""
    if missing := [name for name in LINES if name not in lines.columns]:
        raise DataError(f"{file}: no column {missing[0]!r}, found {lines.columns}; put {PUBLISHER} there")
    columns = []
    for name, dtype in LINES.items():
        try:
            columns.append(lines[name].cast(dtype))
        except pl.exceptions.PolarsError as error:
            found = f"{lines[name].dtype}, for example {lines[name].drop_nulls().first()!r:.60}"
            raise DataError(f"{file}: column {name!r} is {found}, expected {dtype}; put {PUBLISHER} there") from error
    codes = pl.col("InvoiceNo", "StockCode", "CustomerID")
    return pl.DataFrame(columns).with_columns(codes.str.replace(r"\.0$", ""))
