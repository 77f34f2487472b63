"""A log of candidates in which it is known what is worth learning."""

import numpy as np
import polars as pl

from recsys.params import RankerParams, VariantParams
from recsys.rankers._learned import features as ranking_features

CONFIG = RankerParams(
    variant="learned",
    max_users=1_000,
    known_items=[1, 10],
    negatives=10,
    rounds=40,
    num_leaves=7,
    learning_rate=0.2,
    min_data_in_leaf=20,
)
VARIANT = VariantParams.model_validate({"sources": [{"source": "nearest", "config": {"model": "als"}}]})
N_CASES, N_CANDIDATES = 300, 30


def planted() -> pl.DataFrame:
    """Users with few likes want what is like their likes and in demand at once; those with many, what scores high."""
    random = np.random.default_rng(5)
    case = np.repeat(np.arange(N_CASES, dtype=np.int32), N_CANDIDATES)
    liked = np.repeat(random.choice([1, 10, 40], N_CASES), N_CANDIDATES).astype(np.int32)
    features = {
        name: random.normal(size=len(case)).astype(np.float32) for name in ranking_features.names(["als"])
    } | {"liked": liked.astype(np.float32)}  # fmt: skip
    both = np.minimum(features["als_likeness"], features["recent_demand"])
    wish = np.where(liked > 10, features["als_score"], both) + 0.1 * random.normal(size=len(case))
    wanted = (wish.reshape(N_CASES, -1) >= np.sort(wish.reshape(N_CASES, -1))[:, [-3]]).ravel()
    late = wanted & (np.arange(len(case)) % 3 == 0)
    unknown = np.full(len(case), np.nan, dtype=np.float32)
    features |= dict.fromkeys(ranking_features.OF_REPEAT, unknown)
    return pl.DataFrame(
        {
            "case": case,
            "user": case,
            "n_wanted": np.full(len(case), 3, dtype=np.int32),
            "n_late": np.full(len(case), 1, dtype=np.int32),
            "whole_history": liked > 10,
            "held_out": case % 3 == 0,
            "wanted": wanted,
            "late": late,
            **features,
        }
    )
