"""The state of one request on its way through the `Recommender`, and what the sources propose for it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np

from recsys.contracts import SECONDS_PER_DAY, BoolArray, Candidates, IntArray, Query, Slot, Source
from recsys.ranking import among
from recsys.recommend.slate_rules import GuardedSlateRules
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


def proposed(source: Source, query: Query, n: int, n_items: int) -> Candidates:
    """Return at most n candidates of one source. n_items: catalogue size.

    Raises:
        ValueError: "the source returned the row 30, expected 0 to 22, a row of the catalogue"
    """
    found = source.propose(query, n)
    rows, scores = found.rows, found.scores
    if rows.dtype != np.int32 or rows.shape != scores.shape:
        found_shapes = f"{rows.dtype} rows of shape {rows.shape} and scores of shape {scores.shape}"
        raise ValueError(f"the source returned {found_shapes}, expected int32 rows and one score for each")
    as_unsigned = rows.view(np.uint32)  # where a negative row is a large one
    if len(rows) and as_unsigned[largest := as_unsigned.argmax()] >= n_items:
        expected = f"0 to {n_items - 1}, a row of the catalogue"
        raise ValueError(f"the source returned the row {rows[largest]}, expected {expected}")
    return found


def personalised(candidates: Mapping[str, Candidates], slots: list[Slot]) -> frozenset[int]:
    """Return the rows of the slots whose item depends on this user, see `Candidates.personal`."""
    parts = [each.rows[each.personal] for each in candidates.values() if each.personal is not None]
    if not parts:
        return frozenset()
    rows = np.array([slot.row for slot in slots], dtype=np.int32)
    return frozenset(rows[among(rows, np.concatenate(parts))].tolist())
