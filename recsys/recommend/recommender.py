"""A request's path: encode -> sources -> rules -> rank or mix -> reserve -> arrange -> fallback -> top k, with a trace.

Offline evaluation and the API both call `Recommender.recommend`, so evaluation measures what is served. A part (source,
ranker, rule or encoder) that raises, whose circuit breaker is open, or that would begin after the deadline contributes
nothing; the answer names it in `failed` and is degraded. `recsys/recommend/fallback.py` fills what is then missing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from time import perf_counter

import numpy as np

from recsys.bundle.bundle import Bundle
from recsys.contracts import (
    NEW,
    NO_CANDIDATES,
    PIN,
    REPEAT,
    Candidates,
    Encoder,
    FloatArray,
    ItemItem,
    Query,
    Ranker,
    Slot,
    Source,
)
from recsys.encoders import item_item
from recsys.errors import ParamsError
from recsys.params import extensions
from recsys.recommend.blending import apply_boosts, interleave_by_share, ranked, reserve_new_items
from recsys.recommend.circuit_breaker import CircuitBreaker, CircuitBreakers
from recsys.recommend.eligibility import Eligibility
from recsys.recommend.fallback import Fallback, fallback_reason
from recsys.recommend.request import Request, UsesAttributes, has_live, personalised, proposed
from recsys.recommend.slate_rules import GuardedSlateRules, SlateRules, SlateRulesGuard
from recsys.recommend.trace import RequestTrace, Step

RANKER = "ranker"
TRIED = 20  # ordered candidates per slot: if the business rules refuse more, the fallback takes over


@dataclass(frozen=True)
class Slate:
    """The answer to a query: slots best first, without duplicates, and how they were chosen.

    query: with the user's vectors that the encoders computed; candidates: source -> its proposals that may be shown;
    variant: its name; personalised: the rows of the slots that depend on this user, see `Candidates.personal`;
    drafted_from: the two slates that an experiment interleaved into this one, else empty. fallback_reason: why the
    fallback filled slots, or why no slot is personalised though the variant uses the history; else None. shortfall: why
    there are fewer than k slots, None if there are k. failed: the parts that contributed nothing, see `RequestTrace`.
    """

    slots: tuple[Slot, ...]
    query: Query
    candidates: Mapping[str, Candidates]
    variant: str
    fallback_reason: str | None
    shortfall: str | None
    failed: tuple[str, ...]
    trace: tuple[Step, ...]
    drafted_from: tuple["Slate", ...] = ()
    personalised: frozenset[int] = frozenset()

    @property
    def personalised_share(self) -> float | None:
        """The share of the slots that are personalised, None if there are no slots."""
        own = [slot for slot in self.slots if slot.row in self.personalised]
        return len(own) / len(self.slots) if self.slots else None

    @property
    def degraded(self) -> bool:
        """Whether a part of the variant contributed nothing because it failed or was skipped."""
        return bool(self.failed)


class Recommender:
    """Answers queries by one variant of one bundle. variant: its name, None for the bundle's default; breakers: stop
    calling parts that keep failing, None for breakers that never open; ranker: used in place of the variant's own.

    Raises:
        ParamsError: "variant 'a': not in the bundle; it has: als, popular, random"
    """

    def __init__(
        self,
        bundle: Bundle,
        variant: str | None = None,
        breakers: CircuitBreakers | None = None,
        ranker: Ranker | None = None,
    ) -> None:
        self.bundle = bundle
        self.variant = variant or bundle.manifest.default_variant
        if self.variant not in bundle.manifest.variants:
            choices = ", ".join(sorted(bundle.manifest.variants))
            raise ParamsError(f"variant {self.variant!r}: not in the bundle; it has: {choices}")
        breakers = breakers or CircuitBreakers()
        params = bundle.manifest.variants[self.variant]
        self._n_items = len(bundle.catalogue)
        self._candidates = params.candidates
        self._new_share = params.new_item_share or 0.0
        self._min_confidence = params.min_confidence
        self._sources: dict[str, tuple[Source, CircuitBreaker]] = {}
        self._shares: dict[str, float] = {}
        for part in params.sources:
            source = extensions.build("sources", part.source, bundle, part.config)
            self._sources[part.label] = source, breakers.of(f"source {part.label}")
            self._shares[part.label] = part.share
        self._proposing = self._sources
        if self._new_share:
            new: Source = extensions.build("sources", NEW, bundle, {})
            self._proposing = {**self._sources, NEW: (new, breakers.of(f"source {NEW}"))}
        self.ranker = ranker
        if ranker is None and params.ranker is not None:
            self.ranker = extensions.build("rankers", params.ranker.name, bundle, params.ranker.config)
        self._ranker_breaker = breakers.of(RANKER)
        rules = {rule.name: extensions.build("rules", rule.name, bundle, rule.config) for rule in params.rules}
        self._eligibility = Eligibility(bundle, rules, breakers)
        self._rules_guard = SlateRulesGuard(self._n_items, breakers)
        self._encoders: dict[str, tuple[Encoder, CircuitBreaker]] = {
            name: (model.encoder, breakers.of(f"encoder {name}"))
            for name, model in bundle.models.items()
            if name in self._sources
        }
        self._pairs: dict[str, tuple[ItemItem, CircuitBreaker]] = {
            name: (model, breakers.of(f"encoder {name}"))
            for name, model in bundle.item_items.items()
            if name in self._sources
        }
        # of a variant that uses the history, a list without a personalised slot counts as a fallback
        self._personal = not self._sources.keys().isdisjoint({*bundle.models, *bundle.item_items, REPEAT})
        self._similar = {name: (model.similar, breakers.of(f"similar {name}")) for name, model in bundle.models.items()}
        self._fallback = Fallback(bundle, self._eligibility, breakers)
        self._trained = Recommender(bundle, params.without_live, breakers) if params.without_live else None

    def recommend(self, query: Query, rules: SlateRules | None = None) -> Slate:
        """Return k items without duplicates that may be shown; if there are fewer, `Slate.shortfall` says why."""
        if self._trained is not None and not has_live(query, self.bundle.manifest.recent_half_life_days):
            return self._trained.recommend(query, rules)
        request = self._begin(query, rules)
        self._encode(request)
        query = request.query
        wanted = depth = request.rules.depth(query.k) if request.rules else query.k
        pinned = self._pinned(request)
        n = max(self._candidates, depth + len(query.history.rows) + len(query.exclude))
        while True:
            proposals = self._propose(request, n)
            # before the slots are filled: otherwise seen items would use up the share of their source
            request.candidates = allowed = self._eligibility.filter(request, proposals)
            ordered = slots = self._order(request, {label: allowed[label] for label in self._sources}, wanted)
            if self._new_share:  # a ranking by past demand would never show them
                slots = reserve_new_items(ordered, allowed[NEW], NEW, self._new_share, query)
            slots = self._arrange(request, pinned + slots)
            exhausted = n >= self._n_items or max([len(proposals[label].rows) for label in self._sources]) < n
            refused = (exhausted and len(ordered) < wanted) or len(ordered) > TRIED * query.k
            if len(slots) >= query.k or refused or perf_counter() >= query.deadline:
                break
            n, wanted = n * 4, n * 4 if request.rules else wanted
        reason = None
        if doubtful := self._doubtful(query, slots):
            slots = self._arrange(request, pinned)
        if len(slots) < query.k:
            reason = "low_confidence" if doubtful else fallback_reason(request, self._personal)
            slots = self._arrange(request, self._fallback.fill(request, slots, depth, capped=True))
        own = personalised(request.candidates, slots) | self._raised(request, slots)
        if reason is None and self._personal and not own:
            reason = fallback_reason(request, self._personal)
        return self._slate(request, slots, reason, own)

    def similar(self, row: int, query: Query, rules: SlateRules | None = None) -> Slate:
        """Return items similar to the one in `row`, with the rules of the variant and the same fallback. Of the
        business rules only blocks and boosts apply: similar items share their categories, so caps and diversity would
        remove them."""
        request = self._begin(replace(query, exclude=np.append(query.exclude, np.int32(row))), rules)
        query = request.query
        n = max(self._candidates, query.k + len(query.history) + len(query.exclude))
        slots: list[Slot] = []
        for name, (similar, breaker) in self._similar.items():
            candidates = request.trace.call_or_default(breaker, partial(similar.to, row, n), NO_CANDIDATES)
            request.trace.step(f"source {name}", len(candidates.rows))
            allowed = self._eligibility.filter(request, {name: candidates})
            slots = interleave_by_share(apply_boosts(query, allowed, request.rules), {name: 1.0}, query.k)
            if slots:
                break
        reason = None
        if len(slots) < query.k:
            reason = request.trace.why_missing or ("too_few_candidates" if slots else "item_unknown_to_models")
            slots = self._fallback.fill(request, slots, query.k)
        return self._slate(request, slots, reason, caps=False)

    def _begin(self, query: Query, rules: SlateRules | None) -> Request:
        trace = RequestTrace(query.deadline)
        return Request(query, GuardedSlateRules(rules, trace, self._rules_guard) if rules else None, trace)

    def _encode(self, request: Request) -> None:
        """Encode the history by each model, into `vectors` and `pair_scores` of the request's query."""
        query, trace = request.query, request.trace
        vectors: dict[str, FloatArray | None] = {}
        for name, (encoder, breaker) in self._encoders.items():
            encode = partial(query.history.vector, encoder, query.now)
            vectors[name] = trace.call_or_default(breaker, encode, None)
        pair_scores: dict[str, FloatArray] = {}
        for name, (pairs, breaker) in self._pairs.items() if len(query.history) else ():
            score = partial(item_item.scores, pairs, query.history, query.now, self._n_items)
            scores = trace.call_or_default(breaker, score, None)
            if scores is not None:
                pair_scores[name] = scores
        if self._encoders or self._pairs:
            request.query = replace(query, vectors=vectors, pair_scores=pair_scores)
        trace.step("encode", sum(each is not None for each in vectors.values()) + len(pair_scores))

    def _propose(self, request: Request, n: int) -> dict[str, Candidates]:
        query, trace, proposals = request.query, request.trace, {}
        n_new = self._candidates + len(query.history.rows) + len(query.exclude) if self._new_share else n
        for label, (source, breaker) in self._proposing.items():
            propose = partial(proposed, source, query, n_new if label == NEW else n, self._n_items)
            proposals[label] = found = trace.call_or_default(breaker, propose, NO_CANDIDATES)
            trace.step(breaker.part, len(found.rows))
        return proposals

    def _order(self, request: Request, allowed: Mapping[str, Candidates], depth: int) -> list[Slot]:
        """Return the best `depth` candidates, after boosts, ordered by the ranker or interleaved by share."""
        query, rules, slots = request.query, request.rules, None
        if self.ranker is not None:
            rank = partial(ranked, query, allowed, self.ranker, depth, rules)
            slots = request.trace.call_or_default(self._ranker_breaker, rank, None)
        if slots is None:
            slots = interleave_by_share(apply_boosts(query, allowed, rules), self._shares, depth)
        request.trace.step("rank" if self.ranker else "mix", len(slots))
        return slots

    def _pinned(self, request: Request) -> list[Slot]:
        if request.rules is None or not len(rows := request.rules.pins(request.query)):
            return []
        kept = rows[self._eligibility.mask(request, rows)]
        request.trace.step("pins", len(kept), len(rows) - len(kept))
        return [Slot(row, 0.0, PIN) for row in kept.tolist()]

    def _arrange(self, request: Request, slots: list[Slot]) -> list[Slot]:
        """Apply the business rules to the ordered slots, also after the deadline, and return the first k."""
        if request.rules is not None:
            before = len(slots)
            slots = request.rules.arrange(request.query, slots)
            request.trace.step("arrange", len(slots), before - len(slots))
        return slots[: request.query.k]

    def _doubtful(self, query: Query, slots: list[Slot]) -> bool:
        """Return whether the confidence of the best slot is below the variant's `min_confidence`."""
        if self._min_confidence is None or self.bundle.calibration is None:
            return False
        own = [slot for slot in slots if slot.source != PIN][:1]
        confidences = self.bundle.calibration.of(self.variant, own, 1, len(query.history))
        return any(confidence is not None and confidence < self._min_confidence for confidence in confidences)

    def _raised(self, request: Request, slots: list[Slot]) -> frozenset[int]:
        """Return the rows of the slots whose item the ranker placed higher by an attribute of the user."""
        query, trace = request.query, request.trace
        if not query.attributes or RANKER in trace.failed or not isinstance(self.ranker, UsesAttributes):
            return frozenset()
        rows = np.array([slot.row for slot in slots if slot.source in self._sources and not slot.fallback], np.int32)
        raised = trace.call_or_default(
            self._ranker_breaker, partial(self.ranker.raised, query, rows), None, optional=False
        )
        return frozenset() if raised is None else frozenset(rows[raised].tolist())

    def _slate(
        self,
        request: Request,
        slots: list[Slot],
        reason: str | None,
        personalised: frozenset[int] = frozenset(),
        *,
        caps: bool = True,
    ) -> Slate:
        trace, k, shortfall = request.trace, request.query.k, None
        if len(slots) < k:
            shortfall = f"only {len(slots)} of {self._n_items} items may be shown here, {k} were asked for"
            n_allowed = self._fallback.n_allowed(request) if caps and request.rules else 0
            if n_allowed > len(slots):
                shortfall += f"; the caps of the business rules leave out {n_allowed - len(slots)} more"
        parts = (request.query, request.candidates, self.variant, reason, shortfall)
        return Slate(tuple(slots), *parts, tuple(trace.failed), tuple(trace.steps), personalised=personalised)
