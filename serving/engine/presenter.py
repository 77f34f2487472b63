"""From the recommender's slots to what a client sees: ids, titles, confidence and reasons."""

from collections.abc import Sequence
from functools import lru_cache

from recsys.bundle.bundle import Bundle
from recsys.contracts import Query
from recsys.recommend import explanations
from recsys.recommend.explanations import Why
from recsys.recommend.recommender import Slate
from serving.api.schemas import Item, Reason

REMEMBERED = 50_000  # items; reading one from the catalogue takes about 10 us, remembering it 0.1 us
PARTS = 20  # reasons of one item; what else the history adds is summed up in one more


class Presenter:
    """What the items of one bundle look like."""

    def __init__(self, bundle: Bundle) -> None:
        self._bundle = bundle
        self._item = lru_cache(REMEMBERED)(self._read)

    def items(
        self,
        slate: Slate,
        query: Query,
        before: int = 0,
        propensities: Sequence[float] | None = None,
        teams: Sequence[str] | None = None,
    ) -> list[Item]:
        """The items of the slate; `before` of them were shown on the pages before, the rest is what an arm drew."""
        calibration, n_events = self._bundle.calibration, len(query.history)
        items = []
        for place, slot in enumerate(slate.slots):
            item_id, title, categories = self._item(slot.row)
            rank = before + place + 1
            items.append(
                Item(
                    item_id=item_id,
                    rank=rank,
                    score=slot.score,
                    confidence=calibration.of(slate.variant, slot, rank, n_events) if calibration else None,
                    source=slot.source,
                    fallback=slot.fallback,
                    boost=slot.boost,
                    title=title,
                    categories=categories,
                    propensity=None if propensities is None else propensities[place],
                    team=None if teams is None else teams[place],
                    reasons=[],
                )
            )
        return items

    def explain(self, items: list[Item], slate: Slate, query: Query) -> None:
        """Give the items of the slate their reasons."""
        for item, why in zip(items, explanations.slots(self._bundle, slate.variant, query, slate.slots), strict=True):
            item.reasons = self._reasons(why)

    def _reasons(self, why: Why) -> list[Reason]:
        if not why.parts:
            return [Reason(kind=why.kind, item_id=None, title=None, share=None, without=None)]
        kind = why.kind if why.factor is not None else "candidate"
        factor = 1.0 if why.factor is None else why.factor
        reasons = []
        for part in why.parts[:PARTS]:
            item_id, title, _ = self._item(part.row)
            without = None if part.without is None else part.without * factor
            reasons.append(Reason(kind=kind, item_id=item_id, title=title, share=part.share * factor, without=without))
        if rest := why.parts[PARTS:]:
            share = sum(part.share for part in rest) * factor
            reasons.append(Reason(kind=kind, item_id=None, title=None, share=share, without=None))
        return reasons

    def _read(self, row: int) -> tuple[str, str, list[str]]:
        frame = self._bundle.catalogue.frame
        return frame["item_id"][row], frame["title"][row], frame["categories"][row].to_list()
