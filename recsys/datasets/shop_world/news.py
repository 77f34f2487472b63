"""Scenario `news`: articles appear all the time and age in hours, readers have short sessions, no article has text.

The attraction of an article halves about every `HALF_LIFE_HOURS` (each article has its own half-life). A session starts
with an article of the reader's topic, drawn by attraction. Each next click follows, with probability `FOLLOW_SHARE`, a
link of the present article to a slightly older article of its topic, so that co-visits have a direction.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl

from recsys.datasets.shop_world.catalogue import after_start, events, ids
from recsys.datasets.shop_world.config import Config
from recsys.datasets.shop_world.items import Floats, Ints, drawn

N_TOPICS = 12
OWN_TOPIC_SHARE = 0.6  # share of sessions in the reader's topic; the others are in any topic
OWN_TOPIC = 6.0  # factor of the attraction of articles in the session's topic
HALF_LIFE_HOURS, HALF_LIFE_SIGMA, QUALITY_SIGMA = 6.0, 0.5, 1.2
CLICKS, MOST_CLICKS = 2.5, 12
FOLLOW_SHARE, N_LINKS = 0.5, 3
READ_S = 90.0


@dataclass(frozen=True)
class Articles:
    """The articles. born: (n_items,) hours since the start of the log; half_life: (n_items,) hours; links: (n_items,
    N_LINKS) rows of the linked articles, or the article's own row if there are none."""

    topic: Ints
    born: Floats
    half_life: Floats
    quality: Floats
    links: Ints

    def attraction(self, hour: float) -> Floats:
        """Return (n_items,) attraction of each article in the hour that begins at `hour`, 0 before its publication."""
        age = hour - self.born
        return np.where(age >= 0, self.quality * 0.5 ** (np.maximum(age, 0.0) / self.half_life), 0.0)


def articles(config: Config, seed: int) -> Articles:
    """Draw the articles; those that are not new were published before the log, at the same rate as new ones."""
    rng = np.random.default_rng([seed, 0])
    n, hours = config.items, 24.0 * config.days
    n_new = round(config.new_item_share * n)
    before = hours * (n - n_new) / max(n_new, 1)
    born = rng.permutation(np.concatenate([rng.uniform(0, hours, n_new), rng.uniform(-before, 0, n - n_new)]))
    topic = rng.integers(N_TOPICS, size=n)
    links = np.tile(np.arange(n)[:, None], N_LINKS)
    for own in range(N_TOPICS):
        rows = np.flatnonzero(topic == own)
        rows = rows[np.argsort(born[rows])]
        for step in range(1, N_LINKS + 1):
            links[rows[step:], step - 1] = rows[:-step]
    return Articles(
        topic=topic,
        born=born,
        half_life=HALF_LIFE_HOURS * rng.lognormal(0.0, HALF_LIFE_SIGMA, size=n),
        quality=rng.lognormal(0.0, QUALITY_SIGMA, size=n),
        links=links,
    )


def draw(config: Config, seed: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return raw items and exactly `config.events` clicks, sorted by time."""
    found, rng = articles(config, seed), np.random.default_rng([seed, 1])
    lengths = np.minimum(rng.geometric(1 / CLICKS, size=config.events), MOST_CLICKS)
    lengths = lengths[: np.searchsorted(np.cumsum(lengths), config.events) + 1]
    user_weight = rng.lognormal(0.0, 1.0, size=config.users)
    user = rng.choice(config.users, size=len(lengths), p=user_weight / user_weight.sum())
    topics = rng.integers(N_TOPICS, size=config.users)
    topic = np.where(rng.random(len(user)) < OWN_TOPIC_SHARE, topics[user], rng.integers(N_TOPICS, size=len(user)))
    share = 1.0 + 0.8 * np.sin(2 * np.pi * (np.arange(24 * config.days) - 9) / 24)  # few sessions at night
    hour = rng.choice(len(share), size=len(lengths), p=share / share.sum())
    item = np.full((len(lengths), MOST_CLICKS), -1)
    for now in np.unique(hour):
        here = np.flatnonzero(hour == now)
        item[here] = _clicks(found, float(now), topic[here], rng)
    step = np.arange(MOST_CLICKS)
    seconds = hour * 3600.0 + rng.uniform(0, 3600, size=len(hour))
    waited = np.cumsum(rng.exponential(READ_S, size=item.shape), axis=1)
    read = step < lengths[:, None]
    who = np.broadcast_to(user[:, None], item.shape)[read]
    clicks = events("n", who, item[read], after_start(config, (seconds[:, None] + waited)[read] * 1e6), "click")
    born = after_start(config, np.floor(found.born * 3600) * 1e6)
    items = pl.DataFrame({"item_id": ids("n", pl.Series(np.arange(config.items))), "first_seen": born})
    return items, clicks.head(config.events).sort("timestamp", maintain_order=True)


def _clicks(found: Articles, hour: float, topic: Ints, rng: np.random.Generator) -> Ints:
    """Return (n_sessions, MOST_CLICKS) rows of the articles read, in order. topic: (n_sessions,); hour: the start."""
    attraction = found.attraction(hour)
    if not attraction.any():
        attraction = np.where(found.born == found.born.min(), 1.0, 0.0)
    weights = np.where(found.topic == np.arange(N_TOPICS)[:, None], OWN_TOPIC, 1.0) * attraction
    clicks = drawn(weights, topic[:, None], rng.random((len(topic), MOST_CLICKS)))
    follows = rng.random(clicks.shape) < FOLLOW_SHARE
    link = rng.integers(N_LINKS, size=clicks.shape)
    for step in range(1, MOST_CLICKS):
        linked = found.links[clicks[:, step - 1], link[:, step]]
        clicks[:, step] = np.where(follows[:, step], linked, clicks[:, step])
    return np.asarray(clicks)
