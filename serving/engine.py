"""One loaded bundle that answers requests: every variant ready, rows turned back into ids and titles."""

from collections.abc import Mapping
from time import perf_counter

from recsys import recommender
from recsys.bundle import Bundle
from recsys.recommender import Recommender
from serving import queries
from serving.errors import ApiError
from serving.schemas import About, Answer, Item, Meta, RecommendRequest, SimilarRequest, VariantAbout


class Engine:
    """Answers from one bundle; nothing in it changes after it is built, so it can be swapped for another."""

    def __init__(self, bundle: Bundle, api_version: str) -> None:
        self.bundle = bundle
        self._api_version = api_version
        self._recommenders: Mapping[str, Recommender] = {
            name: Recommender(bundle, name) for name in bundle.manifest.variants
        }
        self._titles = bundle.catalogue.frame["title"]
        self._categories = bundle.catalogue.frame["categories"]

    def recommend(self, asked: RecommendRequest, request_id: str) -> Answer:
        """Exactly k items, or the shortfall says why there are fewer.

        Raises:
            ApiError: 422 "variant: 'a' is not in the bundle; it has: als, popular, random"
        """
        started = perf_counter()
        name = asked.variant or self.bundle.manifest.default_variant
        chosen = self._recommenders.get(name)
        if chosen is None:
            choices = ", ".join(sorted(self._recommenders))
            raise ApiError(422, f"variant: {name!r} is not in the bundle; it has: {choices}", "variant")
        query, warnings = queries.build(self.bundle, asked)
        return self._answer(chosen.recommend(query), request_id, warnings, started)

    def similar(self, asked: SimilarRequest, request_id: str) -> Answer:
        """The items nearest to one item, under the rules of the default variant.

        Raises:
            ApiError: 404 "item_id: 'x' is not in the catalogue"
        """
        started = perf_counter()
        row = self.bundle.catalogue.ids.position(asked.item_id)
        if row is None:
            raise ApiError(404, f"item_id: {asked.item_id!r} is not in the catalogue", "item_id")
        query, warnings = queries.build(self.bundle, RecommendRequest(k=asked.k, exclude_ids=asked.exclude_ids))
        answer = self._recommenders[self.bundle.manifest.default_variant].similar(row, query)
        return self._answer(answer, request_id, warnings, started)

    def about(self) -> About:
        """What is served."""
        manifest = self.bundle.manifest
        variants = {}
        for name, variant in manifest.variants.items():
            shares = {part.config.get("model", part.source): part.share for part in variant.sources}
            ranker = variant.ranker.name if variant.ranker else None
            variants[name] = VariantAbout(sources=shares, ranker=ranker, rules=[rule.name for rule in variant.rules])
        return About(
            api=self._api_version,
            bundle_id=manifest.bundle_id,
            dataset=manifest.dataset,
            trained_until=manifest.trained_until,
            counts=manifest.counts,
            default_variant=manifest.default_variant,
            variants=variants,
            models=manifest.models,
            allow_repeat=manifest.allow_repeat,
            event_weights=manifest.event_weights,
            metrics=manifest.metrics,
        )

    def _answer(self, answer: recommender.Answer, request_id: str, warnings: list[str], started: float) -> Answer:
        manifest = self.bundle.manifest
        timings: dict[str, float] = {}
        for step in answer.trace:
            timings[step.name] = round(timings.get(step.name, 0.0) + step.ms, 3)
        items = [
            Item(
                item_id=self.bundle.catalogue.ids.external_id(slot.row),
                rank=rank,
                score=slot.score,
                source=slot.source,
                fallback=slot.fallback,
                title=self._titles[slot.row],
                categories=self._categories[slot.row].to_list(),
            )
            for rank, slot in enumerate(answer.slots, start=1)
        ]
        meta = Meta(
            variant=answer.variant,
            fallback=any(slot.fallback for slot in answer.slots),
            fallback_reason=answer.fallback_reason,
            degraded=answer.degraded,
            failed=list(answer.failed),
            shortfall=answer.shortfall,
            bundle_id=manifest.bundle_id,
            dataset=manifest.dataset,
            trained_until=manifest.trained_until,
            models=[name for name in self.bundle.models if f"source {name}" in timings],
            timings_ms={**timings, "total": round((perf_counter() - started) * 1e3, 3)},
        )
        return Answer(request_id=request_id, items=items, meta=meta, warnings=warnings)
