"""Evaluates next-event prediction: the list before each event of the window, with and without live counts.

The events of the window are replayed in the order of time. Before each sampled event every variant makes two lists:
one from the bundle alone, and one with live counts of all events until then (`recsys/recommend/live_counts.py`), which
are updated every `refresh_s` seconds. Both use the user's complete history. Their difference is the value of other
users' events since the training, and the curve by hours shows how fast a bundle ages.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import polars as pl

from recsys.contracts import EMPTY_HISTORY, BoolArray, History, IntArray, Query, epoch_seconds
from recsys.data.split import WINDOWS, ScoredFold, Split
from recsys.errors import RecsysError
from recsys.recommend import live_counts
from recsys.recommend.live_counts import LiveEvents
from recsys.recommend.recommender import Recommender

LIVE = ", live"  # suffix of a variant with live counts
MAX_EVENTS = 100_000  # that are counted, as in `serving/settings.py`


@dataclass(frozen=True)
class NextEvents:
    """The sampled events, and the lists made before each. users: (n,) int32 user rows; targets: (n,) int32 item rows.

    hours: (n,) float64 since the training; born: (n,) bool, whether the item has no event in the fit set; lists:
    variant -> (n, k) int32 item rows, padded with -1.
    """

    users: IntArray
    hours: npt.NDArray[np.float64]
    targets: IntArray
    born: BoolArray
    lists: Mapping[str, IntArray]


def replay(
    recommenders: Mapping[str, Recommender],
    split: Split,
    fold: ScoredFold,
    max_events: int,
    refresh_s: float,
    seed: int,
    k: int = 10,
) -> NextEvents:
    """Make the lists of all recommenders before each of at most `max_events` sampled events of the window.

    recommenders: variant -> recommender, all on the same bundle. Events on items of the user's history are not sampled,
    unless the data set allows repeats.

    Raises:
        RecsysError: "variant 'als': source als failed; see the log for the cause"
    """
    bundle = next(iter(recommenders.values())).bundle
    trained, position = split.now(fold), lru_cache(None)(bundle.catalogue.ids.position)
    events = split.interactions.filter(pl.col("fold") <= WINDOWS[fold]).sort("timestamp", "user_row", "item_row")
    times, users = epoch_seconds(events["timestamp"]), events["user_row"].to_numpy()
    rows, weights = events["item_row"].to_numpy(), events["weight"].to_numpy()
    fitted = int((events["fold"] < WINDOWS[fold]).sum())
    stream = _stream(events, split)
    live, fed, counts = LiveEvents(MAX_EVENTS), fitted, None
    known = np.bincount(rows[:fitted], minlength=split.facts.n_items) > 0
    asked = _sampled(events, split, fold, max_events, seed)
    of_user = {user: np.flatnonzero(users == user) for user in np.unique(users[asked]).tolist()}
    names = [name + kind for name in recommenders for kind in ("", LIVE)]
    lists = {name: np.full((len(asked), k), -1, dtype=np.int32) for name in names}
    for at, place in enumerate(asked.tolist()):
        moment = float(times[place])
        if counts is None or moment - counts.read_at >= refresh_s:
            until = int(np.searchsorted(times, moment))
            live.add(stream[fed:until])
            fed, counts = until, live_counts.count(live.likes(trained, moment), bundle, moment, position)
        before = of_user[int(users[place])]
        before = before[before < place]
        history = History(rows[before], weights[before], times[before]) if len(before) else EMPTY_HISTORY
        user_id = split.users["user_id"][int(users[place])]
        attributes = bundle.histories.query_attributes(user_id, {})
        frozen = Query(history, k, moment, user_id, seed=seed, shown_at=moment, attributes=attributes)
        for name, recommender in recommenders.items():
            for label, query in ((name, frozen), (name + LIVE, replace(frozen, live=counts))):
                slate = recommender.recommend(query)
                if slate.degraded:
                    raise RecsysError(f"variant {name!r}: {', '.join(slate.failed)} failed; see the log for the cause")
                lists[label][at, : len(slate.slots)] = [slot.row for slot in slate.slots]
    return NextEvents(users[asked], (times[asked] - trained) / 3600.0, rows[asked], ~known[rows[asked]], lists)


def _stream(events: pl.DataFrame, split: Split) -> pl.DataFrame:
    seconds = epoch_seconds(events["timestamp"])
    return pl.DataFrame(
        {
            "event_id": pl.int_range(events.height, eager=True).cast(pl.String),
            "person": "u:" + split.users["user_id"].gather(events["user_row"]),
            "item_id": split.catalogue["item_id"].gather(events["item_row"]),
            "liked": events["weight"] > 0,
            "time": seconds,
            "received": seconds,
        }
    )


def _sampled(events: pl.DataFrame, split: Split, fold: ScoredFold, max_events: int, seed: int) -> npt.NDArray[np.intp]:
    inside, kinds = pl.col("fold") == WINDOWS[fold], split.facts.target_events
    wanted = inside & pl.col("event").is_in(kinds) & (pl.col("weight") > 0)
    if not split.facts.allow_repeat:  # per target, only the first event in this window
        pair = ["user_row", "item_row"]
        wanted = wanted.any().over(pair) & inside & pl.struct(pair).is_first_distinct()
    target = events.select(wanted=wanted)["wanted"]
    places = np.flatnonzero(target.to_numpy())
    if len(places) > max_events:
        places = np.sort(np.random.default_rng(seed).choice(places, max_events, replace=False))
    return places
