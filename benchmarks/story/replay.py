"""The same staircase on logged ratings, without any simulator: MovieLens latest-small.

Of every tested user 20 rated films are held out. A policy orders them and shows 5; a shown film that the user rated 4
or better counts as a click. Many tested users are new (all their other ratings are held back) and so are some films, as
in a shop on any day. The share of liked films among all 20 is what random order gets.

Source: Li, Chu, Langford, Wang, "Unbiased offline evaluation of contextual-bandit-based news article recommendation
algorithms", WSDM 2011, for the idea of replay.
"""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import polars as pl
import yaml

from benchmarks.story import shop
from recsys.bundle import bundle
from recsys.bundle.bundle import Bundle
from recsys.contracts import Query
from recsys.recommend.recommender import Recommender

HELD_OUT, SHOWN = 20, 5
NEW_USER_SHARE, NEW_ITEM_SHARE, LIKE_FROM, SEED = 0.45, 0.15, 4.0, 5
MIN_RATINGS = 40


@dataclass(frozen=True)
class Held:
    """One tested user: the held-out films and whether each was liked."""

    user_id: str
    item_ids: list[str]
    liked: np.ndarray[Any, Any]


def prepare(ratings: pl.DataFrame) -> tuple[pl.DataFrame, list[Held]]:
    """ratings: user_id, item_id, timestamp, value. Returns what may be learned from, and the tests."""
    chance = np.random.default_rng(SEED)
    items = ratings["item_id"].unique().sort()
    new_items = set(items.to_numpy()[chance.random(len(items)) < NEW_ITEM_SHARE].tolist())
    held, kept = [], []
    for (user_id,), rows in ratings.sort("user_id", "timestamp").group_by("user_id", maintain_order=True):
        if rows.height < MIN_RATINGS:
            kept.append(rows)
            continue
        order = chance.permutation(rows.height)
        test, rest = rows[np.sort(order[:HELD_OUT])], rows[np.sort(order[HELD_OUT:])]
        held.append(Held(str(user_id), test["item_id"].to_list(), test["value"].to_numpy() >= LIKE_FROM))
        if chance.random() >= NEW_USER_SHARE:
            kept.append(rest)
    learned = pl.concat(kept).filter(~pl.col("item_id").is_in(list(new_items)))
    return learned, held


def train(ratings: pl.DataFrame, items: pl.DataFrame, folder: Path, changes: dict[str, Any]) -> Bundle:
    """`dvc repro` on what may be learned, as the data set `files`."""
    subprocess.run(["git", "clone", "--quiet", shop.TOP, folder], check=True)
    (folder / "replay").mkdir()
    ratings.with_columns(
        event=pl.when(pl.col("value") >= LIKE_FROM).then(pl.lit("like")).otherwise(pl.lit("rating"))
    ).write_parquet(folder / "replay/interactions.parquet")
    items.write_parquet(folder / "replay/items.parquet")
    path = folder / "params.yaml"
    params = yaml.safe_load(path.read_text())
    adapter = {name: {"path": f"replay/{name}.parquet"} for name in ("interactions", "items")}
    params["datasets"]["files"] = {**params["datasets"]["movielens"], "adapter": adapter}
    params["dataset"] = "files"
    params["variants"] |= changes["variants"]
    path.write_text(yaml.safe_dump(params, sort_keys=False))
    (folder / "dvc.lock").unlink(missing_ok=True)
    subprocess.run(["dvc", "repro", "--quiet"], cwd=folder, check=True)
    return bundle.load(folder / "bundle")


def rates(loaded: Bundle, held: list[Held], order: Any) -> np.ndarray[Any, Any]:
    """(n_users,) share of liked films among the 5 shown; order: (Held) -> positions, best first."""
    return np.array([each.liked[order(loaded, each)[:SHOWN]].mean() for each in held])


def by_variant(variant: str, fallback: bool) -> Any:
    """Order of a variant: the held-out films are the caller's candidates, as in /v1/rank.

    Without fallback what the variant's own sources do not bring up stays in random order.
    """
    recommenders: dict[int, Recommender] = {}

    def order(loaded: Bundle, each: Held) -> list[int]:
        recommender = recommenders.setdefault(id(loaded), Recommender(loaded, variant))
        positions = [loaded.catalogue.ids.position(item_id) for item_id in each.item_ids]
        rows = {row: at for at, row in enumerate(positions) if row is not None}
        only = np.zeros(len(loaded.catalogue), dtype=np.bool_)
        only[list(rows)] = True
        history = loaded.histories.of(each.user_id)
        now = loaded.manifest.trained_until.timestamp()
        query = Query(history, k=max(len(rows), 1), now=now, user_id=each.user_id, only=only)
        slots = [slot for slot in recommender.recommend(query).slots if fallback or not slot.fallback]
        first = [rows[slot.row] for slot in slots]
        left = [at for at in np.random.default_rng(SEED).permutation(len(each.item_ids)).tolist() if at not in first]
        return first + left

    return order


def at_random(loaded: Bundle, each: Held) -> list[int]:
    """Any order."""
    seed = [SEED, *each.user_id.encode()]
    found: list[int] = np.random.default_rng(seed).permutation(len(each.item_ids)).tolist()
    return found


def like_rate(ratings: pl.DataFrame) -> Any:
    """Not personal at all: films by the share of their ratings that were likes, pulled to the mean of all."""
    mean = float((ratings["value"] >= LIKE_FROM).mean())  # type: ignore[arg-type]
    table = ratings.group_by("item_id").agg(rate=((pl.col("value") >= LIKE_FROM).sum() + 5 * mean) / (pl.len() + 5))
    known = dict(table.iter_rows())

    def order(loaded: Bundle, each: Held) -> list[int]:
        return sorted(range(len(each.item_ids)), key=lambda at: -known.get(each.item_ids[at], mean))

    return order


def paired(values: np.ndarray[Any, Any], base: np.ndarray[Any, Any]) -> dict[str, float]:
    """Relative difference with its 95 % interval over users."""
    ratio = values.mean() / base.mean()
    error = np.std(values - ratio * base, ddof=1) / base.mean() / np.sqrt(len(base))
    return {"uplift": float(ratio - 1), "low": float(ratio - 1 - 1.96 * error), "high": float(ratio - 1 + 1.96 * error)}


def run(folder: Path, steps: dict[str, tuple[str, bool]], changes: dict[str, Any]) -> dict[str, Any]:
    """steps: name -> (variant, with fallback). {} with a reason where the data is missing."""
    archive = Path(os.environ.get("RECSYS_DATA_DIR", shop.TOP.parent / "shared/data")) / "ml-latest-small"
    archive = archive / "ml-latest-small.zip"
    if not archive.is_file():
        return {"left_out": f"{archive.name} is not here: set RECSYS_DATA_DIR to the folder of ml-latest-small"}
    with ZipFile(archive) as opened:
        read = {name: opened.read(f"ml-latest-small/{name}.csv") for name in ("ratings", "movies")}
    ratings = pl.read_csv(read["ratings"]).select(
        user_id=pl.col("userId").cast(pl.String),
        item_id=pl.col("movieId").cast(pl.String),
        value="rating",
        timestamp=pl.from_epoch("timestamp", "s").dt.cast_time_unit("us").dt.replace_time_zone("UTC"),
    )
    items = pl.read_csv(read["movies"]).select(
        item_id=pl.col("movieId").cast(pl.String), title="title", categories=pl.col("genres").str.split("|")
    )
    learned, held = prepare(ratings)
    return judged(train(learned, items, folder, changes), learned, held, steps)


def judged(
    loaded: Bundle, learned: pl.DataFrame, held: list[Held], steps: dict[str, tuple[str, bool]]
) -> dict[str, Any]:
    """Every step on the held-out ratings, against any order."""
    base = np.array([each.liked.mean() for each in held])  # what any order gets on average
    found = {name: paired(rates(loaded, held, by_variant(*step)), base) for name, step in steps.items()}
    found["like rate of the film, not personal"] = paired(rates(loaded, held, like_rate(learned)), base)
    known_users = set(learned["user_id"].unique().to_list())
    known_items = set(learned["item_id"].unique().to_list())
    return {
        "users": len(held),
        "new_users": round(float(np.mean([each.user_id not in known_users for each in held])), 3),
        "new_items": round(float(np.mean([item not in known_items for each in held for item in each.item_ids])), 3),
        "like_rate_of_random": round(float(base.mean()), 4),
        "steps": found,
    }
