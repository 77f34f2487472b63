"""Counts the likes since the training from the newest events, so that demand is up to date between trainings.

    events = LiveEvents(max_events=100_000, max_person_day=1000)
    events.add(frame)                                   # in any order; an event that is added twice counts once
    counts = count(events.likes(since, now), bundle, now, position)

    demand(i) = sum over persons who liked i of share * 0.5 ** (age of the person's newest like of i / half-life)
              + recent(i) * 0.5 ** (time since the training / half-life)
              + prior * recent(i) / sum of recent

A person is a user or a visitor, and counts once per item. share: 1, but less for the 5 % of persons with most likes, so
that their shares add up to no more than those of the person at the 95th percentile. half-life: the bundle's
`recent_half_life_days`. recent: the item's decayed likes at the end of the training data (`Catalogue.recent`). prior: a
number of persons (see `prior_persons`) whose part does not decay, so that in a quiet shop a few clicks do not outweigh
the training. Anyone can invent ids of visitors: so a visitor with a single liked item does not count, and of several
visitors whose likes of an item arrive together, as in one request, only one counts. A person with more events on a day
(UTC) than a human produces is left out, as in `recsys/data/prepare.py`.
"""

from collections.abc import Callable, Mapping
from functools import partial
from hashlib import blake2b
from io import BytesIO
from typing import Any

import numpy as np
import polars as pl

from recsys.bundle.bundle import Bundle
from recsys.bundle.catalogue import Catalogue
from recsys.contracts import SECONDS_PER_DAY, Candidates, FloatArray, ItemItem, LiveCounts
from recsys.schemas.store_schema import GUEST_PERSON

SCHEMA = {
    "event_id": pl.String, "person": pl.String, "item_id": pl.String, "liked": pl.Boolean, "time": pl.Float64,
    "received": pl.Float64,
}  # fmt: skip
LIKES = {"person": pl.String, "item_id": pl.String, "time": pl.Float64, "share": pl.Float64}
FEWEST_PERSONS = 3.0  # persons who must like an unknown item before it ranks above the most popular one of the training
TOGETHER_S = 0.001  # the events of a request are a microsecond apart, and a request holds at most 1,000
SESSION_S, WINDOW = 1800.0, 5  # seconds, likes: likes further apart are no co-visit
FOLLOWS = {"half_life_days": SESSION_S / SECONDS_PER_DAY, "last": WINDOW, "place_decay": 0.5}
BUSY = 0.95  # the quantile of persons up to which a person's likes count in full


class LiveEvents:
    """Keeps the newest `max_events` events. max_person_day: most events of a person on a day, None: unlimited."""

    def __init__(self, max_events: int, max_person_day: int | None = None) -> None:
        self._max_events, self._max_person_day = max_events, max_person_day
        self._events = pl.DataFrame(schema=SCHEMA)

    def __len__(self) -> int:
        return self._events.height

    def add(self, events: pl.DataFrame) -> None:
        """Add events with the columns of `SCHEMA`: times in UTC seconds; `liked`: whether the event is a like."""
        joined = pl.concat([self._events, events.with_columns(pl.min_horizontal("time", "received"))])
        joined = joined.unique("event_id", keep="first", maintain_order=True)
        if self._max_person_day is not None:  # one event above the limit is enough for `likes`
            joined = joined.filter(pl.int_range(pl.len()).over("person", _DAY) <= self._max_person_day)
        self._events = joined.sort("time", "event_id").tail(self._max_events)

    def likes(self, since: float, now: float) -> pl.DataFrame:
        """Return each person's newest like of each item in (since, now], UTC seconds. Columns: person, item_id, time,
        share (in (0, 1], the weight of the like)."""
        events = self._events.filter(pl.col("time") <= now)
        if self._max_person_day is not None:
            events = events.filter((pl.len().over("person", _DAY).max().over("person")) <= self._max_person_day)
        likes = events.filter(pl.col("liked"), pl.col("time") > since)
        likes = likes.unique(["person", "item_id"], keep="last", maintain_order=True)
        guest = pl.col("person").str.starts_with(GUEST_PERSON)
        alone = guest & (pl.len().over("person") == 1)
        gap = pl.col("received").diff().over("item_id", guest.alias("guest"), order_by=["received", "person"])
        likes = likes.filter(~alone & ~(guest & (gap <= TOGETHER_S).fill_null(False))).sort("person", "item_id")
        items = likes.group_by("person").len()["len"]
        most = 1 if items.is_empty() else items.quantile(BUSY, "lower")
        return likes.with_columns(share=(pl.lit(most) / pl.len().over("person")).clip(upper_bound=1.0)).select(*LIKES)


_DAY = (pl.col("time") // SECONDS_PER_DAY).alias("day")


def demand(likes: pl.DataFrame, half_life_days: float, now: float) -> pl.DataFrame:
    """Return a table, largest demand first: item_id, demand (sum of the item's decayed likes), persons (number of
    persons who like it). likes: the result of `LiveEvents.likes`; now: UTC seconds."""
    age_days = (now - pl.col("time")).clip(lower_bound=0) / SECONDS_PER_DAY
    counted = pl.lit(0.5).pow(age_days / half_life_days) * pl.col("share")
    grouped = likes.with_columns(counted=counted).group_by("item_id", maintain_order=True)
    summed = grouped.agg(demand=pl.col("counted").sum(), persons=pl.len())
    return summed.sort("demand", "item_id", descending=[True, False])


def count(
    likes: pl.DataFrame, bundle: Bundle, now: float, position: Callable[[str], int | None], read_at: float | None = None
) -> LiveCounts:
    """Count the recent likes of each item of the bundle, decayed to `now`. likes: the result of `LiveEvents.likes`;
    position: item_id -> row, None if unknown; now; read_at: when the events were read, by default now; UTC seconds."""
    half_life_days = bundle.manifest.recent_half_life_days
    counted = demand(likes, half_life_days, now)
    rows = {item_id: position(item_id) for item_id in counted["item_id"]}
    follows = co_visits(likes, rows, len(bundle.catalogue), half_life_days, now)
    known = [(row, more) for row, more in zip(rows.values(), counted["demand"], strict=True) if row is not None]
    sums = {
        "times": np.array([now, now if read_at is None else read_at]),
        "rows": np.array([row for row, _ in known], dtype=np.int32),
        "demand": np.array([more for _, more in known], dtype=np.float64),
        "indptr": follows.indptr,
        "follows": follows.rows,
        "scores": follows.scores,
    }
    return _from_sums(sums, bundle)


def unpack(packed: bytes, bundle: Bundle) -> LiveCounts:
    """Return the counts from bytes that `LiveCounts.pack` returned for the same bundle; they have no ids of persons."""
    with np.load(BytesIO(packed), allow_pickle=False) as sums:
        return _from_sums(dict(sums), bundle)


def _from_sums(sums: dict[str, Any], bundle: Bundle) -> LiveCounts:
    (now, read_at), manifest, catalogue = sums["times"].tolist(), bundle.manifest, bundle.catalogue
    recent = catalogue.recent.astype(np.float64)
    age_days = max(now - manifest.trained_until.timestamp(), 0.0) / SECONDS_PER_DAY
    fresh = 0.5 ** (age_days / manifest.recent_half_life_days)
    total = recent * (fresh + prior_persons(catalogue) / max(recent.sum(), 1e-9))
    total[sums["rows"]] += sums["demand"]
    summed: FloatArray = total.astype(np.float32)
    order = np.argsort(-summed, kind="stable").astype(np.int32)
    order = order[summed[order] > 0]
    follows = ItemItem(sums["indptr"], sums["follows"], sums["scores"], FOLLOWS)
    version = blake2b(b"".join(array.tobytes() for array in sums.values()), digest_size=8).hexdigest()
    popular = Candidates(order, summed[order])
    return LiveCounts(read_at, summed, float(total.sum()), popular, follows, version, partial(_packed, sums))


def _packed(sums: Mapping[str, Any]) -> bytes:
    file = BytesIO()
    np.savez_compressed(file, **sums)
    return file.getvalue()


def co_visits(
    likes: pl.DataFrame, rows: Mapping[str, int | None], n_items: int, half_life_days: float, now: float
) -> ItemItem:
    """Estimate the probability that an item is liked next after another one. rows: item_id -> row, None if unknown.

        pair(i, j) = sum over persons who liked j after i, at most `WINDOW` likes and `SESSION_S` seconds later, of
                     share * 0.5 ** (age of the like of j / half-life) / distance
        score(i, j) = pair(i, j) / (sum over j of pair(i, j) + number of different j)

    distance: 1 if j is the person's next like after i, 2 if the one after that, ...; share: the column of `likes`.
    The scores of an item sum to less than 1: the rest is the probability of a pair that was not seen yet.

    Source: Witten and Bell, "The zero-frequency problem", 1991, method C, for the number of different j.
    """
    ordered = likes.sort("person", "time", "item_id").with_columns(
        row=pl.col("item_id").replace_strict(rows, default=None, return_dtype=pl.Int32)
    )
    same, fresh = pl.col("person"), pl.lit(0.5).pow((now - pl.col("time")) / SECONDS_PER_DAY / half_life_days)
    pairs = pl.concat(
        ordered.select(
            item=pl.col("row").shift(apart),
            other="row",
            worth=fresh * pl.col("share") / apart,
            near=(same == same.shift(apart)) & (pl.col("time") - pl.col("time").shift(apart) <= SESSION_S),
        )
        for apart in range(1, WINDOW + 1)
    )
    pairs = pairs.filter("near").drop_nulls().group_by("item", "other").agg(pl.col("worth").sum())
    pairs = pairs.sort("item", "other").with_columns(
        score=pl.col("worth") / (pl.col("worth").sum() + pl.len()).over("item")
    )
    sizes = np.bincount(pairs["item"].to_numpy(), minlength=n_items)
    return ItemItem(
        indptr=np.concatenate([[0], np.cumsum(sizes)]),
        rows=pairs["other"].to_numpy(),
        scores=pairs["score"].cast(pl.Float32).to_numpy(),
        params=FOLLOWS,
    )


def prior_persons(catalogue: Catalogue) -> float:
    """Return the weight of the training's demand, as a number of persons: lower, the more demand changes over time.

    It is the concentration of a Dirichlet distribution around p, the items' shares of `popularity`, estimated from the
    variance of q, their shares of n, the sum of `recent`: on average sum (q - p)^2 is (1 - sum p^2) / (1 + prior)
    + (1 - sum q^2) / n. It is cut to n, then raised, if needed, until the largest prior * q is `FEWEST_PERSONS`.

    Source: Minka, "Estimating a Dirichlet distribution", 2000, for the moments.
    """
    n = float(catalogue.recent.sum(dtype=np.float64))
    if n <= 0:
        return 0.0
    recent = catalogue.recent / n
    ever = catalogue.popularity / max(float(catalogue.popularity.sum(dtype=np.float64)), 1e-9)
    drift = float(((recent - ever) ** 2).sum()) - (1 - float((recent**2).sum())) / n
    spread = 1 - float((ever**2).sum())
    prior = min(n, spread / drift - 1) if drift > 0 else n
    return max(prior, FEWEST_PERSONS / float(recent.max()))
