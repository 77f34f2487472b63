"""What may be shown: the variant's rules, what the caller excludes or allows, and what the house blocks.

A rule that cannot be asked must not let a forbidden item pass, and the answer must not be empty for it. So each rule is
asked about every item once, when the bundle is loaded; what it said then counts while it fails.
"""

from collections.abc import Mapping
from functools import partial

import numpy as np

from recsys.bundle.bundle import Bundle
from recsys.contracts import EMPTY_HISTORY, BoolArray, Candidates, IntArray, Query, Rule
from recsys.recommend.guarded_slate import GuardedSlateRules
from recsys.recommend.trace import RequestTrace


class Eligibility:
    """The rules of one variant, by name."""

    def __init__(self, bundle: Bundle, rules: Mapping[str, Rule]) -> None:
        self._rules = {f"rule {name}": rule for name, rule in rules.items()}
        self._available = bundle.catalogue.available
        anybody = Query(EMPTY_HISTORY, k=1, now=bundle.manifest.trained_until.timestamp())
        rows = np.arange(len(bundle.catalogue), dtype=np.int32)
        everything, nothing = np.ones(len(rows), dtype=np.bool_), np.zeros(len(rows), dtype=np.bool_)
        self._said = {
            part: RequestTrace().call_or_default(part, partial(_ask, rule, anybody, rows, everything), nothing)
            for part, rule in self._rules.items()
        }

    def keep(self, query: Query, rows: IntArray, house: GuardedSlateRules | None, run: RequestTrace) -> BoolArray:
        """rows: (m,) int32; returns (m,) bool, True where nobody forbids."""
        kept: BoolArray = np.isin(rows, query.exclude, invert=True)
        if query.only is not None:
            kept &= query.only[rows]
        for part, rule in self._rules.items():
            still = run.call_or_default(part, partial(_ask, rule, query, rows, kept), None, optional=False)
            # what is available changes while the bundle is served, and this array is where
            kept = kept & self._said[part][rows] & self._available[rows] if still is None else still
        return kept if house is None else kept & house.keep(query, rows)

    def filter(
        self, query: Query, proposals: Mapping[str, Candidates], house: GuardedSlateRules | None, run: RequestTrace
    ) -> dict[str, Candidates]:
        """What may be shown of all proposals."""
        allowed = {}
        before = after = 0
        for label, found in proposals.items():
            kept = self.keep(query, found.rows, house, run)
            allowed[label] = Candidates(found.rows[kept], found.scores[kept])
            before, after = before + len(kept), after + int(kept.sum())
        run.step("rules", after, before - after)
        return allowed


def _ask(rule: Rule, query: Query, rows: IntArray, kept: BoolArray) -> BoolArray:
    return kept & rule.keep(query, rows)
