"""Decides whether a variant that needs live counts is released, by next-event prediction over the validation window.

The gate compares variants offline, without live counts (likes of the newest events), where a variant whose first source
needs these proposes nothing. Such a variant is tested here, before each sampled event of the window. It is released if,
with live counts, it is significantly better than the gate's variant with and without live counts. While there are no
live counts, as when the store is unavailable, the gate's variant answers instead (`VariantParams.without_live`).
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from recsys.bundle.bundle import Bundle
from recsys.contracts import LIVE_COVISIT
from recsys.data.split import Split
from recsys.evaluation import metrics, next_event
from recsys.evaluation.choices.gate import Decision
from recsys.evaluation.intervals import paired
from recsys.evaluation.metrics import Ragged
from recsys.evaluation.next_event import LIVE, NextEvents
from recsys.params import Params
from recsys.ranking import Values
from recsys.recommend.recommender import Recommender

EVENTS, REFRESH_S = 500, 60.0


def choose(bundle: Bundle, split: Split, params: Params, decision: Decision) -> Decision:
    """Return a decision for the best live variant if significantly better, else `decision`. bundle: of `valid`."""
    names = [name for name, variant in params.variants.items() if variant.sources[0].source == LIVE_COVISIT]
    if not names or decision.variant in names or split.end("valid") is None:  # windows overlap in time
        return decision
    recommenders = {name: Recommender(bundle, name) for name in (decision.variant, *names)}
    found = next_event.replay(recommenders, split, "valid", EVENTS, REFRESH_S, params.seed)
    values, reasons = _by_user(found), dict(decision.candidates)
    trained, alpha = decision.variant, params.gate.alpha / len(names)
    admitted = []
    for name in names:
        against = [paired(values[name + LIVE], values[other], alpha) for other in (trained + LIVE, trained)]
        better = all(each.p <= alpha for each in against)
        hardest = min(against, key=lambda each: each.difference)
        how = "is" if better else "is not significantly"
        reasons[name] = f"{name!r} {how} better than {trained!r} at the next event of the validation window: {hardest}"
        admitted += [name] if better else []
    if not admitted:
        return replace(decision, candidates=reasons)
    best = max(admitted, key=lambda name: float(values[name + LIVE].mean()))
    reason = f"{best!r} is released: {reasons[best]}. Without live counts {decision.reason}"
    return Decision(best, reason, reasons, trained)


def _by_user(found: NextEvents) -> Mapping[str, Values]:
    """Return variant -> mean NDCG of each user's events, because events of one user are not independent."""
    n = len(found.targets)
    _, owners = np.unique(found.users, return_inverse=True)
    targets = Ragged(np.arange(n + 1), found.targets)
    values = {}
    for name, lists in found.lists.items():
        ndcg = metrics.ndcg(metrics.hits(lists, targets), np.ones(n, dtype=np.int64))
        values[name] = np.bincount(owners, ndcg) / np.bincount(owners)
    return values
