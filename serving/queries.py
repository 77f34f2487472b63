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
    moment = now(bundle)
    warnings: list[str] = []
    known = EMPTY_HISTORY
    if asked.user_id is not None:
        known = bundle.histories.of(asked.user_id)
        if not len(known) and not asked.history:
            warnings.append(f"user_id {asked.user_id!r}: nothing is known of this user")
    sent = _sent(bundle, asked.history, moment, warnings)
    query = Query(
        history=_joined(known, sent) if len(sent) else known,
        k=asked.k,
        now=moment,
        user_id=asked.user_id,
        exclude=bundle.catalogue.ids.positions(asked.exclude_ids),
    )
    return query, warnings


def now(bundle: Bundle) -> float:
    """The wall clock in UTC seconds, but never before the end of the data: a clock that is wrong cannot unlearn it."""
    return max(time.time(), bundle.manifest.trained_until.timestamp())


def _sent(bundle: Bundle, events: list[SentEvent], moment: float, warnings: list[str]) -> History:
    """What the client sent. Times in the future count as now; so do absent ones."""
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
