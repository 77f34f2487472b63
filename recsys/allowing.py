"""What may be shown: the variant's rules, what the caller excludes or allows, and what the house blocks."""

from collections.abc import Mapping

import numpy as np

from recsys.contracts import BoolArray, Candidates, IntArray, Query, Rule, Shape
from recsys.running import Run


def keep(rules: Mapping[str, Rule], query: Query, rows: IntArray, shape: Shape | None, run: Run) -> BoolArray:
    """rows: (m,) int32; returns (m,) bool, True where nobody forbids."""
    kept: BoolArray = np.isin(rows, query.exclude, invert=True)
    if query.only is not None:
        kept &= query.only[rows]
    for name, rule in (rules if shape is None else {**rules, "shape": shape}).items():
        try:
            kept &= rule.keep(query, rows)
        except Exception:  # noqa: BLE001 (the answer goes on without the part)
            # a rule forbids: when it cannot be asked, nothing may pass
            run.fail(f"rule {name}")
            kept[:] = False
    return kept


def allow(
    rules: Mapping[str, Rule], query: Query, proposals: Mapping[str, Candidates], shape: Shape | None, run: Run
) -> dict[str, Candidates]:
    """What may be shown of all proposals."""
    allowed = {}
    before = after = 0
    for label, found in proposals.items():
        kept = keep(rules, query, found.rows, shape, run)
        allowed[label] = Candidates(found.rows[kept], found.scores[kept])
        before, after = before + len(kept), after + int(kept.sum())
    run.step("rules", after, before - after)
    return allowed
