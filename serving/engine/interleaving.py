"""An arm that interleaves: two variants in one list, dealt by team draft; clicks tell whose picks are better."""

import zlib
from dataclasses import replace

from recsys.contracts import Query, SlateRules
from recsys.experiments.online.team_draft import team_draft
from recsys.recommend.recommender import Recommender, Slate


def interleaved(
    second: Recommender, query: Query, rules: SlateRules | None, answer: Slate, request_id: str
) -> tuple[Slate, list[str]]:
    """The list of the answer and of the second variant in one, and the team of each place: `a` is the answer's own.

    The coin that says who picks first is the request's id.
    """
    other = second.recommend(query, rules)
    slots = {slot.row: slot for slot in (*other.slots, *answer.slots)}
    first, last = ([str(slot.row) for slot in each.slots] for each in (answer, other))
    drafted = team_draft(first, last, query.k, zlib.crc32(request_id.encode()))
    failed = tuple(dict.fromkeys((*answer.failed, *other.failed)))
    dealt = replace(
        answer,
        slots=tuple(slots[int(row)] for row, _ in drafted),
        fallback_reason=answer.fallback_reason or other.fallback_reason,
        failed=failed,
        drafted_from=(answer, other),
        personalised=answer.personalised | other.personalised,
    )
    return dealt, [team for _, team in drafted]
