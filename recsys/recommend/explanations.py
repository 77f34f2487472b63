"""Explains each item of a list: the contributions to its score, and the score without an item of the history.

    for reasons in explanations.explain({"als": recommender}, slate): ...

The `contribution`s of a slot's reasons add up to the score that ordered the list. They come from the ranker, if the
variant has one, else from the model that proposed the item; contributions of history features are divided among the
items of the user's history. `without` is not the score minus a contribution: it is the slot's score in a second call
with that item removed from the history, in which the other items weigh more.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from time import perf_counter

import numpy as np

from recsys.bundle.bundle import Bundle
from recsys.bundle.items.item_tower import content_model
from recsys.contracts import (
    NEW,
    REPEAT,
    Explains,
    ExplainsRanking,
    FloatArray,
    History,
    IntArray,
    Parts,
    Query,
    RankerReasons,
    Slot,
    Term,
)
from recsys.encoders import item_item
from recsys.encoders.als_fold_in import Doubles
from recsys.rankers._learned.features import NEWEST
from recsys.recommend.blending import united
from recsys.recommend.recommender import RANKER, Recommender, Slate
from recsys.recommend.slate_rules import SlateRules

HISTORY, FEATURE, EXPLORATION = "history", "feature", "exploration"
MAX_WITHOUT = 10  # second calls for one list, for the items of the history that contribute most to it


@dataclass(frozen=True)
class Reason:
    """One part of a slot's score. kind: "history" for an item of the user's history, with its catalogue row in `row`;
    "feature" for a feature of the ranker, named in `feature`; else the slot's source, such as "popular", "new", "pin"
    or "exploration". contribution: what it adds to the score. without: the slot's score if the item `row` is removed
    from the history; None if this was not computed, or if the slot's item is then no candidate."""

    kind: str
    contribution: float
    row: int | None = None
    feature: str | None = None
    without: float | None = None


@dataclass(frozen=True)
class Reasons:
    """The reasons of one slot, largest contribution first. factors: name -> factor, if the score is their product."""

    reasons: tuple[Reason, ...]
    factors: Mapping[str, float]


def explain(recommenders: Mapping[str, Recommender], slate: Slate, rules: SlateRules | None = None) -> list[Reasons]:
    """Return the reasons of each slot of a slate. recommenders: by variant; rules: those that were applied to it."""
    if slate.drafted_from:
        known = {
            slot: why
            for part in slate.drafted_from
            for slot, why in zip(part.slots, explain(recommenders, part, rules), strict=True)
        }
        return [known.get(slot, Reasons((Reason(EXPLORATION, slot.score),), {})) for slot in slate.slots]
    recommender = recommenders[slate.variant]
    slot_reasons = _contributions(recommender, slate)
    return _with_second_calls(recommender, slate, rules, slot_reasons)


def _contributions(recommender: Recommender, slate: Slate) -> list[Reasons]:
    slot_reasons = [Reasons((Reason(slot.source, slot.score),), {}) for slot in slate.slots]
    own = [at for at, slot in enumerate(slate.slots) if slot.source in slate.candidates and not slot.fallback]
    ranker = None if RANKER in slate.failed else recommender.ranker
    ranked = [at for at in own if ranker is not None and slate.slots[at].source != NEW]
    alone = {at: _own_score(recommender.bundle, slate.slots[at]) for at in own if at not in ranked}
    explained = {at: RankerReasons([term], {}) for at, term in alone.items()}
    if ranked and isinstance(ranker, ExplainsRanking):
        proposals = {label: each for label, each in slate.candidates.items() if label != NEW}
        rows, scores = united(proposals)
        places = np.searchsorted(rows, [slate.slots[at].row for at in ranked]).astype(np.int32)
        reasons = ranker.explain(slate.query, rows, scores, list(proposals), places)
        explained |= dict(zip(ranked, reasons, strict=True))
    divider = _Divider(recommender.bundle, slate.query)
    for at, (terms, factors) in explained.items():
        if perf_counter() >= slate.query.deadline:
            break  # the other slots keep their source as the only reason
        slot = slate.slots[at]
        amounts: dict[tuple[str, int | None, str | None], float] = {}
        for term in terms:
            for row, amount in divider.divide(term, slot.row):
                key = (HISTORY, row, None) if row is not None else _of_no_item(term, slot)
                amounts[key] = amounts.get(key, 0.0) + amount
        found = [Reason(kind, amount, row, feature) for (kind, row, feature), amount in amounts.items() if amount]
        found = found or [Reason(slot.source, slot.score)]
        slot_reasons[at] = Reasons(tuple(sorted(found, key=lambda reason: -abs(reason.contribution))), factors)
    return slot_reasons


def _own_score(bundle: Bundle, slot: Slot) -> Term:
    """Return the score of a slot without a ranker as one term, of its source's model, or of no model if it has none."""
    model = content_model(bundle.models) if slot.source == NEW else slot.source
    return Term(slot.source, slot.score, model if model in {*bundle.models, *bundle.item_items, REPEAT} else None)


def _of_no_item(term: Term, slot: Slot) -> tuple[str, None, str | None]:
    return (slot.source, None, None) if term.feature == slot.source else (FEATURE, None, term.feature)


class _Divider:
    """Divides the terms of a score among the items of one user's history."""

    def __init__(self, bundle: Bundle, query: Query) -> None:
        self._bundle = bundle
        self._query = query
        self._parts: dict[tuple[str, int], Parts | None] = {}

    def divide(self, term: Term, row: int) -> list[tuple[int | None, float]]:
        """Divide a term of the score of the item `row` among the items of the history. Return pairs (catalogue row, its
        part of the term); the single pair (None, whole term) if no item of the history explains it."""
        if term.model == REPEAT:
            return [(row, term.amount)]
        if term.model and term.model in self._bundle.item_items:
            return self._divided(term, *self._shares(term.model, row))
        model = self._bundle.models.get(term.model) if term.model else None
        if model is None:
            return [(None, term.amount)]
        if term.way == "score":
            rows, weights = self._shares(term.model or "", row)
        else:
            rows, weights = _cosines(model.embeddings.vectors, self._query.history.likes[-NEWEST:], row)
            if term.way == "nearest" and len(rows):
                rows, weights = rows[[weights.argmax()]], np.ones(1)
        return self._divided(term, rows, weights)

    @staticmethod
    def _divided(term: Term, rows: IntArray, weights: Doubles) -> list[tuple[int | None, float]]:
        if not len(rows) or not weights.any():
            return [(None, term.amount)]
        # a division by a sum near 0 would make the shares very large
        total, size = float(weights.sum()), float(np.abs(weights).sum())
        weights = weights / total if abs(total) > size / 10 else np.abs(weights) / size
        return list(zip(rows.tolist(), (term.amount * weights).tolist(), strict=True))

    def _shares(self, name: str, row: int) -> tuple[IntArray, Doubles]:
        if (name, row) not in self._parts:
            history, now = self._query.history, self._query.now
            if name in self._bundle.item_items:
                parts = item_item.explain(self._bundle.item_items[name], history, now, row)
            else:
                model = self._bundle.models[name]
                encoder, vectors = model.encoder, model.embeddings.vectors[[row]]
                parts = encoder.explain(history, now, vectors) if isinstance(encoder, Explains) else None
            self._parts[name, row] = parts
        parts = self._parts[name, row]
        return (np.empty(0, dtype=np.int32), np.empty(0)) if parts is None else (parts.rows, parts.shares[0])


def _cosines(vectors: FloatArray, likes: IntArray, row: int) -> tuple[IntArray, Doubles]:
    """Return the liked items that the model has vectors for, and the cosine of each to the item in `row`."""
    lengths = np.linalg.norm(vectors[likes], axis=1)
    likes, lengths = likes[lengths > 0], lengths[lengths > 0]
    return likes, (vectors[likes] @ vectors[row]).astype(np.float64) / lengths


def _with_second_calls(
    recommender: Recommender, slate: Slate, rules: SlateRules | None, slot_reasons: list[Reasons]
) -> list[Reasons]:
    total: dict[int, float] = {}
    for why in slot_reasons:
        for reason in why.reasons:
            if reason.row is not None:
                total[reason.row] = total.get(reason.row, 0.0) + abs(reason.contribution)
    without: dict[tuple[int, int], float] = {}
    for row in sorted(total, key=lambda row: (-total[row], row))[:MAX_WITHOUT]:
        if perf_counter() >= slate.query.deadline:
            break
        history = slate.query.history
        kept = history.rows != row
        history = History(history.rows[kept], history.weights[kept], history.times[kept])
        query = replace(slate.query, history=history, vectors={})
        second = recommender.recommend(query, rules)
        for at, score in enumerate(_scores_of(slate.slots, recommender, second)):
            if score is not None:
                without[at, row] = score
    return [
        replace(
            why,
            reasons=tuple(
                reason if reason.row is None else replace(reason, without=without.get((at, reason.row)))
                for reason in why.reasons
            ),
        )
        for at, why in enumerate(slot_reasons)
    ]


def _scores_of(slots: Sequence[Slot], recommender: Recommender, slate: Slate) -> list[float | None]:
    """Return the scores of these slots' items in another slate; None for items that are not among its candidates."""
    by_label = {
        label: dict(zip(each.rows.tolist(), each.scores.tolist(), strict=True))
        for label, each in slate.candidates.items()
    }
    if recommender.ranker is None or RANKER in slate.failed:
        return [by_label.get(slot.source, {}).get(slot.row) for slot in slots]
    rows, scores = united({label: each for label, each in slate.candidates.items() if label != NEW})
    ranked: dict[int, float] = {}
    if len(rows):
        ranked = dict(zip(rows.tolist(), recommender.ranker.rank(slate.query, rows, scores).tolist(), strict=True))
    return [(by_label.get(NEW, {}) if slot.source == NEW else ranked).get(slot.row) for slot in slots]
