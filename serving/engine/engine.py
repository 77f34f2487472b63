"""Answers requests from one bundle: it has a recommender for each variant, and turns their rows into items."""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from time import perf_counter
from typing import Annotated, Any

import numpy as np
import polars as pl
from pydantic import Field, SkipValidation

from recsys.bundle.bundle import Bundle
from recsys.bundle.items import item_tower
from recsys.business_rules.filters.masks import Filters
from recsys.contracts import LiveCounts, Query
from recsys.experiments.online.config import Arm
from recsys.recommend import explanations, live_counts
from recsys.recommend.circuit_breaker import CircuitBreakers
from recsys.recommend.recommender import Recommender, Slate
from recsys.recommend.trace import RequestTrace, Step
from recsys.schemas.field_limits import DEFAULT_WEIGHTS
from serving.api.about import About, VariantAbout
from serving.api.errors import ApiError
from serving.api.schemas import Item, Meta, RecommendRequest, SimilarRequest, WhoAsks
from serving.engine import drawn_lists
from serving.engine.business_rules import BusinessRulesFile
from serving.engine.overlay import NOBODY, NOTHING, StoreOverlay, UserState
from serving.engine.presenter import Presenter
from serving.engine.query_builder import QueryBuilder
from serving.stores.protocol import Item as StoredItem

CACHED = 50_000  # ids in a cache: a look-up takes about 5 us, from the cache 0.1 us


@dataclass(slots=True, kw_only=True)
class Draft:
    """An answer without the parts that belong to one request (id, experiment, cursor), so that it can be cached.
    `serving/service/finish.py` adds these. inputs: time of the answer, and the versions of items, stock and live counts
    that it was computed from, for a replay. steps: the trace; empty if the draft comes from the cache."""

    items: list[Item]
    meta: Meta
    warnings: list[str]
    inputs: dict[str, Any] = field(default_factory=dict)
    steps: Annotated[SkipValidation[tuple[Step, ...]], Field(exclude=True)] = ()


class Engine:
    """Answers from one bundle, with the items that changed in the store (`overlay`). base: without them; bundle: with.
    Only two parts of it change after it is built: its array of stock, which `mark` updates, so that a sold-out item
    disappears at once, and `live`, the counts of recent likes (None before the first), replaced as a whole."""

    def __init__(
        self,
        bundle: Bundle,
        api_version: str,
        overlay: StoreOverlay = NOTHING,
        rules: BusinessRulesFile | None = None,
        breakers: CircuitBreakers | None = None,
    ) -> None:
        self.base = bundle
        self.bundle = served = overlay.over(bundle)
        self.overlay = overlay
        self.live: LiveCounts | None = None
        self._inputs = {"items": overlay.version, "born": overlay.born_version}
        self._stock_version = overlay.version
        self.vector_length = max(map(item_tower.length_of, bundle.models.values()), default=0)
        self.event_weights = {**DEFAULT_WEIGHTS, **bundle.manifest.event_weights}
        self._api_version = api_version
        breakers = breakers or CircuitBreakers()
        self._recommenders: Mapping[str, Recommender] = {
            name: Recommender(served, name, breakers) for name in bundle.manifest.variants
        }
        self._indexes = {name: _described(model["index"]) for name, model in bundle.manifest.models.items()}
        self._available = served.catalogue.available.copy()
        self._position = lru_cache(CACHED)(served.catalogue.ids.position)
        self._presenter = Presenter(served)
        self._queries = QueryBuilder(
            served, self._position, self.event_weights, Filters(served.catalogue), self._available
        )
        self._current_rules = partial(rules.current, served) if rules is not None else lambda *_: (None, None)
        self._exploring, self._interleaving, self._reasons = (
            breakers.of(part) for part in ("exploring", "interleaving", "reasons")
        )
        if rules is not None:
            rules.current(served)  # compiled before the first request

    def recommend(
        self,
        request: RecommendRequest,
        request_id: str,
        user: UserState = NOBODY,
        shown_ids: Sequence[str] = (),
        deadline: float = float("inf"),
        arm: Arm | None = None,
        at: float | None = None,
    ) -> Draft:
        """Return k items, none of `shown_ids` (earlier pages); if there are fewer, `meta.shortfall` says why.

        user: the user's state in the store. arm: the assigned arm, whose variant is used if the request names none;
        its random draws depend on request_id alone. deadline: seconds on `perf_counter`, after which optional steps
        are skipped. at: UTC seconds of the answer, by default now.

        Raises:
            ApiError: 422 "variant: 'a' is not in the bundle; it has: als, popular, random"
            ApiError: 422 "filter: 'prize' at position 1, expected one of: category, price, available, ..."
        """
        started, at, live = perf_counter(), time.time() if at is None else at, self.live
        name = request.variant or (arm.variant if arm else self.bundle.manifest.default_variant)
        recommender = self._recommenders.get(name)
        if recommender is None:
            choices = ", ".join(sorted(self._recommenders))
            raise ApiError(422, f"variant: {name!r} is not in the bundle; it has: {choices}", "variant")
        query, warnings = self._queries.query(request, user, deadline, shown_ids, live, at)
        rules_version, rules = self._current_rules(request.surface, request.options.diversity, at)
        slate, trace = recommender.recommend(query, rules), RequestTrace(deadline)
        propensities: list[float] | None = None
        teams: list[str] | None = None
        if arm is not None and arm.explore is not None:
            explore = partial(drawn_lists.explored, recommender, query, rules, slate, arm.explore, request_id)
            as_it_is: tuple[Slate, list[float] | None] = (slate, None)
            slate, propensities = trace.call_or_default(self._exploring, explore, as_it_is, optional=False)
        elif arm is not None and arm.interleave is not None:
            second = self._recommenders[arm.interleave]
            deal = partial(drawn_lists.interleaved, second, query, rules, slate, request_id)
            undealt: tuple[Slate, list[str] | None] = (slate, None)
            slate, teams = trace.call_or_default(self._interleaving, deal, undealt, optional=False)
        items = self._presenter.items(slate, query, len(shown_ids), propensities, teams, request.fields)
        if request.options.explain:
            explain = partial(explanations.explain, self._recommenders, slate, rules)
            self._presenter.explain(items, trace.call_or_default(self._reasons, explain, []))
        failed = [*slate.failed, *trace.failed, *(["store"] if user.failed else [])]
        meta = self._meta(slate, query, failed, rules_version, started)
        meta.personalised_share = slate.personalised_share
        inputs = {**self._inputs, "at": at, "stock": self._stock_version, "live": live.version if live else None}
        return Draft(items=items, meta=meta, warnings=warnings, inputs=inputs, steps=slate.trace)

    def similar(self, request: SimilarRequest, deadline: float = float("inf")) -> Draft:
        """Return the items most similar to one item, with the rules of the default variant. deadline: as `recommend`.

        Raises:
            ApiError: 404 "item_id: 'x' is not in the catalogue"
        """
        started = perf_counter()
        row = self._position(request.item_id)
        if row is None:
            raise ApiError(404, f"item_id: {request.item_id!r} is not in the catalogue", "item_id")
        plain = RecommendRequest(k=request.k, exclude_ids=request.exclude_ids, fields=request.fields)
        query, warnings = self._queries.query(plain, NOBODY, deadline, live=self.live)
        rules_version, rules = self._current_rules()
        slate = self._recommenders[self.bundle.manifest.default_variant].similar(row, query, rules)
        items = self._presenter.items(slate, query, fields=request.fields)
        meta = self._meta(slate, query, list(slate.failed), rules_version, started)
        return Draft(items=items, meta=meta, warnings=warnings)

    def about(self) -> About:
        manifest = self.bundle.manifest
        variants = {}
        for name, variant in manifest.variants.items():
            shares = {part.label: part.share for part in variant.sources}
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
        return variant in self._recommenders

    def segment(self, request: WhoAsks, user: UserState) -> str:
        query, _ = self._queries.query(request.widened(), user, float("inf"))
        return self._segment(query)

    def targeting(self, request: WhoAsks, user: UserState) -> dict[str, str]:
        """Return name -> value, by which experiments select requests: segment, surface, and attributes."""
        surface = {} if request.surface is None else {"surface": request.surface}
        return {**self._queries.attributes(request, user), "segment": self.segment(request, user), **surface}

    def knows(self, item_id: str) -> bool:
        return self._position(item_id) is not None

    def some_item_ids(self, n: int) -> list[str]:
        """Return the ids of up to n items in stock, for the example requests in the API's documentation."""
        rows = np.flatnonzero(self._available)[:n]
        return [self.bundle.catalogue.ids.external_id(int(row)) for row in rows]

    def count_live(self, likes: pl.DataFrame, now: float, read_at: float) -> LiveCounts:
        """Count the recent likes of each item, decayed to `now`; keep the result in `live`, and return it. likes: the
        result of `LiveEvents.likes`; now, read_at: UTC seconds, the latter when the events were read from the store."""
        self.live = live = live_counts.count(likes, self.bundle, now, self._position, read_at)
        return live

    def mark(self, items: Iterable[StoredItem], version: int = 0, anew: bool = False) -> None:
        """Update the stock of these items; any other change of an item needs a new engine. version: the store's version
        of the items; anew: first reset all items to the stock in the bundle."""
        if anew:
            self._available[:] = self.bundle.catalogue.available
        self._stock_version = version if anew else max(self._stock_version, version)
        for item in items:
            row = self._position(item.item_id)
            if row is not None and item.available is not None:
                self._available[row] = item.available

    def _segment(self, query: Query) -> str:
        """Return the user's segment: warm, few or cold_user, as the offline report defines them."""
        n_events = len(query.history.rows)
        return "warm" if n_events >= self.bundle.manifest.warm_events else "few" if n_events else "cold_user"

    def _meta(self, slate: Slate, query: Query, failed: list[str], rules_version: str | None, started: float) -> Meta:
        manifest = self.bundle.manifest
        timings: dict[str, float] = {}
        for step in slate.trace:
            timings[step.name] = timings.get(step.name, 0.0) + step.ms
        models = [name for name in self.bundle.models if f"source {name}" in timings]
        timings["total"] = (perf_counter() - started) * 1e3
        return Meta(
            variant=slate.variant,
            experiment=None,
            segment=self._segment(query),
            fallback=slate.fallback_reason is not None,
            fallback_reason=slate.fallback_reason,
            degraded=bool(failed),
            failed=failed,
            shortfall=slate.shortfall,
            bundle_id=manifest.bundle_id,
            model="+".join(models) or None,
            dataset=manifest.dataset,
            data_hash=manifest.data_hash,
            indexes={name: self._indexes[name] for name in models},
            trained_until=manifest.trained_until,
            rules_version=rules_version,
            live_age_s=None if query.live is None else max(0.0, time.time() - query.live.read_at),
            timings_ms=timings,
        )


def _described(index: Mapping[str, Any]) -> str:
    """Describe an index, such as "ivf_fp16, 12 of 400 lists, recall@100 0.985"."""
    if not index["nlist"]:
        return str(index["kind"])
    lists = f"{index['nprobe']} of {index['nlist']} lists"
    return f"{index['kind']}, {lists}, recall@{index['recall_at']} {index['recall']}"
