"""Co-visitation: scores item j after item i by how often users liked both soon after each other.

    pair(i, j) = sum over likes i, j of one user, at most `window` likes and `gap_days` days apart, of
                 0.5 ** (age_days / half_life_days) / distance, times `backward` if j came before i
    score(i, j) = pair(i, j) / (total(i) * total(j)) ** `popularity`

age_days is the age of the later of the two likes when the model is trained. distance is 1 for the next like, 2 for the
one after it, ...; total(i) is the sum of pair(i, j) over all j. If a user
liked i and j several times, only the largest term counts.
Source: Sarwar, Karypis, Konstan, Riedl, "Item-based collaborative filtering recommendation algorithms", WWW 2001 (the
normalisation); Ludewig and Jannach, "Evaluation of session-based recommendation algorithms", UMUAI 2018 (the distance).
"""

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from pydantic import Field

from recsys.contracts import SECONDS_PER_DAY, ItemItem, TrainingData, epoch_seconds
from recsys.params import Section

if TYPE_CHECKING:
    from optuna import Trial

SCHEMA = {"user": pl.Int32, "item": pl.Int32, "other": pl.Int32, "weight": pl.Float64}
EVENTS_AT_A_TIME = 250_000


class Config(Section):
    """last: number of newest items of a history that are used; place_decay: weight of each of them, relative to the
    next newer one; neighbours: number of pairs to keep for an item; the others: see the module."""

    window: int = Field(10, ge=1)
    gap_days: float = Field(1.0, gt=0)
    half_life_days: float = Field(180, gt=0)
    backward: float = Field(0.5, ge=0, le=1)
    popularity: float = Field(0.3, ge=0, le=1)
    last: int = Field(50, ge=1)
    place_decay: float = Field(0.9, gt=0, le=1)
    neighbours: int = Field(100, ge=1)


def suggest(trial: "Trial") -> dict[str, Any]:
    """Suggest the settings for one trial of `recsys tune`."""
    times = {
        "gap_days": trial.suggest_float("gap_days", 1 / 48, 365, log=True),
        "half_life_days": trial.suggest_float("half_life_days", 1 / 24, 10_000, log=True),
    }
    shares = {name: round(trial.suggest_float(name, 0, 1, step=0.1), 1) for name in ("backward", "popularity")}
    decay = round(trial.suggest_float("place_decay", 0.5, 1, step=0.05), 2)
    return {name: float(f"{value:.2g}") for name, value in times.items()} | shares | {"place_decay": decay}


def fit(data: TrainingData, config: Config) -> ItemItem:
    """Fit the scores of item pairs; the same data gives the same bytes."""
    counted = pairs(data, config)
    item, other, weight = (counted[name].to_numpy() for name in ("item", "other", "weight"))
    total = np.bincount(item, weight, data.n_items)
    known = total[other] > 0
    scaled = weight[known] / (total[item[known]] * total[other[known]]) ** config.popularity
    scored = (
        counted.select("item", "other")
        .filter(pl.Series(known))
        .with_columns(score=pl.Series(scaled))
        .sort(["item", "score", "other"], descending=[False, True, False])
        .group_by("item", maintain_order=True)
        .head(config.neighbours)
    )
    sizes = np.bincount(scored["item"].to_numpy(), minlength=data.n_items)
    return ItemItem(
        indptr=np.concatenate([[0], np.cumsum(sizes)]),
        rows=scored["other"].to_numpy(),
        scores=scored["score"].cast(pl.Float32).to_numpy(),
        params={"half_life_days": config.half_life_days, "last": config.last, "place_decay": config.place_decay},
    )


def pairs(data: TrainingData, config: Config) -> pl.DataFrame:
    """Return pair(i, j) for all items: item int32, other int32, weight float64, sorted by item and other. It works on
    some users at a time: the pairs of all events at once would take gigabytes."""
    liked = data.interactions.filter(pl.col("weight") > 0)
    users = liked["user_row"].to_numpy()
    begins = np.unique(np.searchsorted(users, users[::EVENTS_AT_A_TIME]))
    parts = np.diff(begins, append=liked.height)
    blocks = (liked.slice(begin, n) for begin, n in zip(begins.tolist(), parts.tolist(), strict=True))
    found = [_of_users(block, data.now, config) for block in blocks]
    every = pl.concat(found) if found else pl.DataFrame(schema=SCHEMA).drop("user")
    return every if len(found) < 2 else _summed(every.sort("item", "other", maintain_order=True))


def _of_users(liked: pl.DataFrame, now: float, config: Config) -> pl.DataFrame:
    users, items = liked["user_row"].to_numpy(), liked["item_row"].to_numpy()
    times = epoch_seconds(liked["timestamp"])
    fresh = np.exp2(-np.maximum(now - times, 0) / SECONDS_PER_DAY / config.half_life_days)
    found = []
    for apart in range(1, min(config.window, len(users) - 1) + 1):
        near = (users[apart:] == users[:-apart]) & (items[apart:] != items[:-apart])
        near &= times[apart:] - times[:-apart] <= config.gap_days * SECONDS_PER_DAY
        later = np.flatnonzero(near) + apart
        earlier, worth = later - apart, fresh[later] / apart
        for first, second, factor in ((earlier, later, 1.0), (later, earlier, config.backward)):
            if factor:
                columns = (users[first], items[first], items[second], worth * factor)
                found.append(pl.DataFrame(dict(zip(SCHEMA, columns, strict=True)), schema=SCHEMA))
    every = pl.concat(found) if found else pl.DataFrame(schema=SCHEMA)
    once = every.group_by("user", "item", "other").agg(pl.col("weight").max())
    return _summed(once.sort("item", "other", "user"))


def _summed(ordered: pl.DataFrame) -> pl.DataFrame:
    """Sum the weights of each pair, in the order of the rows, so that the same data gives the same bytes."""
    return ordered.group_by("item", "other", maintain_order=True).agg(pl.col("weight").sum())
