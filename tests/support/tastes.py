"""A shop in which every taste has its words, so that it is known who will like an item that nobody has met."""

import dataclasses
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from recsys.bundle import bundle, embeddings, index
from recsys.contracts import Embeddings, History, Query, TrainingData
from recsys.models import content
from recsys.params import Params
from tests.support import bundles

WORDS = {
    "kitchen": "pan whisk ladle apron kettle spoon",
    "garden": "spade hose trowel hedge seeds rake",
    "music": "guitar vinyl strings amp chord drum",
    "sea": "anchor sail buoy oar harbour tide",
}
TASTES = list(WORDS)
ITEMS_A_TASTE, USERS_A_TASTE, LIKES = 15, 40, 9
N_SOLD = len(TASTES) * ITEMS_A_TASTE
NEW = dict(zip(TASTES, range(N_SOLD, N_SOLD + len(TASTES)), strict=True))  # one item a taste that nobody has met
SILENT = N_SOLD + len(TASTES)  # sold, but says nothing of itself
STRANGE = SILENT + 1  # never sold, and all its words are new
EMPTY = SILENT + 2  # never sold and silent
N_ITEMS, N_USERS = SILENT + 3, len(TASTES) * USERS_A_TASTE
NOW = datetime(2024, 3, 1, tzinfo=UTC)


def taste_of(item: int) -> str:
    return TASTES[item // ITEMS_A_TASTE]


def catalogue() -> pl.DataFrame:
    random = np.random.default_rng(1)
    said = [random.choice(WORDS[taste_of(item)].split(), 3, replace=False).tolist() for item in range(N_SOLD)]
    said += [random.choice(WORDS[taste].split(), 3, replace=False).tolist() for taste in NEW]
    titles = [f"{' '.join(words[:2])} {'red' if at % 2 else 'blue'}" for at, words in enumerate(said)]
    texts = [words[2] for words in said]
    categories = [[taste_of(item)] if item % 3 else [] for item in range(N_SOLD)] + [[] for _ in NEW]
    return pl.DataFrame(
        {
            "row": np.arange(N_ITEMS, dtype=np.int32),
            "item_id": [f"i{item}" for item in range(N_ITEMS)],
            "title": [*titles, "", "zyzzyva ünknown", ""],
            "text": [*texts, "", "", ""],
            "categories": [*categories, [], [], []],
            "price": [float(5 + item % 20) for item in range(N_ITEMS - 1)] + [None],
            "available": [True] * N_ITEMS,
            "first_seen": [None] * N_ITEMS,
        },
        schema_overrides={"categories": pl.List(pl.String), "first_seen": pl.Datetime("us", "UTC")},
    )


def interactions() -> pl.DataFrame:
    """Every user likes eight items of the own taste and one of any, and looked at one without liking it."""
    random = np.random.default_rng(2)
    rows = []
    for user in range(N_USERS):
        own = np.arange(ITEMS_A_TASTE) + user // USERS_A_TASTE * ITEMS_A_TASTE
        liked = [*random.choice(own, LIKES - 1, replace=False), random.integers(N_SOLD)]
        liked[0] = SILENT if user % 10 == 0 else liked[0]
        for place, item in enumerate(liked):
            moment = NOW - timedelta(days=int(random.integers(1, 60)) + place / 100)
            rows.append((user, int(item), moment, "like", None, 0.0 if place == 1 and user % 5 == 0 else 1.0))
    schema = pl.Schema(
        {
            "user_row": pl.Int32(),
            "item_row": pl.Int32(),
            "timestamp": pl.Datetime("us", "UTC"),
            "event": pl.String(),
            "value": pl.Float32(),
            "weight": pl.Float32(),
        }
    )
    return pl.DataFrame(rows, schema=schema, orient="row").sort("user_row", "timestamp", "item_row")


def training() -> TrainingData:
    return TrainingData(interactions().lazy(), catalogue(), N_USERS, N_ITEMS, NOW.timestamp(), seed=7, threads=1)


ARRIVED = datetime(2024, 3, 2, tzinfo=UTC)


def arriving(**columns: list[object]) -> pl.DataFrame:
    """One item a taste, said with words of that taste, and one that says nothing."""
    said = [" ".join(words.split()[:2]) for words in WORDS.values()]
    table = {
        "item_id": [f"arrived-{taste}" for taste in TASTES] + ["arrived-silent"],
        "title": [*said, ""],
        "text": [""] * 5,
        "categories": [[]] * 5,
        "price": [9.5] * 5,
        "available": [True] * 5,
        "first_seen": [ARRIVED] * 5,
    }
    return pl.DataFrame({**table, **columns}, schema_overrides={"categories": pl.List(pl.String)})


CONTENT = {"sources": [{"source": "nearest", "config": {"model": "content"}}], "rules": bundles.RULES}
VARIANTS = {
    "popular": bundles.VARIANTS["popular"],
    "content": CONTENT,
    "content_new": {**CONTENT, "new_item_share": 0.2},
}


def open_bundle(folder: Path) -> bundle.Bundle:
    """The shop with a content model and one that knows only what was sold, called als."""
    models: dict[str, dict[str, object]] = {"als": {}, "content": {}}
    shared = bundles.settings().model_dump(by_alias=True)
    settings = Params.model_validate({**shared, "variants": VARIANTS, "models": models})
    fitted = content.fit(training(), content.Config(factors=8, half_life_days=100, hidden=16, epochs=0))
    embeddings.save(fitted, folder / "content")
    index.build(fitted.vectors, fitted.rows, settings.index, seed=1).save(folder / "content")
    als = np.where(np.arange(N_ITEMS)[:, None] < N_SOLD, fitted.vectors[:, :3] + 0.1, 0).astype(np.float32)
    bundles.model(als, folder / "als")
    parts = bundle.Parts(
        interactions=interactions(),
        catalogue=catalogue(),
        users=pl.DataFrame(
            {"user_row": np.arange(N_USERS, dtype=np.int32), "user_id": [f"u{at}" for at in range(N_USERS)]}
        ),
        now=NOW.timestamp(),
        models={name: (folder / name, folder / name) for name in models},
    )
    bundle.write(parts, settings, {}, folder / "bundle")
    return bundle.load(folder / "bundle")


def fan_of(taste: int) -> Query:
    """Somebody who liked three items of one taste."""
    rows = np.arange(taste * ITEMS_A_TASTE, taste * ITEMS_A_TASTE + 3, dtype=np.int32)
    history = History(rows, np.ones(3, dtype=np.float32), np.full(3, NOW.timestamp()))
    return Query(history=history, k=20, now=NOW.timestamp())


# the same shop, where nothing but the vectors that items bring along tells of a taste
CONFIG = content.Config(factors=8, half_life_days=100, hidden=16, epochs=0)
LENGTH = 24


def silent(vectors: bool = True) -> pl.DataFrame:
    """The catalogue without words, categories and prices; each item but the last three brings a vector."""
    random = np.random.default_rng(3)
    taste = np.array([*np.repeat(range(len(TASTES)), ITEMS_A_TASTE), *range(len(TASTES)), 0, 0, 0])
    centres = random.standard_normal((len(TASTES), LENGTH))
    drawn = centres[taste] + 0.4 * random.standard_normal((N_ITEMS, LENGTH)) + 5  # all have a large part in common
    column = pl.Series("vector", drawn.astype(np.float32)).to_frame().with_row_index()
    given = column.select(vector=pl.when(~pl.col("index").is_in([SILENT, STRANGE, EMPTY])).then("vector"))
    said = catalogue().with_columns(
        title=pl.lit(""), text=pl.lit(""), price=pl.lit(None, pl.Float64), categories=pl.lit([], pl.List(pl.String))
    )
    return pl.concat([said, given], how="horizontal") if vectors else said


def silent_training(vectors: bool = True) -> TrainingData:
    return dataclasses.replace(training(), catalogue=silent(vectors))


def write_silent(fitted: Embeddings, folder: Path) -> Path:
    """The folder of a bundle of this model."""
    settings = Params.model_validate(
        {
            **bundles.settings().model_dump(by_alias=True),
            "variants": {"content": {**CONTENT, "new_item_share": 0.05}},
            "models": {"content": {}},
        }
    )
    embeddings.save(fitted, folder / "content")
    index.build(fitted.vectors, fitted.rows, settings.index, seed=1).save(folder / "content")
    users = pl.DataFrame(
        {"user_row": np.arange(N_USERS, dtype=np.int32), "user_id": [f"u{at}" for at in range(N_USERS)]}
    )
    models = {"content": (folder / "content", folder / "content")}
    parts = bundle.Parts(interactions(), silent(), users, training().now, models)
    bundle.write(parts, settings, {}, folder / "bundle", default_variant="content")
    return folder / "bundle"
