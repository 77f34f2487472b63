"""The rungs below a variant's own sources: what is popular now, in the categories chosen if any, then a fixed list.

Both were sorted when the bundle was loaded, so they cost next to nothing and need nothing that can be slow.
"""

from functools import partial

import numpy as np

from recsys import extensions
from recsys.bundle.bundle import Bundle
from recsys.contracts import NO_CANDIDATES, Candidates, Query, Slot, Source
from recsys.recommend.blending import apply_boosts
from recsys.recommend.eligibility import Eligibility
from recsys.recommend.guarded_slate import GuardedSlateRules
from recsys.recommend.trace import RequestTrace

FALLBACK = "popular"
LAST_RESORT = "static"


class Fallback:
    """Fills up an answer, under the same rules as all else."""

    def __init__(self, bundle: Bundle, allowing: Eligibility) -> None:
        self._allowing = allowing
        self._popular: Source = extensions.build("sources", FALLBACK, bundle, {})
        rows = np.argsort(-bundle.catalogue.popularity, kind="stable").astype(np.int32)
        self._static = Candidates(rows, np.zeros(len(rows), dtype=np.float32))

    def fill(
        self,
        query: Query,
        slots: list[Slot],
        wanted: int,
        house: GuardedSlateRules | None,
        run: RequestTrace,
        capped: bool = False,
    ) -> list[Slot]:
        """The slots and behind them others, until there are as many as wanted or nothing is left that may be shown."""
        ask = partial(self._popular.propose, query, len(self._static.rows))
        popular = run.call_or_default(f"source {FALLBACK}", ask, NO_CANDIDATES, optional=False)
        popular = apply_boosts(query, {FALLBACK: popular}, house)[FALLBACK]
        filled = list(slots)
        for label, found in ((FALLBACK, popular), (LAST_RESORT, self._static)):
            if len(filled) >= wanted:
                break
            taken = np.fromiter((slot.row for slot in filled), dtype=np.int32, count=len(filled))
            free = np.isin(found.rows, taken, invert=True)
            chosen = np.flatnonzero(free & self._allowing.keep(query, found.rows, house, run))
            if house is not None and capped:
                chosen = chosen[house.room(filled, found.rows[chosen], wanted - len(filled))]
            chosen = chosen[: wanted - len(filled)]
            filled += [Slot(int(found.rows[at]), float(found.scores[at]), label, fallback=True) for at in chosen]
        run.step("fallback", len(filled), 0)
        return filled

    def allowed(self, query: Query, house: GuardedSlateRules | None, run: RequestTrace) -> int:
        """How many items of all may be shown."""
        return int(self._allowing.keep(query, self._static.rows, house, run).sum())
