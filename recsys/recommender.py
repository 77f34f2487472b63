"""The main path: encode -> sources -> rules -> rank or mix -> reserve -> arrange -> fallback -> top k, with a trace.

Offline evaluation and the API both call `Recommender.recommend`: what was measured is what is served. A part that
raises contributes nothing, is named in the answer, and the answer is marked as degraded.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from recsys import extensions
from recsys.bundle import Bundle
from recsys.contracts import (
    NO_CANDIDATES,
    BoolArray,
    Candidates,
    FloatArray,
    IntArray,
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
        depth = query.k if shape is None else shape.depth(query.k)
        n_items = len(self.bundle.catalogue)
        n = max(self._candidates, depth + len(query.history) + len(query.exclude))
        while True:
            proposals = self._propose(query, n, run)
            allowed = self._allow(query, proposals, shape, run)
            slots = self._order(query, allowed, depth, shape, run)
            slots = self._reserve(query, slots, shape, run)
            slots = self._arrange(query, slots, shape, run)
            if len(slots) >= query.k or n >= n_items or max(len(found.rows) for found in proposals.values()) < n:
                break
            n *= 4
        reason = None
        if len(slots) < query.k:
            reason = self._why(query, run)
            slots = self._fill(query, slots, shape, run)
        return self._answer(query, slots, reason, run)

    def similar(self, row: int, query: Query, shape: Shape | None = None) -> Answer:
        """Items like the one in `row`, under the same rules and with the same fallback; query gives k and exclude."""
        run = Run(query.deadline, self._guard)
        query = replace(query, exclude=np.append(query.exclude, np.int32(row)))
        n = max(self._candidates, query.k + len(query.history) + len(query.exclude))
        slots: list[Slot] = []
        for name, model in self.bundle.models.items():
            found = run.attempt(f"source {name}", partial(model.similar.to, row, n), NO_CANDIDATES)
            run.step(f"source {name}", len(found.rows))
            slots = mix(self._allow(query, {name: found}, shape, run), {name: 1.0}, query.k)
            if slots:
                break
        reason = None
        if len(slots) < query.k:
            reason = "part_failed" if run.failed else "too_few_candidates" if slots else "item_unknown_to_models"
            slots = self._fill(query, slots, shape, run)
        return self._answer(query, slots, reason, run)

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

    def _allow(
        self, query: Query, proposals: Mapping[str, Candidates], shape: Shape | None, run: Run
    ) -> dict[str, Candidates]:
        """Rules come before the slots are dealt: otherwise seen favourites would eat their own source's share."""
        allowed = {}
        before = after = 0
        for label, found in proposals.items():
            keep = self._keep(query, found.rows, shape, run)
            allowed[label] = Candidates(found.rows[keep], found.scores[keep])
            before, after = before + len(keep), after + int(keep.sum())
        run.step("rules", after, before - after)
        return allowed

    def _keep(self, query: Query, rows: IntArray, shape: Shape | None, run: Run) -> BoolArray:
        keep: BoolArray = np.isin(rows, query.exclude, invert=True)
        if query.only is not None:
            keep &= query.only[rows]
        rules = self._rules if shape is None else {**self._rules, "shape": shape}
        for name, rule in rules.items():
            try:
                keep &= rule.keep(query, rows)
            except Exception:  # noqa: BLE001 (the answer goes on without the part)
                # a rule forbids: when it cannot be asked, nothing may pass
                run.fail(f"rule {name}")
                keep[:] = False
        return keep

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
        new = self._allow(query, {NEW: found}, shape, run)[NEW]
        return reserve(slots, new, NEW, self._new_share, query)

    def _arrange(self, query: Query, slots: list[Slot], shape: Shape | None, run: Run) -> list[Slot]:
        if shape is not None:
            slots = run.attempt("shape", partial(shape.arrange, query, slots), slots)
            run.step("arrange", min(len(slots), query.k))
        return slots[: query.k]

    def _why(self, query: Query, run: Run) -> str:
        if run.failed:
            return "part_failed"
        if not len(query.history):
            return "no_history"
        if self._models and not any(vector is not None for vector in query.vectors.values()):
            return "history_unknown_to_models"
        return "too_few_candidates"

    def _answer(self, query: Query, slots: list[Slot], reason: str | None, run: Run) -> Answer:
        shortfall = None
        if len(slots) < query.k:
            n_items = len(self.bundle.catalogue)
            shortfall = f"only {len(slots)} of {n_items} items may be shown here, {query.k} were asked for"
        return Answer(tuple(slots), self.variant, reason, shortfall, tuple(run.failed), tuple(run.steps))

    def _fill(self, query: Query, slots: list[Slot], shape: Shape | None, run: Run) -> list[Slot]:
        """Fill up from what is popular now, then from the order that is fixed in the bundle."""
        try:
            popular = self._fallback.propose(query, len(self.bundle.catalogue))
        except Exception:  # noqa: BLE001 (the answer goes on without the part)
            run.fail(f"source {FALLBACK}")
            popular = NO_CANDIDATES
        static = Candidates(self._static, np.zeros(len(self._static), dtype=np.float32))
        filled = list(slots)
        for label, found in ((FALLBACK, popular), (LAST_RESORT, static)):
            if len(filled) >= query.k:
                break
            taken = np.fromiter((slot.row for slot in filled), dtype=np.int32, count=len(filled))
            keep = self._keep(query, found.rows, shape, run) & np.isin(found.rows, taken, invert=True)
            chosen = np.flatnonzero(keep)[: query.k - len(filled)]
            filled += [Slot(int(found.rows[at]), float(found.scores[at]), label, fallback=True) for at in chosen]
        run.step("fallback", len(filled), 0)
        return filled
