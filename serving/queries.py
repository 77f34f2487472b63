"""From a request to the query that the recommender understands: external ids become rows, times become seconds."""

import time

import numpy as np

from recsys.bundle import Bundle
from recsys.contracts import EMPTY_HISTORY, History, Query
from serving.schemas import RecommendRequest, SentEvent

NEUTRAL_WEIGHT = 1.0


def build(bundle: Bundle, asked: RecommendRequest) -> tuple[Query, list[str]]:
    """The query, and a warning for everything in the request that has no effect or less than it could.

    The history is what the bundle knows of the user plus what the client sent, by time.
    """
    warnings: list[str] = []
    known = EMPTY_HISTORY
    if asked.user_id is not None:
        known = bundle.histories.of(asked.user_id)
        if not len(known) and not asked.history:
            warnings.append(f"user_id {asked.user_id!r}: nothing is known of this user")
    sent = _sent(bundle, asked.history, warnings)
    history = _joined(known, sent) if len(sent) else known
    query = Query(
        history=history,
        k=asked.k,
        now=clock(bundle, history),
        user_id=asked.user_id,
        exclude=bundle.catalogue.ids.positions(asked.exclude_ids),
    )
    return query, warnings


def clock(bundle: Bundle, history: History) -> float:
    """The moment a query is asked at, UTC seconds: the end of the data, or the user's last event if that is later.

    Not the wall clock: it would let a taste fade by the age of the bundle, and what was measured would not be what is
    served. A user's own events are what moves time on.
    """
    until = bundle.manifest.trained_until.timestamp()
    return max(until, float(history.times[-1])) if len(history) else until


def _sent(bundle: Bundle, events: list[SentEvent], warnings: list[str]) -> History:
    """What the client sent. Times in the future count as now; so do absent ones."""
    moment = time.time()
    known_weights = bundle.manifest.event_weights
    rows, weights, times = [], [], []
    for place, event in enumerate(events):
        row = bundle.catalogue.ids.position(event.item_id)
        if row is None:
            warnings.append(f"history.{place}.item_id {event.item_id!r}: not in the catalogue, ignored")
            continue
        if event.event is not None and event.event not in known_weights:
            choices = ", ".join(known_weights)
            warnings.append(f"history.{place}.event {event.event!r}: not one of {choices}; counted as weight 1")
        rows.append(row)
        weights.append(known_weights.get(event.event or "", NEUTRAL_WEIGHT))
        times.append(min(event.timestamp.timestamp(), moment) if event.timestamp else moment)
    return History(
        np.array(rows, dtype=np.int32), np.array(weights, dtype=np.float32), np.array(times, dtype=np.float64)
    )


def _joined(first: History, second: History) -> History:
    times = np.concatenate([first.times, second.times])
    order = np.argsort(times, kind="stable")
    rows, weights = np.concatenate([first.rows, second.rows]), np.concatenate([first.weights, second.weights])
    return History(rows[order], weights[order], times[order])
