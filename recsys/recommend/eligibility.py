"""Decides which items may be shown, by the rules of variant, shop and request; none is shown before its `first_seen`.

A rule that fails must neither let a forbidden item pass nor empty the answer. So each rule is called once for every
item when the bundle is loaded, and this result is used while the rule fails.
"""

from collections.abc import Mapping
from functools import partial

import numpy as np

from recsys.bundle.bundle import Bundle
from recsys.contracts import EMPTY_HISTORY, BoolArray, Candidates, IntArray, Query, Rule
from recsys.ranking import among
from recsys.recommend.circuit_breaker import CircuitBreaker, CircuitBreakers
from recsys.recommend.request import Request
from recsys.recommend.trace import RequestTrace


class Eligibility:
    """Decides which items may be shown by one variant. rules: name -> rule of the variant."""

    def __init__(self, bundle: Bundle, rules: Mapping[str, Rule], breakers: CircuitBreakers) -> None:
        self._available, self._first_seen = bundle.catalogue.available, bundle.catalogue.first_seen
        self._last_arrival = np.fmax.reduce(self._first_seen, initial=-np.inf)
        anybody = Query(EMPTY_HISTORY, k=1, now=bundle.manifest.trained_until.timestamp())
        rows = np.arange(len(bundle.catalogue), dtype=np.int32)
        everything, nothing = np.ones(len(rows), dtype=np.bool_), np.zeros(len(rows), dtype=np.bool_)
        self._rules: list[tuple[Rule, CircuitBreaker, BoolArray]] = []  # mask: used while the rule fails
        ask_anyway = CircuitBreakers()  # a rule that fails in the current bundle may succeed in this one
        for part, rule in ((f"rule {name}", rule) for name, rule in rules.items()):
            ask = partial(_ask, rule, anybody, rows, everything)
            at_load = RequestTrace().call_or_default(ask_anyway.of(part), ask, nothing)
            self._rules.append((rule, breakers.of(part), at_load))

    def mask(self, request: Request, rows: IntArray) -> BoolArray:
        """Return which of `rows`, (m,) int32, may be shown: (m,) bool."""
        query = request.query
        kept: BoolArray = rows >= 0  # all of them: a row is not negative
        if len(query.exclude):
            kept &= ~among(rows, query.exclude)
        if query.only is not None:
            kept &= query.only[rows]
        if query.shown_at is not None and query.shown_at < self._last_arrival:
            kept &= ~(self._first_seen[rows] > query.shown_at)  # NaN, an unknown time, is not above
        for rule, breaker, at_load in self._rules:
            ask = partial(_ask, rule, query, rows, kept)
            still = request.trace.call_or_default(breaker, ask, None, optional=False)
            if still is None:  # stock has changed since the bundle was loaded
                available = self._available if query.available is None else query.available
                still = kept & at_load[rows] & available[rows]
            kept = still
        return kept if request.rules is None else kept & request.rules.keep(query, rows)

    def filter(self, request: Request, proposals: Mapping[str, Candidates]) -> dict[str, Candidates]:
        """Remove the items that may not be shown from the proposals of all sources, with one call of each rule."""
        kept = self.mask(request, np.concatenate([proposal.rows for proposal in proposals.values()]))
        allowed = {}
        start = n_kept = 0
        for label, proposal in proposals.items():
            mine = kept[start : start + len(proposal.rows)]
            n_mine = int(np.count_nonzero(mine))
            allowed[label] = proposal
            if n_mine < len(mine):
                personal = None if proposal.personal is None else proposal.personal[mine]
                allowed[label] = Candidates(proposal.rows[mine], proposal.scores[mine], personal)
            start, n_kept = start + len(mine), n_kept + n_mine
        request.trace.step("rules", n_kept, len(kept) - n_kept)
        return allowed


def _ask(rule: Rule, query: Query, rows: IntArray, kept: BoolArray) -> BoolArray:
    return kept & rule.keep(query, rows)
