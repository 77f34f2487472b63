"""Learns the share of slots for new items on the validation window, for each variant that does not set one.

It tries multiples of the demand, which is the share of new items among the targets, up to half of the slots: without
this limit, new items would fill all slots of a variant of low accuracy. A multiple is too expensive if it significantly
loses more than `MOST_LOST` of NDCG over all targets. Of the others the one with the best NDCG is chosen, if possible
one that gives new items at least `LEAST_SHOWN` of the demand; otherwise the variant fails a floor of the gate. A
variant that fills no slot itself, such as `repeat` where repeats are not allowed, gets no slots for new items.
"""

from dataclasses import replace

import numpy as np

from recsys.bundle.bundle import Bundle
from recsys.contracts import NEW, IntArray
from recsys.data.split import Split
from recsys.evaluation import answers, metrics
from recsys.evaluation.choices.new_items import MOST_LOST, NOTHING, NewItems, applied_to
from recsys.evaluation.intervals import paired
from recsys.evaluation.sample import Sample
from recsys.params import Params
from recsys.ranking import Values
from recsys.recommend.blending import reserve_new_items
from recsys.recommend.recommender import Recommender, Slate

TIMES = (0.0, 0.5, 0.8, 0.9, 1.0, 1.1, 1.25, 1.6, 2.0)  # shares that are tried, as multiples of the demand
MOST_PLACES = 0.5  # maximum share of slots for new items, unless the demand is larger
LEAST_SHOWN = 0.8
MOST_USERS = 2000
HARDLY = 1e-9  # a share that requests candidates, but gives no slot to a new item


def learn(bundle: Bundle, split: Split, variant: str, asked: Sample, params: Params) -> NewItems:
    """Return the learned share of a variant that sets none. bundle: of the fold `valid`; asked: users of its window, at
    most `MOST_USERS`."""
    k, trying = params.evaluate.at[0], Recommender(applied_to(bundle, {variant: HARDLY}), variant)
    users = asked.users.tolist() if asked.new[asked.targets.rows].any() else []
    slates = [answers.recommend_offline(trying, split, asked.fold, user, k, params.seed) for user in users]
    own = any(not slot.fallback and slot.source != NEW for slate in slates for slot in slate.slots)
    return _choose(slates, asked, k, params.gate.alpha) if own else NOTHING


def _choose(slates: list[Slate], asked: Sample, k: int, alpha: float) -> NewItems:
    """Return the best share. slates: lists for the users of the sample, without new items; k: length of a list."""
    new, targets = asked.new, asked.targets
    demand, known = float(new[targets.rows].mean()), targets.keep(~new[targets.rows])
    shares = [min(times * demand, max(demand, MOST_PLACES)) for times in TIMES]
    most = min(k, int(np.ceil(max(shares) * k)))
    shown, ndcg, on_known = [], [], []  # by number of slots for new items: one value per user
    for places in range(most + 1):
        lists = np.stack([_rows(slate, places, k) for slate in slates])
        shown.append(metrics.share(lists, new))
        ndcg.append(metrics.ndcg(metrics.hits(lists, targets), targets.lengths))
        on_known.append(metrics.ndcg(metrics.hits(lists, known), known.lengths))

    def at(values: list[Values], share: float) -> Values:
        """Return the users' values for a share of slots for new items. values[n]: with n such slots; between two whole
        numbers the result is their weighted mean, as some lists then have one slot more than the others."""
        below = min(int(share * k), most - 1)
        part = share * k - below
        return (1 - part) * values[below] + part * values[below + 1]

    tried: list[NewItems] = []
    for share in dict.fromkeys(shares):
        enough = float(np.nanmean(at(shown, share))) >= LEAST_SHOWN * demand
        allowed = paired(at(ndcg, share), (1 - MOST_LOST) * ndcg[0], alpha)
        if tried and allowed.difference + allowed.reach < 0:
            continue
        tried.append(
            NewItems(
                share=round(share, 6),
                demand=round(demand, 6),
                shown=round(float(np.nanmean(at(shown, share))), 6),
                lost=_lost(at(ndcg, share), ndcg[0]),
                lost_on_known=_lost(at(on_known, share), on_known[0]),
                fair=enough,
            )
        )
    return min([found for found in tried if found.fair] or tried, key=lambda found: found.lost)


def _rows(slate: Slate, places: int, k: int) -> IntArray:
    """Return the list, (k,) int32 rows, with this number of slots for new items: own items, new items, fallback."""
    own = [slot for slot in slate.slots if not slot.fallback]
    # with a whole number of slots the hash of the query decides nothing
    with_new = reserve_new_items(own, slate.candidates[NEW], NEW, places / k, replace(slate.query, k=k))[:k]
    taken = {slot.row for slot in with_new}
    filled = with_new + [slot for slot in slate.slots if slot.fallback and slot.row not in taken]
    rows = np.full(k, -1, dtype=np.int32)
    rows[: len(filled[:k])] = [slot.row for slot in filled[:k]]
    return rows


def _lost(values: Values, before: Values) -> float:
    known = np.isfinite(values) & np.isfinite(before)
    total = float(before[known].sum())
    return round(1 - float(values[known].sum()) / total, 6) if total else 0.0
