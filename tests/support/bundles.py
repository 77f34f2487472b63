"""A bundle small enough to know every right answer: two tastes, one model, and one of every odd user and item."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from recsys.bundle import bundle, embeddings, index
from recsys.contracts import Embeddings, FloatArray, ItemItem
from recsys.params import Params

START = datetime(2024, 1, 1, tzinfo=UTC)
NOW = datetime(2024, 2, 1, tzinfo=UTC)

KITCHEN, GARDEN = list(range(10)), list(range(10, 20))
NEW = [20, 21]  # no model knows them
SOLD_OUT = 22  # a kitchen item that everybody bought
ODD = 23  # a garden item
ITEM_IDS = [f"kitchen-{row}" for row in KITCHEN] + [f"garden-{row}" for row in GARDEN] + ["new-20", "new-21"]
ITEM_IDS += ["sold-out", "ünï çødé/23?"]
N_ITEMS = len(ITEM_IDS)

HISTORIES: dict[str, list[int]] = {
    "anna": [0, 1, 2, 3, SOLD_OUT],  # kitchen
    "ben": [10, 11, 12, 13, SOLD_OUT],  # garden
    "both": [0, 10, SOLD_OUT],
    "everything": list(range(N_ITEMS)),
    "looker": [0, 1],  # both events of weight 0
    "newcomer": [],  # in the table of users, without an event
    "only new": [20],  # knows only what no model knows
    "żółw/🐢": [4, ODD],
}
RULES = [{"name": "seen"}, {"name": "available"}]
ALS = {"source": "nearest", "config": {"model": "als"}}
VARIANTS: dict[str, Any] = {
    "random": {"sources": [{"source": "random"}], "rules": RULES},
    "popular": {"sources": [{"source": "popular"}], "rules": RULES},
    "als": {"sources": [ALS], "rules": RULES},
    "als_recent": {"sources": [ALS], "ranker": {"name": "recency", "config": {"smoothing": 1}}, "rules": RULES},
    "covisit": {"sources": [{"source": "item_item", "config": {"model": "covisit"}}], "rules": RULES},
    "repeat": {"sources": [{"source": "repeat"}], "rules": RULES},
    "newcomers": {"sources": [ALS], "new_item_share": 0.3, "rules": RULES},
    "mixed": {
        "sources": [{**ALS, "share": 0.5}, {"source": "popular", "share": 0.3}, {"source": "random", "share": 0.2}],
        "rules": RULES,
    },
}


def settings(allow_repeat: bool = False) -> Params:
    """Settings of a data set called `hand-made`."""
    dataset = {
        "adapter": {},
        "event_weights": {"view": 1.0, "purchase": 5.0, "rating": 0.0},
        "thresholds": {
            **dict.fromkeys(["min_interactions", "min_users", "min_items"], 1),
            **dict.fromkeys(["max_rejected_share", "max_duplicate_share", "max_orphan_share"], 1.0),
        },
        "split": {
            "protocol": "global_time",
            "valid_share": 0.1,
            "test_share": 0.1,
            "target_events": ["purchase"],
            "allow_repeat": allow_repeat,
        },
        "recent_half_life_days": 7,
        "models": {},
        "release_candidates": ["als"],
    }
    return Params.model_validate(
        {
            "dataset": "hand-made",
            "seed": 1,
            "threads": 1,
            "datasets": {"hand-made": dataset},
            "models": {"als": {}, "covisit": {}},
            "index": {"exact_up_to": 1000, "min_recall": 0.9, "recall_at": 10, "sample": 10},
            "variants": VARIANTS,
            "evaluate": {
                "at": [10],
                "max_users": 10,
                "baselines": ["popular", "als"],
                "warm_events": 5,
                "new_user_items": [0, 1, 3],
                "dormant_days": 30,
                "bootstrap": 100,
                "confidence": 0.95,
            },
            "gate": {"metric": "ndcg@10", "segment": "all", "baseline": "popular"},
        }
    )


def catalogue() -> pl.DataFrame:
    """Items in row order as `recsys/data/split.py` writes them."""
    groups = [["kitchen"]] * 10 + [["garden", "garden > tools"]] * 10 + [[], [], ["kitchen"], ["garden"]]
    first_seen = [None if row in NEW else START for row in range(N_ITEMS)]
    return pl.DataFrame(
        {
            "row": np.arange(N_ITEMS, dtype=np.int32),
            "item_id": ITEM_IDS,
            "title": [f"Title of {item_id}" for item_id in ITEM_IDS],
            "text": [""] * N_ITEMS,
            "categories": groups,
            "price": [None] + [1.5] * (N_ITEMS - 1),
            "available": [row != SOLD_OUT for row in range(N_ITEMS)],
            "first_seen": first_seen,
        },
        schema_overrides={"categories": pl.List(pl.String), "first_seen": pl.Datetime("us", "UTC")},
    )


def interactions() -> pl.DataFrame:
    """The histories as events, one an hour."""
    rows = [
        (user, row, START + timedelta(hours=place), "view", None, 0.0 if user_id == "looker" else 1.0)
        for user, (user_id, history) in enumerate(HISTORIES.items())
        for place, row in enumerate(history)
    ]
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
    return pl.DataFrame(rows, schema=schema, orient="row")


def vectors() -> FloatArray:
    """(24, 3) float32: kitchen, garden, and a number that tells items apart; zeros for new items."""
    made = np.zeros((N_ITEMS, 3), dtype=np.float32)
    made[[*KITCHEN, SOLD_OUT], 0] = 1
    made[[*GARDEN, ODD], 1] = 1
    made[:, 2] = np.arange(N_ITEMS) / 100
    made[NEW] = 0
    return made


def model(made: FloatArray | Embeddings, folder: Path) -> None:
    """Write a fitted model, or vectors as those of ALS, with its index; rows of zeros are items that it has not met."""
    if not isinstance(made, Embeddings):
        known = np.flatnonzero(made.any(axis=1)).astype(np.int32)
        gram = made.T @ made + 0.1 * np.eye(made.shape[1], dtype=np.float32)
        params = {"alpha": 10.0, "half_life_days": 365.0}
        made = Embeddings(made, known, "als_fold_in", params, {"gram": gram.astype(np.float32)})
    embeddings.save(made, folder)
    index.build(made.vectors, made.rows, settings().index, seed=1).save(folder)


def pairs() -> ItemItem:
    """From every kitchen item to the other kitchen items, the next one first, and likewise in the garden."""
    owners, others = np.divmod(np.arange(N_ITEMS**2), N_ITEMS)
    alike = (owners != others) & (np.maximum(owners, others) < NEW[0]) & (owners // 10 == others // 10)
    owners, others = owners[alike], others[alike]
    scores = 1 / (1 + (others - owners) % 10).astype(np.float32)
    params = {"half_life_days": 1000.0, "last": 10, "place_decay": 1.0}
    indptr = np.concatenate([[0], np.cumsum(np.bincount(owners, minlength=N_ITEMS))])
    return ItemItem(indptr, others.astype(np.int32), scores, params)


def write(
    folder: Path,
    made: FloatArray | Embeddings | None = None,
    allow_repeat: bool = False,
    calibration: Path | None = None,
    rankers: dict[str, Path] | None = None,
) -> Path:
    """Write the bundle into `folder`, by default with `vectors()`."""
    parts_folder = folder.with_name(folder.name + ".model")
    model(vectors() if made is None else made, parts_folder)
    pairs_folder = folder.with_name(folder.name + ".pairs")
    embeddings.save_pairs(pairs(), pairs_folder)
    parts = bundle.Parts(
        interactions=interactions(),
        catalogue=catalogue(),
        users=pl.DataFrame({"user_row": np.arange(len(HISTORIES), dtype=np.int32), "user_id": list(HISTORIES)}),
        now=NOW.timestamp(),
        models={"als": (parts_folder, parts_folder), "covisit": (pairs_folder, pairs_folder)},
        calibration=calibration,
        rankers=rankers or {},
    )
    metrics = {"gate": "made by hand, nothing was measured", "variants": {"als": {"ndcg@10": 0.5}}}
    bundle.write(parts, settings(allow_repeat), metrics, folder)
    return folder
