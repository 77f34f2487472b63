"""Compiles the business rules for one bundle (catalogue and models that are served together), into a `SlateRules` (see
`recsys/recommend/slate_rules.py`). missing: items and categories that the rules name but the catalogue lacks.

    rules, missing = slate.compiled(schema.read(text, path), bundle)
    Recommender(bundle).recommend(query, rules.at(time.time(), surface="home", diversity=0.3))

A blocked item is not shown even if it is pinned. A pinned item counts for the caps like any other.
"""

from collections import Counter
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from recsys.bundle.bundle import Bundle
from recsys.bundle.catalogue import Catalogue
from recsys.business_rules import diversity
from recsys.business_rules.diversity import Groups
from recsys.business_rules.filters.grammar import ATTRIBUTE, attributes, categories, parse
from recsys.business_rules.filters.masks import Filters
from recsys.business_rules.schema import Block, Boost, Bury, Pin, Rules
from recsys.contracts import NEW, NO_ROWS, PIN, BoolArray, FloatArray, IntArray, Query, Slot

POOL = 5  # caps and diversity choose among this many ordered slots per slot of the answer,
POOL_MORE = 200  # but at most this many more than the answer has: MMR compares all pairs
CHUNK = 1024  # rows: most answers are filled from the first chunk
UNCAPPED = np.iinfo(np.int32).max


@dataclass(frozen=True)
class CompiledSlateRules:
    """The rules of one file for one bundle; implements `SlateRules`. allowed: (n_items,) bool, None if no item is
    blocked; factors: (n_items,) float32, the product of the factors of all boost and bury rules that match the item,
    None without such rules; caps: (n_categories,) int32 by the codes of `groups`, None without caps; capped_on: the
    surfaces with caps, all if empty; placed: (row of the item, pin) ordered by position; diversity: weight of the
    difference between items, 0 to 1, see `recsys/business_rules/diversity.py`."""

    bundle: Bundle
    groups: Groups
    allowed: BoolArray | None = None
    factors: FloatArray | None = None
    caps: IntArray | None = None
    capped_on: tuple[str, ...] = ()
    placed: tuple[tuple[int, Pin], ...] = ()
    diversity: float = 0.0

    def at(self, now: float, surface: str | None = None, diversity: float | None = None) -> "CompiledSlateRules":
        """Return the rules that apply at a time (UTC seconds) on a surface. diversity: as in the file if None."""
        placed = tuple((row, pin) for row, pin in self.placed if _applies(pin, now, surface))
        caps = self.caps if not self.capped_on or surface in self.capped_on else None
        if placed == self.placed and caps is self.caps and diversity is None:
            return self
        diverse = self.diversity if diversity is None else diversity
        return replace(self, placed=placed, caps=caps, diversity=diverse)

    def keep(self, query: Query, rows: IntArray) -> BoolArray:
        return np.ones(len(rows), dtype=np.bool_) if self.allowed is None else self.allowed[rows]

    def adjust(self, query: Query, rows: IntArray, scores: FloatArray) -> FloatArray:
        """Return the scores of the items in `rows`, multiplied by their factors. If a score is negative, where a factor
        above 1 would lower it, the distance of each score from the lowest one is multiplied instead."""
        if self.factors is None:
            return scores
        factors = self.factors[rows]
        if (factors == 1).all():
            return scores
        low = min(scores.min(), np.float32(0))
        adjusted: FloatArray = low + (scores - low) * factors
        return adjusted

    def pins(self, query: Query) -> IntArray:
        rows = dict.fromkeys(row for row, pin in self.placed if pin.position <= query.k)
        return np.fromiter(rows, dtype=np.int32) if rows else NO_ROWS

    def depth(self, k: int) -> int:
        return k if self.caps is None and not self.diversity else min(POOL * k, k + POOL_MORE)

    def room(self, slots: list[Slot], rows: IntArray, n: int) -> npt.NDArray[np.intp]:
        if self.caps is None:
            return np.arange(min(n, len(rows)))
        taken: Counter[int] = Counter()
        shut = np.zeros(len(self.bundle.catalogue), dtype=np.bool_)
        for slot in slots:
            self._take(slot.row, taken, shut)
        chosen: list[int] = []
        for start in range(0, len(rows), CHUNK):
            for place in (start + np.flatnonzero(~shut[rows[start : start + CHUNK]])).tolist():
                if len(chosen) == n:
                    return np.array(chosen, dtype=np.intp)
                if not shut[rows[place]]:
                    self._take(rows[place], taken, shut)
                    chosen.append(place)
        return np.array(chosen, dtype=np.intp)

    def _take(self, row: int, taken: Counter[int], shut: BoolArray) -> None:
        """Count an item for its categories in `taken`; when one reaches its cap, mark its items in `shut`."""
        for code in self.groups.of(row).tolist():
            taken[code] += 1
            if self.caps is not None and taken[code] >= self.caps[code]:
                shut[self.groups.members[code]] = True

    def arrange(self, query: Query, slots: list[Slot]) -> list[Slot]:
        """Apply caps and diversity to ordered slots and return the first k. Pinned items move to the position of their
        pin, items of the source `new` stay in the slots reserved for new items, and the others fill the rest."""
        positions = {row: pin.position - 1 for row, pin in reversed(self.placed)}
        pinned = self._capped([], [slot for slot in slots if slot.source == PIN])
        taken = {slot.row for slot in pinned}
        others = self._capped(pinned, [slot for slot in slots if slot.row not in taken and slot.source != PIN])
        fixed: dict[int, Slot] = {}
        for slot in pinned:
            _put(fixed, slot, positions[slot.row], query.k)
        for place, slot in enumerate(others[: query.k]):
            if slot.source == NEW:
                _put(fixed, slot, place, query.k)
        held = {slot.row for slot in fixed.values()}
        others = self._diverse(query, [slot for slot in others if slot.row not in held], query.k - len(fixed))
        queue = iter(others)
        answer = [fixed.get(place) or next(queue, None) for place in range(query.k)]
        return [self._marked(slot) for slot in answer if slot is not None]

    def _capped(self, before: list[Slot], slots: list[Slot]) -> list[Slot]:
        return [slots[at] for at in self.room(before, _rows(slots), len(slots))]

    def _diverse(self, query: Query, slots: list[Slot], k: int) -> list[Slot]:
        if not self.diversity or len(slots) < 2 or k < 1:
            return slots
        name = next(iter(query.vectors), None)  # the first model of the variant
        vectors = None if name is None else self.bundle.models[name].embeddings.vectors
        pool = _rows(slots[: self.depth(query.k)])
        like = diversity.likeness(pool, vectors, self.groups)
        return [slots[at] for at in diversity.mmr(like, k, self.diversity)]

    def _marked(self, slot: Slot) -> Slot:
        if self.factors is None or slot.source == PIN or self.factors[slot.row] == 1:
            return slot
        return slot._replace(boost=float(self.factors[slot.row]))


def compiled(rules: Rules, bundle: Bundle) -> tuple[CompiledSlateRules, list[str]]:
    """Compile the rules; also return their items and categories that the catalogue lacks, such as "block.items:
    'lamp'"."""
    catalogue, filters = bundle.catalogue, Filters(bundle.catalogue)
    groups = Groups(catalogue.of_category, len(catalogue))
    placed = [(catalogue.ids.position(pin.item), pin) for pin in sorted(rules.pin, key=lambda pin: pin.position)]
    allowed, factors, caps = None, None, None
    if rules.block != Block():
        allowed = ~filters.candidates(catalogue.ids.positions(rules.block.items))
        for name in rules.block.categories:
            allowed[catalogue.of_category.get(name, NO_ROWS)] = False
        for text in rules.block.filters:
            allowed &= ~filters.mask(text)
    if rules.boost or rules.bury:
        factors = np.ones(len(catalogue), dtype=np.float32)
        weighted: list[Boost | Bury] = [*rules.boost, *rules.bury]
        for rule in weighted:
            factors[filters.mask(rule.filter)] *= np.float32(rule.factor)
    if rules.cap.every_category or rules.cap.categories:
        most = rules.cap.every_category or UNCAPPED
        caps = np.array([rules.cap.categories.get(name, most) for name in groups.names], dtype=np.int32)
    pins = tuple((row, pin) for row, pin in placed if row is not None)
    capped_on = tuple(rules.cap.surfaces)
    made = CompiledSlateRules(bundle, groups, allowed, factors, caps, capped_on, pins, rules.diversity)
    return made, _missing(rules, catalogue)


def _missing(rules: Rules, catalogue: Catalogue) -> list[str]:
    items = [("block.items", item_id) for item_id in rules.block.items]
    items += [(f"pin.{at}.item", pin.item) for at, pin in enumerate(rules.pin)]
    names = [("block.categories", name) for name in rules.block.categories]
    names += [("cap.categories", name) for name in rules.cap.categories]
    trees = [(where, parse(text)) for where, text in rules.filters()]
    names += [(where, name) for where, tree in trees for name in sorted(categories(tree))]
    return [f"{where}: {item_id!r}" for where, item_id in items if catalogue.ids.position(item_id) is None] + [
        f"{where}: {name!r}" for where, name in names if name not in catalogue.of_category
    ] + [
        f"{where}: {ATTRIBUTE + name!r}" for where, tree in trees
        for name in sorted(attributes(tree)) if name not in catalogue.attribute_names
    ]  # fmt: skip


def _applies(pin: Pin, now: float, surface: str | None) -> bool:
    begun = pin.since is None or pin.since.timestamp() <= now
    ended = pin.until is not None and pin.until.timestamp() <= now
    return begun and not ended and (not pin.surfaces or surface in pin.surfaces)


def _rows(slots: list[Slot]) -> IntArray:
    return np.fromiter((slot.row for slot in slots), dtype=np.int32, count=len(slots))


def _put(fixed: dict[int, Slot], slot: Slot, place: int, k: int) -> None:
    """Put a slot at a position from 0; if that is taken, at the next free one after it, else at the last free one."""
    free = [at for at in range(k) if at not in fixed]
    if free:
        fixed[next((at for at in free if at >= place), free[-1])] = slot
