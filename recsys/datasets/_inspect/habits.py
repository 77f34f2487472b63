"""Guesses settings from a sample of the events: the split protocol, repeats, and the lowest rating that is a like."""

from typing import Any

import numpy as np
import polars as pl

from recsys.contracts import SECONDS_PER_DAY
from recsys.datasets._files.times import read_times
from recsys.datasets._inspect.roles import Table

LIKE_SHARE = 0.45  # at least this share of the ratings are likes
ONE_VISIT, MOST = 0.01, 0.6  # of the time that the sample covers; of the users
REPEATED, DAYS_APART = 0.1, 0.5  # of the later events of users who came on several days


def like_from(ratings: pl.Series) -> float:
    """Return the lowest rating that is a like: the highest with which at least 45% of the ratings are likes. With three
    different ratings or more, the second highest is always a like.

    >>> like_from(pl.Series(["1", "3", "4", "4", "5"]))
    4.0
    >>> like_from(pl.Series(["1", "4", "5", "5", "5"]))
    4.0
    """
    values = ratings.cast(pl.Float64, strict=False).drop_nulls().sort(descending=True)
    different = values.unique().sort(descending=True)
    highest = different[1] if len(different) > 2 else different[0]
    return min(float(values[int(LIKE_SHARE * len(values))]), float(highest))


def split(events: Table, bought: bool) -> dict[str, Any]:
    """Return the settings `split` without `target_events`. bought: whether the events are purchases.

    The protocol is `global_time` or, if most users came only once, `per_user_holdout`: few of such users would have a
    history before the window. If the file is in the order of time, its sample covers too short a time to show whether
    users come again, so the protocol is `global_time`.
    """
    found: dict[str, Any] = {"protocol": "global_time", "valid_share": 0.1, "test_share": 0.2}
    table = _times(events)
    if table is None:
        return found
    age, seconds = pl.col("seconds"), table["seconds"].to_numpy()
    spans = (
        table.group_by("user").agg(span=age.max() - age.min(), n=pl.len()).filter(pl.col("n") > 1)["span"].to_numpy()
    )
    once = (spans <= ONE_VISIT * np.ptp(seconds)).sum() >= MOST * max(len(spans), 1)
    if once and np.ptp(seconds) > SECONDS_PER_DAY and (np.diff(seconds) < 0).any():
        found |= {"protocol": "per_user_holdout", "cold_item_share": 0.1}
    apart = DAYS_APART * SECONDS_PER_DAY
    again = table.filter(age - age.min().over("user") >= apart).height * REPEATED
    if bought and 0 < again <= table.filter(age - age.min().over("user", "item") >= apart).height:
        found["allow_repeat"] = True
    return found


def _times(events: Table) -> pl.DataFrame | None:
    """Return the columns user, item and time (seconds) of the sample; None if the file lacks one of them."""
    if events.missing:
        return None
    user, item, time = (events.roles[name] for name in ("user_id", "item_id", "timestamp"))
    raw = events.sample.table.select(user=pl.col(user.name), item=pl.col(item.name), time=pl.col(time.name))
    read = read_times("time", pl.String(), time.form, None).struct.field("time")
    table = raw.with_columns(seconds=read.dt.epoch("s")).drop("time").drop_nulls()
    return table if table.height else None
