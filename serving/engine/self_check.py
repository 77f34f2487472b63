"""Checks a bundle before users see it: every variant must answer in full, and no part may fail."""

import math

from recsys.bundle.bundle import Bundle
from recsys.contracts import EMPTY_HISTORY, Query
from recsys.errors import BundleError
from recsys.recommend.recommender import Recommender, Slate

LENGTH = 10
USERS = 10


def check(bundle: Bundle) -> None:
    """Request lists of every variant for a visitor and a few known users, and items similar to the most popular one.

    This also loads the memory-mapped pages that every answer needs.

    Raises:
        BundleError: "bundle 1f...: variant 'als' answers a visitor with 3 items, at least 10 were wanted (failed: ..."
    """
    catalogue, now = bundle.catalogue, bundle.manifest.trained_until.timestamp()
    n_available = int(catalogue.available.sum())
    if n_available == 0:
        raise BundleError(f"bundle {bundle.manifest.bundle_id}: none of {len(catalogue)} items is available")
    k = max(1, min(LENGTH, n_available // 2))
    users = bundle.histories.users
    for variant in bundle.manifest.variants:
        recommender = Recommender(bundle, variant)
        _expect(bundle, recommender.recommend(Query(EMPTY_HISTORY, k, now)), "a visitor", k)
        own = []
        for position in range(0, len(users), -(-len(users) // USERS) or 1):
            user_id = users.external_id(position)
            answer = recommender.recommend(Query(bundle.histories.at(position), k, now, user_id))
            _expect(bundle, answer, "a known user", 0)  # who has seen it all rightly gets less
            own += [not slot.fallback for slot in answer.slots]
        if own and not any(own):
            raise BundleError(_refusal(bundle, variant, "known users from the fallback alone"))
    row = int((catalogue.popularity * catalogue.available).argmax())
    asked = f"items like {catalogue.ids.external_id(row)!r}"
    _expect(bundle, Recommender(bundle).similar(row, Query(EMPTY_HISTORY, k, now)), asked, min(k, n_available - 1))


def _expect(bundle: Bundle, answer: Slate, asked: str, least: int) -> None:
    if answer.failed or len(answer.slots) < least:
        failed = f" (failed: {', '.join(answer.failed)})" if answer.failed else ""
        found = f"{asked} with {len(answer.slots)} items, at least {least} were wanted{failed}"
        raise BundleError(_refusal(bundle, answer.variant, found))
    if odd := [slot for slot in answer.slots if not math.isfinite(slot.score)]:
        found = f"{asked} with the score {odd[0].score} from {odd[0].source!r}"
        raise BundleError(_refusal(bundle, answer.variant, found))


def _refusal(bundle: Bundle, variant: str, found: str) -> str:
    return f"bundle {bundle.manifest.bundle_id}: variant {variant!r} answers {found}; train it again"
