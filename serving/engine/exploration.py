"""Epsilon-greedy exploration for an arm: puts random items into some slots of the variant's list."""

import zlib
from dataclasses import replace

import numpy as np

from recsys.contracts import Query
from recsys.experiments.online.config import Explore
from recsys.experiments.online.exploration import explore
from recsys.recommend.recommender import Recommender, Slate
from recsys.recommend.slate_rules import SlateRules


def explored(
    recommender: Recommender, query: Query, rules: SlateRules | None, answer: Slate, settings: Explore, request_id: str
) -> tuple[Slate, list[float]]:
    """Return the answer with random items in some slots, and the probability of each item in its slot. The random items
    are among the next best of the same recommender, under the same rules; request_id is the seed."""
    shown = np.array([slot.row for slot in answer.slots], dtype=np.int32)
    wider = replace(query, k=settings.pool, exclude=np.concatenate([query.exclude, shown]))
    pool = recommender.recommend(wider, rules)
    found = explore([*answer.slots, *pool.slots], len(answer.slots), settings, zlib.crc32(request_id.encode()))
    personalised = answer.personalised | pool.personalised
    slate = replace(answer, slots=tuple(found.slots), drafted_from=(answer,), personalised=personalised)
    return slate, found.propensities
