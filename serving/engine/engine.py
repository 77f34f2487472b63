"""One bundle that answers requests: every variant ready, rows turned back into ids and titles."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from itertools import repeat
from time import perf_counter

import numpy as np

from recsys.bundle.bundle import Bundle
from recsys.contracts import Query, SlateRules
from recsys.experiments.online.config import Arm
from recsys.filters.masks import Filters
from recsys.recommend import recommender
from recsys.recommend.circuit_breaker import CircuitBreakers
from recsys.recommend.recommender import Recommender
from recsys.recommend.trace import RequestTrace
from serving.api.about import About, VariantAbout
from serving.api.errors import ApiError
from serving.api.schemas import Answer, Meta, RecommendRequest, SimilarRequest, WhoAsks
from serving.engine import exploration, interleaving, query_builder
from serving.engine.business_rules import BusinessRulesFile
from serving.engine.overlay import NOBODY, NOTHING, StoreOverlay, UserState
from serving.engine.presenter import Presenter
from serving.engine.query_builder import QueryBuilder
from serving.stores.protocol import Item as StoredItem

REMEMBERED = 50_000  # ids; looking one up takes about 5 us, remembering it 0.1 us


class Engine:
    """Answers from one bundle and what the store said on top of it.

    Nothing in it changes after it is built, so it can be swapped for another; but `mark` writes what is available, so
    that an item sold out disappears at once from a catalogue of any size.
    """

    def __init__(
        self,
        bundle: Bundle,
        api_version: str,
        fresh: StoreOverlay = NOTHING,
        rules: BusinessRulesFile | None = None,
        breakers: CircuitBreakers | None = None,
    ) -> None:
        self.base = bundle
        self.bundle = served = fresh.over(bundle)
        self.fresh = fresh
        self.event_weights = query_builder.weights(bundle)
        self._api_version = api_version
        breakers = breakers or CircuitBreakers()
        self._recommenders: Mapping[str, Recommender] = {
            name: Recommender(served, name, breakers) for name in bundle.manifest.variants
        }
        self._position = lru_cache(REMEMBERED)(served.catalogue.ids.position)
        self._shown = Presenter(served)
        self._asking = QueryBuilder(served, self._position, self.event_weights, Filters(served.catalogue))
        self._rules = rules
        self._exploring, self._interleaving, self._reasons = (
            breakers.of(part) for part in ("exploring", "interleaving", "reasons")
        )
        if rules is not None:
            rules.for_bundle(served)  # before the first request

    def recommend(
        self,
        asked: RecommendRequest,
        request_id: str,
        known: UserState = NOBODY,
        shown: Sequence[str] = (),
        deadline: float = float("inf"),
        arm: Arm | None = None,
    ) -> Answer:
        """Exactly k items, or the shortfall says why there are fewer; none of those `shown` on the pages before.

        arm: of the experiment that the request takes part in; its variant counts where the request names none.

        Raises:
            ApiError: 422 "variant: 'a' is not in the bundle; it has: als, popular, random"
            ApiError: 422 "filter: 'prize' at position 1, wanted one of: category, price, available, not, ("
        """
        started = perf_counter()
        name = asked.variant or (arm.variant if arm else self.bundle.manifest.default_variant)
        chosen = self._recommenders.get(name)
        if chosen is None:
            choices = ", ".join(sorted(self._recommenders))
            raise ApiError(422, f"variant: {name!r} is not in the bundle; it has: {choices}", "variant")
        query, warnings = self._asking.query(asked, known, deadline)
        if shown:
            query = replace(query, exclude=np.concatenate([query.exclude, self._asking.rows(shown)]))
        rules_version, rules = self._rules_for(asked.surface, asked.options.diversity)
        found = chosen.recommend(query, rules)
        run = RequestTrace(deadline)
        propensities: list[float] | None = None
        teams: list[str] | None = None
        if arm is not None and arm.explore is not None:
            explore = partial(exploration.explored, chosen, query, rules, found, arm.explore, request_id)
            explored: tuple[recommender.Slate, list[float] | None] = (found, None)
            found, propensities = run.call_or_default(self._exploring, explore, explored, optional=False)
        elif arm is not None and arm.interleave is not None:
            second = self._recommenders[arm.interleave]
            deal = partial(interleaving.interleaved, second, query, rules, found, request_id)
            dealt: tuple[recommender.Slate, list[str] | None] = (found, None)
            found, teams = run.call_or_default(self._interleaving, deal, dealt, optional=False)
        items = self._shown.items(found, query, len(shown))
        if asked.options.explain:
            run.call_or_default(self._reasons, partial(self._shown.explain, items, found, query), None)
        for item, propensity, team in zip(items, propensities or repeat(None), teams or repeat(None), strict=False):
            item.propensity, item.team = propensity, team
        meta = self._meta(found, query, rules_version, started)
        meta.failed += [*run.failed, *(["store"] if known.failed else [])]
        meta.degraded = bool(meta.failed)
        return Answer(request_id=request_id, items=items, meta=meta, warnings=warnings, next_cursor=None)

    def similar(self, asked: SimilarRequest, request_id: str, deadline: float = float("inf")) -> Answer:
        """The items nearest to one item, under the rules of the default variant.

        Raises:
            ApiError: 404 "item_id: 'x' is not in the catalogue"
        """
        started = perf_counter()
        row = self._position(asked.item_id)
        if row is None:
            raise ApiError(404, f"item_id: {asked.item_id!r} is not in the catalogue", "item_id")
        plain = RecommendRequest(k=asked.k, exclude_ids=asked.exclude_ids)
        query, warnings = self._asking.query(plain, NOBODY, deadline)
        rules_version, rules = self._rules_for(None, None)
        found = self._recommenders[self.bundle.manifest.default_variant].similar(row, query, rules)
        items = self._shown.items(found, query, 0)
        meta = self._meta(found, query, rules_version, started)
        return Answer(request_id=request_id, items=items, meta=meta, warnings=warnings, next_cursor=None)

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
            event_weights=self.event_weights,
            metrics=manifest.metrics,
        )

    def serves(self, variant: str) -> bool:
        """Whether the bundle has this variant."""
        return variant in self._recommenders

    def segment(self, asked: WhoAsks, known: UserState) -> str:
        """The segment of whoever asks, as in the answer's meta."""
        query, _ = self._asking.query(asked.widened(), known, float("inf"))
        return query_builder.segment(query.history)

    def knows(self, item_id: str) -> bool:
        """Whether the item can be shown at all."""
        return self._position(item_id) is not None

    def mark(self, items: Iterable[StoredItem]) -> None:
        """Take over which of these are available; all else that is said of an item needs another engine."""
        for item in items:
            row = self._position(item.item_id)
            if row is not None and item.available is not None:
                self.bundle.catalogue.available[row] = item.available

    def _rules_for(self, surface: str | None, diversity: float | None) -> tuple[str | None, SlateRules | None]:
        """The business rules for an answer, and their version: read before them, so it is never newer than they."""
        if self._rules is None:
            return None, None
        version = self._rules.version
        return version, self._rules.for_bundle(self.bundle, surface, diversity)

    def _meta(self, found: recommender.Slate, query: Query, rules_version: str | None, started: float) -> Meta:
        manifest = self.bundle.manifest
        timings: dict[str, float] = {}
        for step in found.trace:
            timings[step.name] = timings.get(step.name, 0.0) + step.ms
        asked = "+".join(name for name in self.bundle.models if f"source {name}" in timings)
        timings["total"] = (perf_counter() - started) * 1e3
        return Meta(
            variant=found.variant,
            experiment=None,
            segment=query_builder.segment(query.history),
            fallback=any(slot.fallback for slot in found.slots),
            fallback_reason=found.fallback_reason,
            degraded=found.degraded,
            failed=list(found.failed),
            shortfall=found.shortfall,
            bundle_id=manifest.bundle_id,
            model=asked or None,
            dataset=manifest.dataset,
            trained_until=manifest.trained_until,
            rules_version=rules_version,
            timings_ms={name: round(ms, 3) for name, ms in timings.items()},
        )
