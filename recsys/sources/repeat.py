"""Proposes items that the user liked before and may want again, such as goods that are bought regularly.

    score = due * sum over the user's likes of the item of 0.5 ** (age_days / half_life_days)
    due = x / (1 + x), x = days since the last like / usual days between likes

The usual days are the user's own mean if the user liked the item in two visits or more, else `Catalogue.gap_days` of
the item; if that is unknown too, `due` is 1. Source: Hu, He, Gao, Zhang, "Modeling personalized item frequency
information for next-basket recommendation", SIGIR 2020, for frequency and recency; `due` is our own.
"""

import numpy as np
from pydantic import Field

from recsys.bundle.bundle import Bundle
from recsys.contracts import NO_CANDIDATES, Candidates, Query
from recsys.encoders.repeats import liked
from recsys.params import Section
from recsys.ranking import top_k


class Config(Section):
    """half_life_days: age at which a like counts half; None: `repeat_half_life_days` of the manifest."""

    half_life_days: float | None = Field(None, gt=0)


class Repeat:
    """The source of items that the user liked before; it proposes nothing unless `split.allow_repeat` is set."""

    def __init__(self, bundle: Bundle, config: Config) -> None:
        self._allowed = bundle.manifest.allow_repeat
        self._gap_days = bundle.catalogue.gap_days
        self._half_life_days = config.half_life_days or bundle.manifest.repeat_half_life_days

    def propose(self, query: Query, n: int) -> Candidates:
        if not self._allowed or not len(query.history):
            return NO_CANDIDATES
        found = liked(query.history, query.now, self._gap_days, self._half_life_days)
        scores = found.frequency * found.due
        best = top_k(scores, n)
        return Candidates(found.rows[best], scores[best], personal=np.ones(len(best), dtype=np.bool_))


def build(bundle: Bundle, config: Config) -> Repeat:
    """Build the source for a bundle."""
    return Repeat(bundle, config)
