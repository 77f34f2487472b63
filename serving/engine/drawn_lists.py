"""Lists of an arm that are drawn by chance: with random items in some slots (epsilon-greedy exploration), or from two
variants (team-draft interleaving), so that clicks show which is better."""

import zlib
from dataclasses import replace

import numpy as np

from recsys.contracts import Query
from recsys.experiments.online.config import Explore
from recsys.experiments.online.exploration import explore
from recsys.experiments.online.team_draft import team_draft
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


def interleaved(
    second: Recommender, query: Query, rules: SlateRules | None, answer: Slate, request_id: str
) -> tuple[Slate, list[str]]:
    """Merge the answer's list with that of a second variant. Return it, and the team of each slot. Team "a" is the
    answer's variant, "b" the second one; request_id is the seed."""
    other = second.recommend(query, rules)
    slots = {slot.row: slot for slot in (*other.slots, *answer.slots)}
    first, last = ([str(slot.row) for slot in each.slots] for each in (answer, other))
    drafted = team_draft(first, last, query.k, zlib.crc32(request_id.encode()))
    failed = tuple(dict.fromkeys((*answer.failed, *other.failed)))
    own = {"a": answer.personalised, "b": other.personalised}
    dealt = replace(
        answer,
        slots=tuple(slots[int(row)] for row, _ in drafted),
        fallback_reason=answer.fallback_reason or other.fallback_reason,
        failed=failed,
        drafted_from=(answer, other),
        personalised=frozenset(int(row) for row, team in drafted if int(row) in own[team]),
    )
    return dealt, [team for _, team in drafted]
