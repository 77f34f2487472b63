"""Team-draft interleaving for an arm: merges the lists of two variants, so that clicks show which is better."""

import zlib
from dataclasses import replace

from recsys.contracts import Query
from recsys.experiments.online.team_draft import team_draft
from recsys.recommend.recommender import Recommender, Slate
from recsys.recommend.slate_rules import SlateRules


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
