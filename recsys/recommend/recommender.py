"""The main path: encode -> sources -> rules -> rank or mix -> reserve -> arrange -> fallback -> top k, with a trace.

Offline evaluation and the API both call `Recommender.recommend`: what was measured is what is served. A part that
raises, that its breaker leaves alone, or that would begin after the deadline contributes nothing, is named in the
answer, and the answer is marked as degraded. The rungs below the variant's own sources are in
`recsys/recommend/fallback.py`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from recsys import extensions
from recsys.bundle.bundle import Bundle
from recsys.contracts import NEW, NO_CANDIDATES, PIN, Candidates, FloatArray, Query, Ranker, SlateRules, Slot, Source
from recsys.errors import ParamsError
from recsys.recommend.blending import apply_boosts, interleave_by_share, ranked, reserve_new_items
from recsys.recommend.eligibility import Eligibility
from recsys.recommend.fallback import Fallback
from recsys.recommend.guarded_slate import GuardedSlateRules, LastKnownBlocklist
from recsys.recommend.trace import Guard, RequestTrace, Step

TRIED = 20  # candidates for a place: when the house refuses so many, the fallback knows better what it takes


@dataclass(frozen=True)
class Slate:
    """Slots best first, without duplicates, and how they came about.

    fallback_reason is None when the variant's own sources filled the list; shortfall is None when all k slots are
    filled; failed names the parts that contributed nothing, see `RequestTrace`.
    """

    slots: tuple[Slot, ...]
    variant: str
    fallback_reason: str | None
    shortfall: str | None
    failed: tuple[str, ...]
    trace: tuple[Step, ...]

    @property
    def degraded(self) -> bool:
        """True when the answer was made without a part that belongs to it."""
        return bool(self.failed)


class Recommender:
    """One variant of one bundle, ready to answer. `guard` keeps parts that keep failing out of the way; `ranker` stands
    in for the one that the variant names.

    Raises:
        ParamsError: "variant 'a': not in the bundle; it has: als, popular, random"
    """

    def __init__(
        self, bundle: Bundle, variant: str | None = None, guard: Guard | None = None, ranker: Ranker | None = None
    ) -> None:
        self.bundle = bundle
        self.variant = variant or bundle.manifest.default_variant
        if self.variant not in bundle.manifest.variants:
            choices = ", ".join(sorted(bundle.manifest.variants))
            raise ParamsError(f"variant {self.variant!r}: not in the bundle; it has: {choices}")
        params = bundle.manifest.variants[self.variant]
        self._guard = guard
        self._candidates = params.candidates
        self._new_share = params.new_item_share
        self._min_confidence = params.min_confidence
        self._sources: dict[str, Source] = {}
        self._shares: dict[str, float] = {}
        for part in params.sources:
            label = part.config.get("model", part.source)
            self._sources[label] = extensions.build("sources", part.source, bundle, part.config)
            self._shares[label] = part.share
        self._new: Source | None = extensions.build("sources", NEW, bundle, {}) if self._new_share else None
        self._ranker = ranker
        if ranker is None and params.ranker is not None:
            self._ranker = extensions.build("rankers", params.ranker.name, bundle, params.ranker.config)
        rules = {rule.name: extensions.build("rules", rule.name, bundle, rule.config) for rule in params.rules}
        self._allowing = Eligibility(bundle, rules)
        self._blocked = LastKnownBlocklist(np.zeros(len(bundle.catalogue), dtype=np.bool_))
        self._models = [name for name in bundle.models if name in self._sources]
        self._ladder = Fallback(bundle, self._allowing)

    def recommend(self, query: Query, shape: SlateRules | None = None) -> Slate:
        """Exactly k items, none of them twice, seen or excluded; or `shortfall` says why there are fewer."""
        run = RequestTrace(query.deadline, self._guard)
        house = GuardedSlateRules(shape, run, self._blocked) if shape else None
        query = replace(query, vectors=self._encode(query, run))
        wanted = depth = house.depth(query.k) if house else query.k
        pinned = self._pinned(query, house, run)
        n_items = len(self.bundle.catalogue)
        n = max(self._candidates, depth + len(query.history) + len(query.exclude))
        while True:
            proposals = self._propose(query, n, run)
            # before the slots are dealt: otherwise seen favourites would eat their own source's share
            allowed = self._allowing.filter(query, proposals, house, run)
            ordered = self._order(query, allowed, wanted, house, run)
            slots = self._arrange(query, pinned + self._reserve_new_items(query, ordered, house, run), house, run)
            exhausted = n >= n_items or max(len(found.rows) for found in proposals.values()) < n
            refused = (exhausted and len(ordered) < wanted) or len(ordered) > TRIED * query.k
            if len(slots) >= query.k or refused or run.over():
                break
            n, wanted = n * 4, n * 4 if house else wanted
        reason = None
        if doubtful := self._doubtful(query, slots):
            slots = self._arrange(query, pinned, house, run)
        if len(slots) < query.k:
            reason = "low_confidence" if doubtful else self._why(query, run)
            filled = self._ladder.fill(query, slots, depth, house, run, capped=True)
            slots = self._arrange(query, filled, house, run)
        return self._answer(query, slots, house, reason, run)

    def similar(self, row: int, query: Query, shape: SlateRules | None = None) -> Slate:
        """Items like the one in `row`, under the same rules and with the same fallback; query gives k and exclude.

        Of the house's wishes only what it blocks and boosts counts: items that are alike share their categories, so
        caps and diversity would undo what was asked for.
        """
        run = RequestTrace(query.deadline, self._guard)
        house = GuardedSlateRules(shape, run, self._blocked) if shape else None
        query = replace(query, exclude=np.append(query.exclude, np.int32(row)))
        n = max(self._candidates, query.k + len(query.history) + len(query.exclude))
        slots: list[Slot] = []
        for name, model in self.bundle.models.items():
            found = run.call_or_default(f"similar {name}", partial(model.similar.to, row, n), NO_CANDIDATES)
            run.step(f"source {name}", len(found.rows))
            allowed = self._allowing.filter(query, {name: found}, house, run)
            slots = interleave_by_share(apply_boosts(query, allowed, house), {name: 1.0}, query.k)
            if slots:
                break
        reason = None
        if len(slots) < query.k:
            reason = _why_without(run) or ("too_few_candidates" if slots else "item_unknown_to_models")
            slots = self._ladder.fill(query, slots, query.k, house, run)
        return self._answer(query, slots, None, reason, run)

    def _encode(self, query: Query, run: RequestTrace) -> dict[str, FloatArray | None]:
        vectors: dict[str, FloatArray | None] = {}
        for name in self._models:
            encode = self.bundle.models[name].encoder.encode
            vectors[name] = run.call_or_default(f"encoder {name}", partial(encode, query.history, query.now), None)
        run.step("encode", sum(vector is not None for vector in vectors.values()))
        return vectors

    def _propose(self, query: Query, n: int, run: RequestTrace) -> dict[str, Candidates]:
        return {label: self._ask(label, source, query, n, run) for label, source in self._sources.items()}

    def _ask(self, label: str, source: Source, query: Query, n: int, run: RequestTrace) -> Candidates:
        part = f"source {label}"
        found = run.call_or_default(part, partial(source.propose, query, n), NO_CANDIDATES)
        run.step(part, len(found.rows))
        return found

    def _order(
        self,
        query: Query,
        allowed: Mapping[str, Candidates],
        depth: int,
        house: GuardedSlateRules | None,
        run: RequestTrace,
    ) -> list[Slot]:
        """The best `depth` candidates, by the ranker or else dealt by share; boosts count before the cut."""
        slots = None
        if self._ranker is not None:
            slots = run.call_or_default("ranker", partial(ranked, query, allowed, self._ranker, depth, house), None)
        if slots is None:
            slots = interleave_by_share(apply_boosts(query, allowed, house), self._shares, depth)
        run.step("rank" if self._ranker else "mix", len(slots))
        return slots

    def _reserve_new_items(
        self, query: Query, slots: list[Slot], house: GuardedSlateRules | None, run: RequestTrace
    ) -> list[Slot]:
        """A variant may keep a share of the slots for new items, which no ranking of old demand would ever show."""
        if self._new is None:
            return slots
        found = self._ask(NEW, self._new, query, self._candidates + len(query.history) + len(query.exclude), run)
        new = self._allowing.filter(query, {NEW: found}, house, run)[NEW]
        return reserve_new_items(slots, new, NEW, self._new_share, query)

    def _pinned(self, query: Query, house: GuardedSlateRules | None, run: RequestTrace) -> list[Slot]:
        """What the house wants in a fixed place, as far as the rules allow: who forbids, wins."""
        if house is None or not len(rows := house.pins(query)):
            return []
        kept = rows[self._allowing.keep(query, rows, house, run)]
        run.step("pins", len(kept), len(rows) - len(kept))
        return [Slot(row, 0.0, PIN) for row in kept.tolist()]

    def _arrange(
        self, query: Query, slots: list[Slot], house: GuardedSlateRules | None, run: RequestTrace
    ) -> list[Slot]:
        """Not an optional part, whatever the deadline says: a cap forbids."""
        if house is not None:
            before = len(slots)
            slots = house.arrange(query, slots)
            run.step("arrange", len(slots), before - len(slots))
        return slots[: query.k]

    def _doubtful(self, query: Query, slots: list[Slot]) -> bool:
        """A variant may rather show what is popular than an answer whose best slot it does not trust itself."""
        own = [slot for slot in slots if slot.source != PIN][:1]
        if self._min_confidence is None or self.bundle.calibration is None or not own:
            return False
        confidence = self.bundle.calibration.of(self.variant, own[0], 1, len(query.history))
        return confidence is not None and confidence < self._min_confidence

    def _why(self, query: Query, run: RequestTrace) -> str:
        if without := _why_without(run):
            return without
        if not len(query.history):
            return "no_history"
        if self._models and not any(vector is not None for vector in query.vectors.values()):
            return "history_unknown_to_models"
        return "too_few_candidates"

    def _answer(
        self, query: Query, slots: list[Slot], house: GuardedSlateRules | None, reason: str | None, run: RequestTrace
    ) -> Slate:
        shortfall = None
        if len(slots) < query.k:
            n_items = len(self.bundle.catalogue)
            shortfall = f"only {len(slots)} of {n_items} items may be shown here, {query.k} were asked for"
            allowed = 0 if house is None else self._ladder.allowed(query, house, run)
            if allowed > len(slots):
                shortfall += f"; the caps of the house leave out {allowed - len(slots)} more"
        return Slate(tuple(slots), self.variant, reason, shortfall, tuple(run.failed), tuple(run.steps))


def _why_without(run: RequestTrace) -> str | None:
    return "deadline" if run.late else "part_failed" if run.failed else None
