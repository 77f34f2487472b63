"""The main path: encode the history -> sources -> rules -> rank or mix by share -> fallback -> top k, with a trace.

Offline evaluation and the API both call `Recommender.recommend`: what was measured is what is served. A part that
raises contributes nothing, is named in the answer, and the answer is marked as degraded.
"""

import logging
from dataclasses import dataclass, field, replace
from time import perf_counter

import numpy as np

from recsys import extensions
from recsys.bundle import Bundle
from recsys.contracts import NO_CANDIDATES, BoolArray, Candidates, FloatArray, IntArray, Query, Ranker, Rule, Source
from recsys.errors import ParamsError
from recsys.mixing import Slot, mix, ranked

log = logging.getLogger(__name__)

FALLBACK = "popular"
LAST_RESORT = "static"


@dataclass(frozen=True)
class Step:
    """One line of the trace: what a step kept and removed, and how long it took."""

    name: str
    kept: int
    removed: int
    ms: float


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


@dataclass
class _Run:
    """What one request collects on its way."""

    steps: list[Step] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    clock: float = field(default_factory=perf_counter)

    def step(self, name: str, kept: int, removed: int = 0) -> None:
        now = perf_counter()
        self.steps.append(Step(name, kept, removed, (now - self.clock) * 1e3))
        self.clock = now

    def fail(self, part: str) -> None:
        log.exception("%s failed; answering without it", part)
        if part not in self.failed:
            self.failed.append(part)


class Recommender:
    """One variant of one bundle, ready to answer.

    Raises:
        ParamsError: "variant 'a': not in the bundle; it has: als, popular, random"
    """

    def __init__(self, bundle: Bundle, variant: str | None = None) -> None:
        self.bundle = bundle
        self.variant = variant or bundle.manifest.default_variant
        if self.variant not in bundle.manifest.variants:
            choices = ", ".join(sorted(bundle.manifest.variants))
            raise ParamsError(f"variant {self.variant!r}: not in the bundle; it has: {choices}")
        params = bundle.manifest.variants[self.variant]
        self._candidates = params.candidates
        self._sources: dict[str, tuple[Source, float]] = {}
        for part in params.sources:
            label = part.config.get("model", part.source)
            self._sources[label] = (extensions.build("sources", part.source, bundle, part.config), part.share)
        self._ranker: Ranker | None = (
            extensions.build("rankers", params.ranker.name, bundle, params.ranker.config) if params.ranker else None
        )
        self._rules: dict[str, Rule] = {
            rule.name: extensions.build("rules", rule.name, bundle, rule.config) for rule in params.rules
        }
        self._models = [name for name in bundle.models if name in self._sources]
        self._fallback: Source = extensions.build("sources", FALLBACK, bundle, {})
        self._static = np.argsort(-bundle.catalogue.popularity, kind="stable").astype(np.int32)

    def recommend(self, query: Query) -> Answer:
        """Exactly k items, none of them twice, seen or excluded; or `shortfall` says why there are fewer."""
        run = _Run()
        query = replace(query, vectors=self._encode(query, run))
        n_items = len(self.bundle.catalogue)
        n = max(self._candidates, query.k + len(query.history) + len(query.exclude))
        while True:
            proposals = self._propose(query, n, run)
            allowed = self._allow(query, proposals, run)
            slots = self._order(query, allowed, run)
            if len(slots) >= query.k or n >= n_items or max(len(found.rows) for found in proposals.values()) < n:
                break
            n *= 4
        own = len(slots)
        reason = None
        if own < query.k:
            reason = self._why(query, run)
            slots = self._fill(query, slots, run)
        return self._answer(query, slots, reason, run)

    def similar(self, row: int, query: Query) -> Answer:
        """Items like the one in `row`, under the same rules and with the same fallback; query gives k and exclude."""
        run = _Run()
        query = replace(query, exclude=np.append(query.exclude, np.int32(row)))
        slots: list[Slot] = []
        for name, model in self.bundle.models.items():
            found = NO_CANDIDATES
            try:
                found = model.similar.to(row, max(self._candidates, query.k + len(query.history) + len(query.exclude)))
            except Exception:  # noqa: BLE001 (the answer goes on without the part)
                run.fail(f"source {name}")
            run.step(f"source {name}", len(found.rows))
            slots = mix(self._allow(query, {name: found}, run), {name: 1.0}, query.k)
            if slots:
                break
        reason = None
        if len(slots) < query.k:
            reason = "part_failed" if run.failed else "too_few_candidates" if slots else "item_unknown_to_models"
            slots = self._fill(query, slots, run)
        return self._answer(query, slots, reason, run)

    def _encode(self, query: Query, run: _Run) -> dict[str, FloatArray | None]:
        vectors: dict[str, FloatArray | None] = {}
        for name in self._models:
            try:
                vectors[name] = self.bundle.models[name].encoder.encode(query.history, query.now)
            except Exception:  # noqa: BLE001 (the answer goes on without the part)
                run.fail(f"encoder {name}")
        run.step("encode", sum(vector is not None for vector in vectors.values()))
        return vectors

    def _propose(self, query: Query, n: int, run: _Run) -> dict[str, Candidates]:
        proposals = {}
        for label, (source, _) in self._sources.items():
            proposals[label] = self._ask(label, source, query, n, run)
        return proposals

    def _ask(self, label: str, source: Source, query: Query, n: int, run: _Run) -> Candidates:
        try:
            found = source.propose(query, n)
        except Exception:  # noqa: BLE001 (the answer goes on without the part)
            run.fail(f"source {label}")
            found = NO_CANDIDATES
        run.step(f"source {label}", len(found.rows))
        return found

    def _allow(self, query: Query, proposals: dict[str, Candidates], run: _Run) -> dict[str, Candidates]:
        """Rules come before the slots are dealt: otherwise seen favourites would eat their own source's share."""
        allowed = {}
        before = after = 0
        for label, found in proposals.items():
            keep = self._keep(query, found.rows, run)
            allowed[label] = Candidates(found.rows[keep], found.scores[keep])
            before, after = before + len(keep), after + int(keep.sum())
        run.step("rules", after, before - after)
        return allowed

    def _keep(self, query: Query, rows: IntArray, run: _Run) -> BoolArray:
        keep: BoolArray = np.isin(rows, query.exclude, invert=True)
        for name, rule in self._rules.items():
            try:
                keep &= rule.keep(query, rows)
            except Exception:  # noqa: BLE001 (the answer goes on without the part)
                # a rule forbids: when it cannot be asked, nothing may pass
                run.fail(f"rule {name}")
                keep[:] = False
        return keep

    def _order(self, query: Query, allowed: dict[str, Candidates], run: _Run) -> list[Slot]:
        slots: list[Slot] | None = None
        if self._ranker is not None:
            try:
                slots = ranked(query, allowed, self._ranker)
            except Exception:  # noqa: BLE001 (the answer goes on without the part)
                run.fail("ranker")
        if slots is None:
            slots = mix(allowed, {label: share for label, (_, share) in self._sources.items()}, query.k)
        run.step("rank" if self._ranker else "mix", len(slots))
        return slots

    def _why(self, query: Query, run: _Run) -> str:
        if run.failed:
            return "part_failed"
        if not len(query.history):
            return "no_history"
        if self._models and not any(vector is not None for vector in query.vectors.values()):
            return "history_unknown_to_models"
        return "too_few_candidates"

    def _answer(self, query: Query, slots: list[Slot], reason: str | None, run: _Run) -> Answer:
        shortfall = None
        if len(slots) < query.k:
            n_items = len(self.bundle.catalogue)
            shortfall = f"only {len(slots)} of {n_items} items may be shown here, {query.k} were asked for"
        return Answer(tuple(slots), self.variant, reason, shortfall, tuple(run.failed), tuple(run.steps))

    def _fill(self, query: Query, slots: list[Slot], run: _Run) -> list[Slot]:
        """Fill up from what is popular now, then from the order that is fixed in the bundle."""
        popular = self._ask(FALLBACK, self._fallback, query, len(self.bundle.catalogue), run)
        static = Candidates(self._static, np.zeros(len(self._static), dtype=np.float32))
        filled = list(slots)
        for label, found in ((FALLBACK, popular), (LAST_RESORT, static)):
            if len(filled) >= query.k:
                break
            taken = np.fromiter((slot.row for slot in filled), dtype=np.int32, count=len(filled))
            keep = self._keep(query, found.rows, run) & np.isin(found.rows, taken, invert=True)
            chosen = np.flatnonzero(keep)[: query.k - len(filled)]
            filled += [Slot(int(found.rows[at]), float(found.scores[at]), label, fallback=True) for at in chosen]
        run.step("fallback", len(filled), 0)
        return filled
