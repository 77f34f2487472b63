"""Turns the slots of a recommender's list into items of the API, with ids, titles, confidence and reasons."""

from collections.abc import Sequence
from functools import lru_cache

from msgspec import UNSET

from recsys.bundle.bundle import Bundle
from recsys.contracts import Query
from recsys.recommend.explanations import Reasons
from recsys.recommend.recommender import Slate
from serving.api.schemas import Item, Reason

CACHED = 50_000  # items in a cache: reading one from the catalogue takes about 10 us, from the cache 0.1 us
PARTS = 20  # maximum number of reasons per item; one more, "others", has the sum of the rest


class Presenter:
    """Makes the items of answers from one bundle."""

    def __init__(self, bundle: Bundle) -> None:
        self._bundle = bundle
        self._item = lru_cache(CACHED)(self._read)
        self._fields = lru_cache(CACHED // 10)(bundle.catalogue.fields)

    def items(
        self,
        slate: Slate,
        query: Query,
        before: int = 0,
        propensities: Sequence[float] | None = None,
        teams: Sequence[str] | None = None,
        fields: Sequence[str] | None = None,
    ) -> list[Item]:
        """Return the items of the slate. before: number of items on earlier pages; propensities: chance of each item,
        if its arm explores; teams: "a" or "b" for each item, if its arm interleaves; fields: names of further fields of
        the items to return, see `Catalogue.fields`."""
        calibration, n_events = self._bundle.calibration, len(query.history.rows)
        confidences: Sequence[float | None] = [None] * len(slate.slots)
        if calibration is not None:
            confidences = calibration.of(slate.variant, slate.slots, before + 1, n_events)
        items = []
        for place, (row, score, source, fallback, boost) in enumerate(slate.slots):
            item_id, title, categories = self._item(row)
            items.append(
                Item(
                    item_id=item_id,
                    rank=before + place + 1,
                    score=score,
                    confidence=confidences[place],
                    source=source,
                    fallback=fallback,
                    boost=boost,
                    title=title,
                    categories=categories,
                    propensity=None if propensities is None else propensities[place],
                    team=None if teams is None else teams[place],
                    reasons=[],
                    # set here too, because the default of a dataclass is one more call
                    fields=self._fields(row, tuple(fields)) if fields else UNSET,  # type: ignore[arg-type]
                    factors={},
                )
            )
        return items

    def explain(self, items: list[Item], slot_reasons: list[Reasons]) -> None:
        """Set the reasons of the items. slot_reasons: one for each item; empty if the explanation failed."""
        for item, why in zip(items, slot_reasons, strict=False):
            item.reasons, item.factors = self._reasons(why), dict(why.factors)

    def _reasons(self, why: Reasons) -> list[Reason]:
        reasons = []
        for each in why.reasons[:PARTS]:
            item_id, title = self._item(each.row)[:2] if each.row is not None else (None, None)
            reasons.append(
                Reason(
                    kind=each.kind,
                    item_id=item_id,
                    title=title,
                    feature=each.feature,
                    contribution=each.contribution,
                    share=each.contribution,
                    without=each.without,
                )
            )
        if others := why.reasons[PARTS:]:
            rest = sum(each.contribution for each in others)
            reasons.append(Reason(kind="others", contribution=rest, share=rest))
        return reasons

    def _read(self, row: int) -> tuple[str, str, list[str]]:
        frame = self._bundle.catalogue.frame
        return frame["item_id"][row], frame["title"][row], frame["categories"][row].to_list()
