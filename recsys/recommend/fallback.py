"""Fills an answer that the variant's own sources cannot fill: with items that are popular now, then with a fixed list.

Items of the categories that the user chose come first. Both lists are sorted when the bundle is loaded and filtered
from the top, so they take little time and call no slow part.
"""

from functools import partial

import numpy as np

from recsys.bundle.bundle import Bundle
from recsys.contracts import NO_CANDIDATES, Candidates, Slot, Source
from recsys.params import extensions
from recsys.ranking import among
from recsys.recommend.blending import apply_boosts
from recsys.recommend.circuit_breaker import CircuitBreakers
from recsys.recommend.eligibility import Eligibility
from recsys.recommend.request import Request

FALLBACK = "popular"
LAST_RESORT = "static"
CHUNK = 4096  # rows that are filtered at once: the first chunk nearly always fills the list


class Fallback:
    """Completes an answer that is too short with items that the request allows: popular ones, then a fixed list."""

    def __init__(self, bundle: Bundle, eligibility: Eligibility, breakers: CircuitBreakers) -> None:
        self._eligibility = eligibility
        self._popular: Source = extensions.build("sources", FALLBACK, bundle, {})
        self._breaker = breakers.of(f"source {FALLBACK}")
        rows = bundle.catalogue.by_popularity
        self._static = Candidates(rows, np.zeros(len(rows), dtype=np.float32))

    def fill(self, request: Request, slots: list[Slot], wanted: int, *, capped: bool = False) -> list[Slot]:
        """Append slots until there are `wanted`, or no item is left that may be shown. capped: whether the limits of
        the business rules for items of a category (caps) apply."""
        query, rules, trace = request.query, request.rules, request.trace
        propose = partial(self._popular.propose, query, len(self._static.rows))
        popular = trace.call_or_default(self._breaker, propose, NO_CANDIDATES, optional=False)
        popular = apply_boosts(query, {FALLBACK: popular}, rules)[FALLBACK]
        filled = list(slots)
        for label, rung in ((FALLBACK, popular), (LAST_RESORT, self._static)):
            for start in range(0, len(rung.rows), CHUNK):
                if len(filled) >= wanted:
                    break
                rows, scores = rung.rows[start : start + CHUNK], rung.scores[start : start + CHUNK]
                taken = np.array([slot.row for slot in filled], dtype=np.int32)
                chosen = np.flatnonzero(~among(rows, taken) & self._eligibility.mask(request, rows))
                if rules is not None and capped:
                    chosen = chosen[rules.room(filled, rows[chosen], wanted - len(filled))]
                chosen = chosen[: wanted - len(filled)]
                filled += [Slot(int(rows[at]), float(scores[at]), label, fallback=True) for at in chosen]
        trace.step("fallback", len(filled), 0)
        return filled

    def n_allowed(self, request: Request) -> int:
        """Return how many items of the catalogue may be shown for this request."""
        return int(self._eligibility.mask(request, self._static.rows).sum())


def fallback_reason(request: Request, uses_history: bool) -> str:
    """Return why the variant's own sources did not make the answer: "deadline" or "part_failed", see `RequestTrace`;
    "no_history", "history_unknown_to_models" or "too_few_candidates". uses_history: whether one of its sources does."""
    query = request.query
    if missing := request.trace.why_missing:
        return missing
    if not len(query.history.rows):
        return "no_history"
    heard = any(vector is not None for vector in query.vectors.values()) or any(
        each.personal is not None and each.personal.any() for each in request.candidates.values()
    )
    return "too_few_candidates" if heard or not uses_history else "history_unknown_to_models"
