"""The state of one request on its way through the `Recommender`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np

from recsys.contracts import SECONDS_PER_DAY, BoolArray, Candidates, IntArray, Query, Slot
from recsys.ranking import among
from recsys.recommend.guarded_slate import GuardedSlateRules
from recsys.recommend.trace import RequestTrace


@dataclass
class Request:
    """The input of every step of `Recommender`: the query, its business rules if any, and the trace. candidates: source
    -> its proposals that may be shown; empty until the sources were called."""

    query: Query
    rules: GuardedSlateRules | None
    trace: RequestTrace
    candidates: Mapping[str, Candidates] = field(default_factory=dict)


@runtime_checkable
class UsesAttributes(Protocol):
    """A ranker that uses attributes of the user. Returns (m,) bool for the items in these rows, (m,) int32: whether an
    attribute raised the item's score."""

    def raised(self, query: Query, rows: IntArray) -> BoolArray: ...


def has_live(query: Query, half_life_days: float) -> bool:
    """Return whether the query has counts of the newest events (`LiveCounts`) that include pairs of items liked in one
    session. Counts that were read from the store more than `half_life_days` before the request do not count."""
    asked_at = query.now if query.shown_at is None else query.shown_at
    read_at = -float("inf") if query.live is None or not len(query.live.follows.rows) else query.live.read_at
    return asked_at - read_at <= half_life_days * SECONDS_PER_DAY


def personalised(candidates: Mapping[str, Candidates], slots: list[Slot]) -> frozenset[int]:
    """Return the rows of the slots whose item depends on this user, see `Candidates.personal`."""
    parts = [each.rows[each.personal] for each in candidates.values() if each.personal is not None]
    if not parts:
        return frozenset()
    rows = np.array([slot.row for slot in slots], dtype=np.int32)
    return frozenset(rows[among(rows, np.concatenate(parts))].tolist())
