"""MovieLens: ratings of films from 0.5 (or 1) to 5, with titles, genres and, in most variants, free tags.

Source: F. M. Harper and J. A. Konstan, The MovieLens Datasets: History and Context, ACM TiiS 5(4), 2015,
https://grouplens.org/datasets/movielens. The terms of use are in each archive's README and differ: 100k and 1m may not
be redistributed.

Every rating is one interaction, a `like` if it is at least `like_from`. The text of a film is the year, taken from its
title, and its tags. Caution: tags of any date are used, so tags added after the start of the test window describe the
film in training too.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import polars as pl
from pydantic import Field

from recsys.data.download import Place, local_places, obtain, unpack
from recsys.data.raw_tables import RawTables
from recsys.errors import DataError
from recsys.params import Section

PUBLISHER = "https://files.grouplens.org/datasets/movielens"
READMES = ["README", "README.txt", "README.html"]
NO_GENRE = ["(no genres listed)", "unknown"]
TITLE = r"^(.*?)\s*\((\d{4})(?:[-–]\d{0,4})?\)\s*$"  # name, year of the (first) release
RATINGS = {"userId": pl.Int64, "movieId": pl.Int64, "rating": pl.Float64, "timestamp": pl.Int64}
FILMS = {"movieId": pl.String, "title": pl.String, "genres": pl.String}
TAGS = {"userId": pl.String, "movieId": pl.String, "tag": pl.String, "timestamp": pl.String}


@dataclass(frozen=True)
class Variant:
    """One published archive. files: names of the ratings, the films, and others; encoding: of the file of films."""

    archive: str
    sha256: str
    files: Sequence[str]
    encoding: str = "utf-8"


CSV = ("ratings.csv", "movies.csv", "tags.csv")
DAT = ("ratings.dat", "movies.dat", "tags.dat")
VARIANTS = {
    "latest-small": Variant(
        "ml-latest-small.zip", "696d65a3dfceac7c45750ad32df2c259311949efec81f0f144fdfb91ebc9e436", CSV
    ),
    "100k": Variant(
        "ml-100k.zip",
        "50d2a982c66986937beb9ffb3aa76efe955bf3d5c6b761f4e3a7cd717c6a3229",
        ("u.data", "u.item", "u.genre"),
        "latin-1",
    ),
    "1m": Variant("ml-1m.zip", "a6898adb50b9ca05aa231689da44c217cb524e7ebd39d264c56e2832f2c54e20", DAT[:2], "latin-1"),
    "10m": Variant("ml-10m.zip", "813c411ccb6122564edfe752e7f80c4dcc5aa25fa94c93622f6877a7ba252862", DAT),
    "20m": Variant("ml-20m.zip", "96f243c338a8665f6bcc89c53edf6ee39162a846940de6b7c8c48aeada765ff3", CSV),
    "25m": Variant("ml-25m.zip", "8b21cfb7eb1706b4ec0aac894368d90acf26ebdfb6aced3ebd4ad5bd1eb9c6aa", CSV),
}


class Config(Section):
    """variant: the archive; like_from: lowest rating that is a like; mirrors: other URLs or paths of the archive."""

    variant: Literal["latest-small", "100k", "1m", "10m", "20m", "25m"] = "latest-small"
    like_from: float = Field(4.0, ge=0.5, le=5)
    mirrors: list[str] = Field(default_factory=list)


def fetch(config: Config, out: Path, seed: int) -> dict[str, Any]:
    """Unpack the variant's files into `out`; `seed` has no effect."""
    variant = VARIANTS[config.variant]
    name = variant.archive
    places = [
        *local_places(name.removesuffix(".zip"), name, variant.sha256),
        Place("publisher", f"{PUBLISHER}/{name}", name, variant.sha256),
        *(Place("mirror", mirror, name, variant.sha256) for mirror in config.mirrors),
    ]
    found = obtain(places, out.parent / "downloads")
    unpack(found.path, out, variant.files, READMES)
    return found.provenance


def tables(config: Config, raw: Path) -> RawTables:
    """Return the ratings as interactions and the films as items.

    Raises:
        DataError: "data/raw: no file 'ratings.dat' of variant '1m'; run `dvc repro fetch`"
    """
    variant = VARIANTS[config.variant]
    for file in variant.files:
        if not (raw / file).is_file():
            raise DataError(f"{raw}: no file {file!r} of variant {config.variant!r}; run `dvc repro fetch`")
    ratings, films = raw / variant.files[0], raw / variant.files[1]
    return RawTables(
        interactions=_ratings(ratings).select(
            user_id=pl.col("userId").cast(pl.String),
            item_id=pl.col("movieId").cast(pl.String),
            timestamp=pl.from_epoch("timestamp", "s").cast(pl.Datetime("us", "UTC")),
            event=pl.when(pl.col("rating") >= config.like_from).then(pl.lit("like")).otherwise(pl.lit("rating")),
            value="rating",
        ),
        items=_films(films, variant.encoding)
        .join(_tags(raw, variant.files), on="movieId", how="left", maintain_order="left")
        .select(
            item_id="movieId",
            title=pl.coalesce(pl.col("title").str.extract(TITLE, 1), "title"),
            text=pl.concat_str(pl.col("title").str.extract(TITLE, 2), "tags", separator=", ", ignore_nulls=True),
            categories=pl.col("genres").list.eval(pl.element().filter(~pl.element().is_in(NO_GENRE))),
            price=pl.lit(None, pl.Float64),
            available=True,
        ),
        interactions_file=ratings,
        items_file=films,
    )


def _ratings(file: Path) -> pl.LazyFrame:
    if file.suffix == ".csv":
        return pl.scan_csv(file, schema=RATINGS)
    if file.suffix == ".dat":  # read '::' as two separators ':' with an empty cell between them
        columns: dict[str, Any] = {}
        for gap, (name, dtype) in enumerate(RATINGS.items()):
            columns |= {name: dtype, f"gap{gap}": pl.String}
        columns.popitem()
        return pl.scan_csv(file, schema=columns, has_header=False, separator=":", quote_char=None)
    return pl.scan_csv(file, schema=RATINGS, has_header=False, separator="\t")


def _films(file: Path, encoding: str) -> pl.LazyFrame:
    """Return the films: movieId str, title str with the year, genres list[str]."""
    if file.suffix == ".csv":
        return pl.scan_csv(file, schema=FILMS).with_columns(pl.col("genres").str.split("|"))
    if file.suffix == ".dat":
        return _matched(file, encoding, r"^(?<movieId>\d+)::(?<title>.*)::(?<genres>.*)$").with_columns(
            pl.col("genres").str.split("|")
        )
    names = [line.split("|")[0] for line in _lines(file.with_name("u.genre"), encoding)]
    fields = pl.col("line").str.split("|")  # id, title, three more, then a 0 or 1 for each genre
    return pl.LazyFrame({"line": _lines(file, encoding)}, {"line": pl.String}).select(
        movieId=fields.list.get(0),
        title=fields.list.get(1, null_on_oob=True),
        genres=pl.concat_list(
            pl.when(fields.list.get(5 + flag, null_on_oob=True) == "1").then(pl.lit(name))
            for flag, name in enumerate(names)
        ).list.drop_nulls(),
    )


def _tags(raw: Path, files: Sequence[str]) -> pl.LazyFrame:
    """Return the tags of each film: movieId str, tags str: distinct tags in lower case, most frequent first."""
    if "tags.csv" in files:
        given = pl.scan_csv(raw / "tags.csv", schema=TAGS)
    elif "tags.dat" in files:
        given = _matched(raw / "tags.dat", "utf-8", r"^(?<userId>\d+)::(?<movieId>\d+)::(?<tag>.*)::(?<timestamp>\d+)$")
    else:
        given = pl.LazyFrame(schema=TAGS)
    return (
        given.select("movieId", tag=pl.col("tag").str.strip_chars().str.to_lowercase())
        .filter(pl.col("tag") != "")
        .group_by("movieId", "tag")
        .agg(times=pl.len())
        .sort("movieId", "times", "tag", descending=[False, True, False])
        .group_by("movieId", maintain_order=True)
        .agg(tags=pl.col("tag").str.join(", "))
    )


def _lines(file: Path, encoding: str) -> list[str]:
    return [line for line in file.read_bytes().decode(encoding).replace("\r", "").split("\n") if line]


def _matched(file: Path, encoding: str, pattern: str) -> pl.LazyFrame:
    """Return one column per named group of the pattern, one row per line, null where a line does not match."""
    lines = pl.LazyFrame({"line": _lines(file, encoding)}, {"line": pl.String})
    return lines.select(pl.col("line").str.extract_groups(pattern)).unnest("line")
