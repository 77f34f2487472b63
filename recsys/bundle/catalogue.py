"""The catalogue of a bundle: the items with their ids, popularity, availability and the time they were first seen."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from recsys.bundle import id_table
from recsys.contracts import HALF_LIVES_DAYS, SECONDS_PER_DAY, BoolArray, FloatArray, IntArray, epoch_seconds
from recsys.output import read_array

COLUMNS: dict[str, pl.DataType] = {
    "row": pl.Int32(),
    "item_id": pl.String(),
    "title": pl.String(),
    "text": pl.String(),
    "categories": pl.List(pl.String()),
    "price": pl.Float64(),
    "available": pl.Boolean(),
    "first_seen": pl.Datetime("us", "UTC"),
    "attributes": pl.String(),
    "popularity": pl.Float32(),
    "recent": pl.Float32(),
    "liked_share": pl.Float32(),
}
CONTENT = ("title", "text", "categories", "price")  # needed where items are shown
FEW_LIKES = 3  # an item that at most so many users liked is new: too few for a collaborative model


@dataclass(frozen=True)
class Catalogue:
    """All items in row order.

    frame: the table of the items; ids: item ids <-> rows; popularity: (n_items,) float32, how many users liked the
    item; recent: (n_items,) float32, the same count with decay: a user counts 1/2 one half-life after their last like
    of the item, 1/4 after two; liked_share: (n_items,) float32, of the users with any event of the item, also one of
    weight 0 such as a low rating or a return, the share that liked it, NaN without such users; available: (n_items,)
    bool; first_seen: (n_items,) float64 UTC seconds, NaN if unknown; demand: (n_items, len(HALF_LIVES_DAYS)) float32,
    one column like `recent` for every half-life; gap_days: (n_items,) float32, see the function `gap_days`.
    """

    frame: pl.DataFrame
    ids: id_table.IdTable
    popularity: FloatArray
    recent: FloatArray
    liked_share: FloatArray
    available: BoolArray
    first_seen: npt.NDArray[np.float64]
    demand: FloatArray
    gap_days: FloatArray

    def __len__(self) -> int:
        return len(self.popularity)

    @property
    def new(self) -> BoolArray:
        """(n_items,) bool, True for new items: those that at most FEW_LIKES users liked."""
        return self.popularity <= FEW_LIKES

    def attribute(self, name: str) -> pl.DataFrame:
        """Return the values of an attribute as a table: `row` of the item, `value` as text. A list has one line for
        each of its texts; numbers and booleans are written as in JSON: 1.5, true."""
        values = self.frame.select("row", value=pl.col("attributes").str.json_path_match(f"$['{name}']")).drop_nulls()
        listed = pl.col("value").str.starts_with("[")
        lists = values.filter(listed).with_columns(pl.col("value").map_elements(_texts, pl.List(pl.String)))
        return pl.concat([values.filter(~listed), lists.explode("value").drop_nulls()])

    def fields(self, row: int, names: Iterable[str]) -> dict[str, Any]:
        """Return the values of an item by name, without those it lacks. names: fields in `CONTENT`, or attributes."""
        found = {name: self.frame[name][row] for name in names if name in CONTENT}
        if found.keys() != set(names):
            found = json.loads(self.frame["attributes"][row] or "{}") | found
        if "categories" in found:
            found["categories"] = found["categories"].to_list()
        return {name: found[name] for name in names if found.get(name) is not None}

    @cached_property
    def attribute_names(self) -> frozenset[str]:
        """The names of all attributes that at least one item has."""
        # a quote inside a value is escaped, so only a name is followed by a quote and a colon
        names = self.frame["attributes"].drop_nulls().str.extract_all(r'"[\w-]+"\s*:').explode().unique()
        return frozenset(names.drop_nulls().str.strip_chars('": \t\r\n'))

    @cached_property
    def of_category(self) -> dict[str, IntArray]:
        """The rows of the items in each category, (m,) int32 each."""
        return rows_by_category(self.frame)

    @cached_property
    def by_popularity(self) -> IntArray:
        """All rows, (n_items,) int32, those with the highest `popularity` first."""
        return np.argsort(-self.popularity, kind="stable").astype(np.int32)

    @cached_property
    def by_recent(self) -> IntArray:
        """All rows, (n_items,) int32, those with the highest `recent` first."""
        return np.argsort(-self.recent, kind="stable").astype(np.int32)


def rows_by_category(items: pl.DataFrame) -> dict[str, IntArray]:
    """Return the rows of the items in each category, (m,) int32 each. items: row, categories."""
    pairs = items.select("row", "categories").explode("categories").drop_nulls().unique(maintain_order=True)
    grouped = pairs.group_by("categories", maintain_order=True).agg("row")
    return {name: rows.to_numpy() for name, rows in zip(grouped["categories"], grouped["row"], strict=True)}


def with_popularity(
    catalogue: pl.DataFrame, interactions: pl.DataFrame, now: float, half_life_days: float
) -> pl.DataFrame:
    """Return the catalogue with the columns popularity, recent and liked_share, see `Catalogue`. now: the time from
    which the age of a like is measured, UTC seconds."""
    moment = pl.lit(now).mul(1e6).cast(pl.Int64).cast(pl.Datetime("us", "UTC"))
    age = (moment - pl.col("timestamp")) / timedelta(days=half_life_days)
    counts = (
        interactions.lazy()
        .group_by("user_row", "item_row")
        .agg(pl.col("timestamp").filter(pl.col("weight") > 0).max())
        .with_columns(age=age)
        .group_by("item_row")
        # integers add up to the same sum in any order, floats do not: keep the bytes reproducible
        .agg(
            popularity=pl.col("age").count(),  # not null: of those who liked it
            recent=(pl.lit(0.5).pow(pl.col("age").clip(0)) * 2**32).cast(pl.Int64).sum(),
            users=pl.len(),
        )
        .with_columns(pl.col("recent") / 2**32, liked_share=pl.col("popularity") / pl.col("users"))
        .drop("users")
        .collect()
    )
    return catalogue.join(counts, left_on="row", right_on="item_row", how="left", maintain_order="left").with_columns(
        pl.col("popularity", "recent").fill_null(0).cast(pl.Float32),
        pl.col("liked_share").cast(pl.Float32).fill_null(np.nan),
    )


def demand(interactions: pl.DataFrame, now: float, n_items: int) -> FloatArray:
    """Count the users who liked each item, with exponential decay: (n_items, len(HALF_LIVES_DAYS)) float32. now: the
    time from which the age of a like is measured, UTC seconds."""
    liked = interactions.filter(pl.col("weight") > 0)
    last = liked.unique(["user_row", "item_row"], keep="last", maintain_order=True)
    rows = last["item_row"].to_numpy()
    age_days = np.maximum(now - epoch_seconds(last["timestamp"]), 0) / SECONDS_PER_DAY
    counts = [np.bincount(rows, np.exp2(-age_days / half_life), n_items) for half_life in HALF_LIVES_DAYS]
    return np.column_stack(counts).astype(np.float32)


def gap_days(interactions: pl.DataFrame, n_items: int) -> FloatArray:
    """Return the median days between two consecutive likes of an item by the same user: (n_items,) float32. NaN if no
    user liked the item twice. Gaps below the shortest of `HALF_LIVES_DAYS` belong to one visit and are left out."""
    likes = interactions.lazy().filter(pl.col("weight") > 0).sort("user_row", "item_row", "timestamp")
    gaps = likes.select(
        "item_row", days=pl.col("timestamp").diff().over("user_row", "item_row").dt.total_seconds() / SECONDS_PER_DAY
    )
    usual = gaps.filter(pl.col("days") >= HALF_LIVES_DAYS[0]).group_by("item_row").agg(pl.col("days").median())
    found = np.full(n_items, np.nan, dtype=np.float32)
    counted = usual.collect()
    found[counted["item_row"].to_numpy()] = counted["days"].to_numpy()
    return found


def write(catalogue: pl.DataFrame, folder: Path) -> None:
    """Write `catalogue.parquet` and the id table into a bundle folder."""
    catalogue.write_parquet(folder / "catalogue.parquet", compression="zstd")
    id_table.write(catalogue["item_id"], folder / "items")


def write_demand(interactions: pl.DataFrame, now: float, n_items: int, folder: Path) -> None:
    """Write `demand` and `gap_days` into a bundle folder."""
    np.save(folder / "demand.npy", demand(interactions, now, n_items))
    np.save(folder / "gap_days.npy", gap_days(interactions, n_items))


def _texts(value: str) -> list[str]:
    """Return the texts of a JSON list; a text that only begins like a list is returned unchanged."""
    try:
        return list(json.loads(value))
    except ValueError:
        return [value]


def load(folder: Path) -> Catalogue:
    """Read the files that `write` and `write_demand` wrote. Older bundles have no attributes, unknown shares of likes,
    and a demand of 0."""
    frame = pl.read_parquet(folder / "catalogue.parquet")
    later = {"attributes": pl.lit(None, pl.String), "liked_share": pl.lit(np.nan, pl.Float32)}
    frame = frame.with_columns(**{name: empty for name, empty in later.items() if name not in frame.columns})
    kept = (folder / "demand.npy").is_file()
    nothing = np.zeros((frame.height, len(HALF_LIVES_DAYS)), dtype=np.float32)
    return Catalogue(
        frame=frame,
        ids=id_table.IdTable(folder / "items"),
        popularity=frame["popularity"].to_numpy(),
        recent=frame["recent"].to_numpy(),
        liked_share=frame["liked_share"].to_numpy(),
        available=frame["available"].to_numpy(),
        first_seen=epoch_seconds(frame["first_seen"]),
        demand=read_array(folder / "demand.npy") if kept else nothing,
        gap_days=read_array(folder / "gap_days.npy") if kept else np.full(frame.height, np.nan, dtype=np.float32),
    )
