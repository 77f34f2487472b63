"""The main path: encode -> sources -> rules -> rank or mix -> reserve -> arrange -> fallback -> top k, with a trace.

Offline evaluation and the API both call `Recommender.recommend`: what was measured is what is served. A part that
raises contributes nothing, is named in the answer, and the answer is marked as degraded.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from recsys import extensions
from recsys.allowing import allow, keep
from recsys.bundle import Bundle
from recsys.contracts import (
    NO_CANDIDATES,
    NO_ROWS,
    PIN,
    Candidates,
    FloatArray,
    Query,
    Ranker,
    Rule,
    Shape,
    Slot,
    Source,
)
from recsys.errors import ParamsError
from recsys.mixing import adjusted, mix, ranked, reserve
from recsys.running import Guard, Run, Step

FALLBACK = "popular"
LAST_RESORT = "static"
NEW = "new"


@dataclass(frozen=True)
class Answer:
    """Slots best first, without duplicates, and how they came about.

    fallback_reason is None when the variant's own sources filled the list; shortfall is None when all k slots are
    filled; failed names the parts that raised.
    """

    slots: tuple[Slot, ...]
    variant: str
    fallback_reason: str | None
    shortfall: str | None
    failed: tuple[str, ...]
    trace: tuple[Step, ...]

    @property
    def degraded(self) -> bool:
        """True when a part failed and the answer was made without it."""
        return bool(self.failed)


class Recommender:
    """One variant of one bundle, ready to answer. `guard` keeps parts that keep failing out of the way.

    Raises:
        ParamsError: "variant 'a': not in the bundle; it has: als, popular, random"
    """

    def __init__(self, bundle: Bundle, variant: str | None = None, guard: Guard | None = None) -> None:
        self.bundle = bundle
        self.variant = variant or bundle.manifest.default_variant
        if self.variant not in bundle.manifest.variants:
            choices = ", ".join(sorted(bundle.manifest.variants))
            raise ParamsError(f"variant {self.variant!r}: not in the bundle; it has: {choices}")
        params = bundle.manifest.variants[self.variant]
        self._guard = guard
        self._candidates = params.candidates
        self._new_share = params.new_item_share
        self._sources: dict[str, Source] = {}
        self._shares: dict[str, float] = {}
        for part in params.sources:
            label = part.config.get("model", part.source)
            self._sources[label] = extensions.build("sources", part.source, bundle, part.config)
            self._shares[label] = part.share
        self._new: Source | None = extensions.build("sources", NEW, bundle, {}) if self._new_share else None
        self._ranker: Ranker | None = (
            extensions.build("rankers", params.ranker.name, bundle, params.ranker.config) if params.ranker else None
        )
        self._rules: dict[str, Rule] = {
            rule.name: extensions.build("rules", rule.name, bundle, rule.config) for rule in params.rules
        }
        self._models = [name for name in bundle.models if name in self._sources]
        self._fallback: Source = extensions.build("sources", FALLBACK, bundle, {})
        self._static = np.argsort(-bundle.catalogue.popularity, kind="stable").astype(np.int32)

    def recommend(self, query: Query, shape: Shape | None = None) -> Answer:
        """Exactly k items, none of them twice, seen or excluded; or `shortfall` says why there are fewer."""
        run = Run(query.deadline, self._guard)
        query = replace(query, vectors=self._encode(query, run))
        wanted = depth = query.k if shape is None else shape.depth(query.k)
        pinned = self._pinned(query, shape, run)
        n_items = len(self.bundle.catalogue)
        n = max(self._candidates, depth + len(query.history) + len(query.exclude))
        while True:
            proposals = self._propose(query, n, run)
            # before the slots are dealt: otherwise seen favourites would eat their own source's share
            allowed = allow(self._rules, query, proposals, shape, run)
            slots = self._order(query, allowed, wanted, shape, run)
            slots = self._reserve(query, slots, shape, run)
            slots = self._arrange(query, pinned + slots, shape, run)
            if len(slots) >= query.k or n >= n_items or max(len(found.rows) for found in proposals.values()) < n:
                break
            n, wanted = n * 4, wanted * 4
        reason = None
        if len(slots) < query.k:
            reason = self._why(query, run)
            filled = self._fill(query, slots, depth, shape, run, capped=True)
            slots = self._arrange(query, filled, shape, run)
        return self._answer(query, slots, shape, reason, run)

    def similar(self, row: int, query: Query, shape: Shape | None = None) -> Answer:
        """Items like the one in `row`, under the same rules and with the same fallback; query gives k and exclude.

        Of the house's wishes only what it blocks and boosts counts: items that are alike share their categories, so
        caps and diversity would undo what was asked for.
        """
        run = Run(query.deadline, self._guard)
        query = replace(query, exclude=np.append(query.exclude, np.int32(row)))
        n = max(self._candidates, query.k + len(query.history) + len(query.exclude))
        slots: list[Slot] = []
        for name, model in self.bundle.models.items():
            found = run.attempt(f"source {name}", partial(model.similar.to, row, n), NO_CANDIDATES)
            run.step(f"source {name}", len(found.rows))
            allowed = allow(self._rules, query, {name: found}, shape, run)
            slots = mix(adjusted(query, allowed, shape), {name: 1.0}, query.k)
            if slots:
                break
        reason = None
        if len(slots) < query.k:
            reason = "part_failed" if run.failed else "too_few_candidates" if slots else "item_unknown_to_models"
            slots = self._fill(query, slots, query.k, shape, run)
        return self._answer(query, slots, None, reason, run)

    def _encode(self, query: Query, run: Run) -> dict[str, FloatArray | None]:
        vectors: dict[str, FloatArray | None] = {}
        for name in self._models:
            encode = self.bundle.models[name].encoder.encode
            vectors[name] = run.attempt(f"encoder {name}", partial(encode, query.history, query.now), None)
        run.step("encode", sum(vector is not None for vector in vectors.values()))
        return vectors

    def _propose(self, query: Query, n: int, run: Run) -> dict[str, Candidates]:
        return {label: self._ask(label, source, query, n, run) for label, source in self._sources.items()}

    def _ask(self, label: str, source: Source, query: Query, n: int, run: Run) -> Candidates:
        part = f"source {label}"
        found = run.attempt(part, partial(source.propose, query, n), NO_CANDIDATES)
        run.step(part, len(found.rows))
        return found

    def _order(
        self, query: Query, allowed: Mapping[str, Candidates], depth: int, shape: Shape | None, run: Run
    ) -> list[Slot]:
        """The best `depth` candidates, by the ranker or else dealt by share; boosts count before the cut."""
        slots = None
        if self._ranker is not None:
            slots = run.attempt("ranker", partial(ranked, query, allowed, self._ranker, depth, shape), None)
        if slots is None:
            slots = mix(adjusted(query, allowed, shape), self._shares, depth)
        run.step("rank" if self._ranker else "mix", len(slots))
        return slots

    def _reserve(self, query: Query, slots: list[Slot], shape: Shape | None, run: Run) -> list[Slot]:
        """A variant may keep a share of the slots for new items, which no ranking of old demand would ever show."""
        if self._new is None:
            return slots
        found = self._ask(NEW, self._new, query, self._candidates + len(query.history) + len(query.exclude), run)
        new = allow(self._rules, query, {NEW: found}, shape, run)[NEW]
        return reserve(slots, new, NEW, self._new_share, query)

    def _pinned(self, query: Query, shape: Shape | None, run: Run) -> list[Slot]:
        """What the house wants in a fixed place, as far as the rules allow: who forbids, wins."""
        rows = NO_ROWS if shape is None else shape.pins(query)
        if not len(rows):
            return []
        kept = rows[keep(self._rules, query, rows, shape, run)]
        run.step("pins", len(kept), len(rows) - len(kept))
        return [Slot(row, 0.0, PIN) for row in kept.tolist()]

    def _arrange(self, query: Query, slots: list[Slot], shape: Shape | None, run: Run) -> list[Slot]:
        """Not an optional part, whatever the deadline says: a cap forbids."""
        if shape is not None:
            before = len(slots)
            try:
                slots = shape.arrange(query, slots)
            except Exception:  # noqa: BLE001 (the answer goes on without the part)
                run.fail("shape")
            run.step("arrange", len(slots), before - len(slots))
        return slots[: query.k]

    def _why(self, query: Query, run: Run) -> str:
        if run.failed:
            return "part_failed"
        if not len(query.history):
            return "no_history"
        if self._models and not any(vector is not None for vector in query.vectors.values()):
            return "history_unknown_to_models"
        return "too_few_candidates"

    def _answer(self, query: Query, slots: list[Slot], shape: Shape | None, reason: str | None, run: Run) -> Answer:
        shortfall = None
        if len(slots) < query.k:
            n_items = len(self.bundle.catalogue)
            shortfall = f"only {len(slots)} of {n_items} items may be shown here, {query.k} were asked for"
            allowed = 0 if shape is None else int(keep(self._rules, query, self._static, shape, run).sum())
            if allowed > len(slots):
                shortfall += f"; the caps of the house leave out {allowed - len(slots)} more"
        return Answer(tuple(slots), self.variant, reason, shortfall, tuple(run.failed), tuple(run.steps))

    def _fill(
        self, query: Query, slots: list[Slot], wanted: int, shape: Shape | None, run: Run, capped: bool = False
    ) -> list[Slot]:
        """Fill up from what is popular now, then from the order that is fixed in the bundle."""
        try:
            popular = self._fallback.propose(query, len(self.bundle.catalogue))
        except Exception:  # noqa: BLE001 (the answer goes on without the part)
            run.fail(f"source {FALLBACK}")
            popular = NO_CANDIDATES
        popular = adjusted(query, {FALLBACK: popular}, shape)[FALLBACK]
        static = Candidates(self._static, np.zeros(len(self._static), dtype=np.float32))
        filled = list(slots)
        for label, found in ((FALLBACK, popular), (LAST_RESORT, static)):
            if len(filled) >= wanted:
                break
            taken = np.fromiter((slot.row for slot in filled), dtype=np.int32, count=len(filled))
            free = np.isin(found.rows, taken, invert=True)
            chosen = np.flatnonzero(free & keep(self._rules, query, found.rows, shape, run))
            if shape is not None and capped:
                chosen = chosen[shape.room(filled, found.rows[chosen], wanted - len(filled))]
            chosen = chosen[: wanted - len(filled)]
            filled += [Slot(int(found.rows[at]), float(found.scores[at]), label, fallback=True) for at in chosen]
        run.step("fallback", len(filled), 0)
        return filled
