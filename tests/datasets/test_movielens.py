"""The same few films and ratings in every published format must give the same tables; then the real archive."""

import csv
import hashlib
import io
import zipfile
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from pydantic import ValidationError

from recsys.datasets import movielens
from recsys.datasets.movielens import VARIANTS, Config
from recsys.errors import DataError, SourceUnreachableError

GENRES = ["unknown", "Action", "Comedy", "Drama", "Sci-Fi"]
FILMS = [
    ("1", "Toy Story (1995)", ["Comedy"]),
    ("2", "Misérables, Les (1995)", ["Drama"]),
    ("3", 'Star Wars: Episode IV - "A New Hope" (1977)', ["Action", "Sci-Fi"]),
    ("4", "Film without a year", []),
    ("7", "2001 (Two) (1968-) ", ["Drama"]),
]
RATINGS = [(1, 1, 4, 964982703), (1, 3, 3, 964981247), (2, 1, 5, 978300760), (6040, 7, 1, 956703932)]
TAGS = [(1, 1, "Pixar", 1), (2, 1, "fun", 2), (2, 1, " pixar ", 3), (1, 3, "a::b, c", 4), (2, 3, "", 5)]


def published(variant: str) -> dict[str, bytes]:
    """The files of a variant, laid out as its README says."""
    if variant == "100k":
        flags = ["|".join("01"[name in (genres or ["unknown"])] for name in GENRES) for _, _, genres in FILMS]
        files = {
            "u.data": lines("\t".join(map(str, row)) for row in RATINGS),
            "u.item": lines(
                f"{item}|{title}|01-Jan-1995||http://imdb|{row}"
                for (item, title, _), row in zip(FILMS, flags, strict=True)
            ),
            "u.genre": lines([*(f"{name}|{number}" for number, name in enumerate(GENRES)), ""]),
        }
    elif variant in ("1m", "10m"):
        files = {
            "ratings.dat": lines("::".join(map(str, row)) for row in RATINGS),
            "movies.dat": lines(f"{item}::{title}::{published_genres(genres)}" for item, title, genres in FILMS),
            "tags.dat": lines("::".join(map(str, row)) for row in TAGS),
        }
    else:
        rows = [(item, title, published_genres(genres)) for item, title, genres in FILMS]
        files = {
            "ratings.csv": as_csv("userId movieId rating timestamp", RATINGS),
            "movies.csv": as_csv("movieId title genres", rows),
            "tags.csv": as_csv("userId movieId tag timestamp", TAGS),
        }
    encoding = "latin-1" if variant in ("100k", "1m") else "utf-8"
    return {name: files[name].encode(encoding) for name in VARIANTS[variant].files}


def published_genres(genres: list[str]) -> str:
    return "|".join(genres or ["(no genres listed)"])


def lines(rows: Iterable[str]) -> str:
    return "".join(f"{row}\n" for row in rows)


def as_csv(header: str, rows: Iterable[tuple[object, ...]]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows([header.split(), *rows])
    return text.getvalue()


def unpacked(variant: str, folder: Path) -> Path:
    for name, content in published(variant).items():
        (folder / name).write_bytes(content)
    return folder


def archive(variant: str, path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A zip as published, and its sha256 in the table."""
    with zipfile.ZipFile(path, "w") as content:
        for name, data in published(variant).items():
            content.writestr(f"ml-{variant}/{name}", data)
        content.writestr(f"ml-{variant}/README.txt", "terms of use")
        content.writestr(f"ml-{variant}/links.csv", "not needed")
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setitem(VARIANTS, variant, replace(VARIANTS[variant], sha256=sha256))
    return path


@pytest.fixture(autouse=True)
def nothing_is_reachable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RECSYS_DATA_DIR", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(movielens, "PUBLISHER", "http://127.0.0.1:1")


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_format_gives_the_same_tables(variant: str, tmp_path: Path) -> None:
    found = movielens.tables(Config.model_validate({"variant": variant}), unpacked(variant, tmp_path))
    interactions = found.interactions.collect()
    assert interactions.schema["timestamp"] == pl.Datetime("us", "UTC")
    assert interactions["timestamp"][0] == datetime(2000, 7, 30, 18, 45, 3, tzinfo=UTC)
    assert interactions.select("user_id", "item_id", "event", "value").rows() == [
        ("1", "1", "like", 4.0),
        ("1", "3", "rating", 3.0),
        ("2", "1", "like", 5.0),
        ("6040", "7", "rating", 1.0),
    ]
    tagged = variant not in ("100k", "1m")
    assert found.items.collect().select("item_id", "title", "text", "categories", "price", "available").rows() == [
        ("1", "Toy Story", "1995, pixar, fun" if tagged else "1995", ["Comedy"], None, True),
        ("2", "Misérables, Les", "1995", ["Drama"], None, True),
        ("3", 'Star Wars: Episode IV - "A New Hope"', "1977, a::b, c" if tagged else "1977", GENRES[1::3], None, True),
        ("4", "Film without a year", "", [], None, True),
        ("7", "2001 (Two)", "1968", ["Drama"], None, True),
    ]


@pytest.mark.parametrize(
    ("published", "name", "year"),
    [
        ("Toy Story (1995)", "Toy Story", "1995"),
        ("Series, The (2006–2007) ", "Series, The", "2006"),
        ("Running (2013-)", "Running", "2013"),
        ("(500) Days of Summer (2009)", "(500) Days of Summer", "2009"),
        ("Film (2001) uncut", None, None),
        ("Babylon 5", None, None),
    ],
)
def test_year_is_parted_from_the_title(published: str, name: str | None, year: str | None) -> None:
    title = pl.Series([published])
    assert title.str.extract(movielens.TITLE, 1)[0] == name
    assert title.str.extract(movielens.TITLE, 2)[0] == year


def test_like_starts_where_the_settings_say(tmp_path: Path) -> None:
    found = movielens.tables(Config(variant="1m", like_from=3.0), unpacked("1m", tmp_path))
    assert found.interactions.collect()["event"].to_list() == ["like", "like", "like", "rating"]


@pytest.mark.parametrize("settings", [{"variant": "2m"}, {"like_from": 6}, {"url": "http://x"}])
def test_wrong_settings_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Config.model_validate(settings)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("inside", [True, False])
def test_fetch_from_a_local_folder(variant: str, inside: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = VARIANTS[variant].archive
    local = tmp_path / "local" / name.removesuffix(".zip") / name if inside else tmp_path / "local" / name
    local.parent.mkdir(parents=True)
    archive(variant, local, monkeypatch)
    monkeypatch.setenv("RECSYS_DATA_DIR", str(tmp_path / "local"))
    out = tmp_path / "raw"
    out.mkdir()
    origin = movielens.fetch(Config.model_validate({"variant": variant}), out, seed=7)
    assert (origin["source"], origin["location"]) == ("local folder", str(local))
    assert {path.name for path in out.iterdir()} == {*VARIANTS[variant].files, "README.txt"}
    movielens.tables(Config.model_validate({"variant": variant}), out).interactions.collect()


def test_fetch_falls_back_to_a_mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mirror = archive("1m", tmp_path / "mirrored.zip", monkeypatch)
    out = tmp_path / "raw"
    out.mkdir()
    origin = movielens.fetch(Config(variant="1m", mirrors=[str(mirror)]), out, seed=7)
    assert origin["source"] == "mirror"
    assert "publisher http://127.0.0.1:1/ml-1m.zip" in origin["passed_over"][0]


def test_fetch_refuses_another_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An intact zip with the wrong sha256 is not the published data."""
    archive("1m", tmp_path / "ml-1m.zip", monkeypatch)
    monkeypatch.setitem(VARIANTS, "1m", replace(VARIANTS["1m"], sha256="0" * 64))
    monkeypatch.setenv("RECSYS_DATA_DIR", str(tmp_path))
    out = tmp_path / "raw"
    out.mkdir()
    with pytest.raises(SourceUnreachableError, match=r"ml-1m\.zip: corrupt or another version"):
        movielens.fetch(Config(variant="1m"), out, seed=7)
    assert list(out.iterdir()) == []


def test_raw_data_of_another_variant_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no file 'ratings.dat' of variant '1m'; run `dvc repro fetch`"):
        movielens.tables(Config(variant="1m"), unpacked("25m", tmp_path))


def test_published_latest_small(data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counts from the archive's own README."""
    monkeypatch.setenv("RECSYS_DATA_DIR", str(data_dir))
    origin = movielens.fetch(Config(), tmp_path, seed=7)
    assert origin["source"] == "local folder"
    found = movielens.tables(Config(), tmp_path)
    interactions, items = found.interactions.collect(), found.items.collect()
    assert (interactions.height, interactions["user_id"].n_unique(), items.height) == (100_836, 610, 9_742)
    assert items["item_id"].is_unique().all()
    assert set(interactions["item_id"]) <= set(items["item_id"])
    assert interactions["timestamp"].min() == datetime(1996, 3, 29, 18, 36, 55, tzinfo=UTC)
    assert interactions["timestamp"].max() == datetime(2018, 9, 24, 14, 27, 30, tzinfo=UTC)
    assert interactions.filter(pl.col("event") == "like")["value"].min() == 4.0
    assert interactions.filter(pl.col("event") == "rating")["value"].max() == 3.5
    assert items.select(pl.exclude("price")).null_count().sum_horizontal().item() == 0
    toy_story = items.row(by_predicate=pl.col("item_id") == "1", named=True)
    assert toy_story["title"] == "Toy Story"
    assert toy_story["text"] == "1995, pixar, fun"
    assert toy_story["categories"] == ["Adventure", "Animation", "Children", "Comedy", "Fantasy"]
