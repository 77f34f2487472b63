"""Scenario `control`: likes depend on tastes and popularity only: no order, repeats, ageing or words.

Likes are drawn once from all pairs of users and items, and their times independently. So sources that use time,
sessions or repeats cannot improve anything here, and a pipeline that still releases them chooses wrongly.
"""

import numpy as np
import polars as pl

from recsys.datasets.shop_world.catalogue import after_start, events, ids
from recsys.datasets.shop_world.config import Config

N_TASTES, FOCUS = 10, 3.0
ACTIVITY_SIGMA = 0.8
ZIPF_EXPONENT, ZIPF_OFFSET = 0.7, 10.0


def draw(config: Config, seed: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return raw items and exactly `config.events` likes of different user-item pairs, sorted by time."""
    rng = np.random.default_rng([seed, 0])
    liked = rng.dirichlet(np.full(N_TASTES, 0.3), size=config.users)
    about = rng.dirichlet(np.full(N_TASTES, 0.3), size=config.items)
    pull = FOCUS * np.log(liked @ about.T + 0.01) + rng.normal(0.0, ACTIVITY_SIGMA, size=(config.users, 1))
    pull -= ZIPF_EXPONENT * np.log(rng.permutation(config.items) + ZIPF_OFFSET)
    pull += rng.gumbel(size=pull.shape)  # Gumbel noise: the largest sums are a weighted draw without replacement
    pairs = np.argsort(-pull.ravel(), kind="stable")[: config.events]
    user, item = np.divmod(rng.permutation(np.sort(pairs)), config.items)
    microseconds = rng.integers(config.days * 86_400 * 10**6, size=config.events)
    likes = events("c", user, item, after_start(config, microseconds), "like")
    items = pl.DataFrame({"item_id": ids("c", pl.Series(np.arange(config.items)))})
    return items, likes.sort("timestamp", "user_id", "item_id")
