"""Turns a request of the API into a query of the recommender: item ids become rows, times become UTC seconds."""

import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from recsys.bundle.bundle import Bundle
from recsys.bundle.catalogue import CONTENT
from recsys.business_rules.filters.masks import Filters
from recsys.contracts import EMPTY_HISTORY, NO_ROWS, BoolArray, History, IntArray, LiveCounts, Query
from recsys.errors import FilterError
from serving.api.errors import ApiError
from serving.api.schemas import RecommendRequest, SessionEvent, WhoAsks
from serving.engine.overlay import UserState
from serving.stores.protocol import Event

NEUTRAL_WEIGHT = 1.0
DISLIKE = "dislike"
MICROSECOND = 1e-6
CACHED = 4096  # histories in the cache, each with its vectors

Position = Callable[[str], int | None]
HistoryEvent = tuple[int, float, float]  # row, weight, time
Person = tuple[str | None, str | None]  # user_id and anonymous_id


@dataclass(frozen=True)
class QueryBuilder:
    """Builds the queries of one bundle. position: item_id -> row, None if unknown; weights: event type -> weight.
    available: (n_items,) bool, whether an item is in stock; it changes while the bundle is served. kept: for each user
    or visitor the state of the store, and the history and the disliked items that were read from it: they are used
    until there are new events."""

    bundle: Bundle
    position: Position
    weights: Mapping[str, float]
    filters: Filters
    available: BoolArray
    kept: OrderedDict[Person, tuple[tuple[int, bool], History, frozenset[str]]] = field(default_factory=OrderedDict)

    @cached_property
    def _until(self) -> float:
        """The end of the bundle's data, UTC seconds."""
        return self.bundle.manifest.trained_until.timestamp()

    def query(
        self,
        request: RecommendRequest,
        user: UserState,
        deadline: float,
        shown_ids: Sequence[str] = (),
        live: LiveCounts | None = None,
        at: float | None = None,
    ) -> tuple[Query, list[str]]:
        """Return the query, and a warning for every field of the request that is ignored or only partly applied.

        The history has the events of the bundle, of the store (user) and of the request, sorted by time. shown_ids:
        items of earlier pages, which are excluded; deadline: seconds on `perf_counter`; live: the counts of recent
        likes, if any; at: UTC seconds of the request, by default now: it decides which items are on sale already, and
        dates events of the request without a time. The history decays until the end of the bundle's data, or the user's
        last event if it is later.

        Raises:
            ApiError: 422, the filter is invalid.
        """
        warnings: list[str] = []
        at = time.time() if at is None else at
        history, disliked = self._history(request, user)
        if user.seen:
            disliked = disliked | {item_id for item_id, was_disliked in user.seen.items() if was_disliked}
        if request.session:
            disliked = disliked | {event.item_id for event in request.session if event.event == DISLIKE}
            if sent := self._sent(request.session, warnings, at):
                history = _joined(history, sent)
        elif request.user_id is not None and not len(history.rows):
            warnings.append(f"user_id {request.user_id!r}: no event of this user is known")
        if request.fields:
            self._warn("fields", [name for name in request.fields if name not in CONTENT], warnings)
        excluded = [*request.exclude_ids, *shown_ids, *disliked]  # the latter even if the data set allows repeats
        query = Query(
            history=history,
            k=request.k,
            # by the wall clock a history would lose weight as the bundle ages: offline evaluation measures no such loss
            now=max(self._until, float(history.times[-1])) if len(history.rows) else self._until,
            user_id=request.user_id or request.anonymous_id,
            exclude=self.rows(excluded) if excluded else NO_ROWS,
            seen=self.rows(user.seen) if user.seen else NO_ROWS,
            seed=request.options.seed,
            only=self._only(request, warnings) if request.filter or request.candidates else None,
            categories=tuple(request.categories),
            deadline=deadline,
            available=self.available,
            shown_at=at,
            live=live,
            attributes=self.attributes(request, user),
        )
        return query, warnings

    def rows(self, item_ids: Iterable[str]) -> IntArray:
        """Return the rows of these items, (m,) int32; ids that are not in the catalogue are left out."""
        rows = [row for row in map(self.position, item_ids) if row is not None]
        return np.array(rows, dtype=np.int32) if rows else NO_ROWS

    def attributes(self, request: WhoAsks, user: UserState) -> Mapping[str, str]:
        """Return the attributes of the request, and those of the user in the bundle that the request does not name."""
        known = None if user.forgotten else request.user_id
        return self.bundle.histories.query_attributes(known, request.attributes)

    def _history(self, request: WhoAsks, user: UserState) -> tuple[History, frozenset[str]]:
        """Return the events of the bundle and of the store, oldest first, and the items disliked in the store."""
        person, state = (request.user_id, request.anonymous_id), (user.version, user.forgotten)
        kept = self.kept.pop(person, None)
        if kept is None or kept[0] != state:
            known = None if user.forgotten else request.user_id
            history = EMPTY_HISTORY if known is None else self.bundle.histories.of(known)
            events = self._stored(user.events, history)
            disliked = frozenset(event.item_id for event in user.events if event.event == DISLIKE)
            kept = state, _joined(history, events) if events else history, disliked
        self.kept[person] = kept
        if len(self.kept) > CACHED:
            self.kept.popitem(last=False)
        return kept[1], kept[2]

    def _only(self, request: RecommendRequest, warnings: list[str]) -> BoolArray | None:
        """Return (n_items,) bool, True for items that pass the request's filter and candidates; None allows all."""
        only = None
        if request.filter is not None:
            try:
                only = self.filters.mask(request.filter, self.available)
                self._warn("filter", self.filters.unknown(request.filter), warnings)
            except FilterError as error:
                raise ApiError(422, str(error), "filter") from error
        if request.candidates is not None:
            unknown = [item_id for item_id in request.candidates if self.position(item_id) is None]
            if unknown:
                n = len(request.candidates)
                warnings.append(f"candidates: {len(unknown)} of {n} are not in the catalogue, such as {unknown[0]!r}")
            mine = self.filters.candidates(self.rows(request.candidates))
            only = mine if only is None else only & mine
        return only

    def _warn(self, field: str, names: list[str], warnings: list[str]) -> None:
        """Append a warning if no item has one of these attributes."""
        known = self.bundle.catalogue.attribute_names if names else frozenset()
        unknown = [repr(name) for name in dict.fromkeys(names) if name not in known]
        if unknown:
            choices = f"the attributes are {', '.join(sorted(known))}" if known else "the items have no attributes"
            warnings.append(f"{field}: no item has the attribute {', '.join(unknown):.200}; {choices:.400}")

    def _stored(self, events: Iterable[Event], history: History) -> list[HistoryEvent]:
        """Return the store's events of the user without those that are in `history`, the user's one in the bundle."""
        new = []
        known: Counter[tuple[int, int]] = Counter()
        if len(history.rows) and any(event.timestamp <= self._until + MICROSECOND for event in events):
            known.update(
                zip(history.rows.tolist(), np.rint(history.times * 1e6).astype(np.int64).tolist(), strict=True)
            )
        for event in events:
            row = self.position(event.item_id)
            if row is None:
                continue
            key = row, round(event.timestamp * 1e6)
            if known[key]:
                known[key] -= 1
                continue
            new.append((row, self.weights.get(event.event, NEUTRAL_WEIGHT), event.timestamp))
        return new

    def _sent(self, session: list[SessionEvent], warnings: list[str], moment: float) -> list[HistoryEvent]:
        """Return the events of the request's session. An event without time, or of a later one, is dated `moment`."""
        events = []
        for place, event in enumerate(session):
            row = self.position(event.item_id)
            if row is None:
                warnings.append(
                    f"session.{place}.item_id {event.item_id!r}: not in the catalogue, the event is ignored"
                )
                continue
            if event.event is not None and event.event not in self.weights:
                choices = ", ".join(self.weights)
                warnings.append(f"session.{place}.event {event.event!r}: not one of {choices}; counted as weight 1")
            weight = self.weights.get(event.event or "", NEUTRAL_WEIGHT)
            events.append((row, weight, min(event.timestamp.timestamp(), moment) if event.timestamp else moment))
        return events


def _joined(history: History, events: list[HistoryEvent]) -> History:
    rows, weights, times = zip(*events, strict=True)
    joined_times = np.concatenate([history.times, times])
    order = np.argsort(joined_times, kind="stable")
    joined_rows = np.concatenate([history.rows, np.array(rows, dtype=np.int32)])
    joined_weights = np.concatenate([history.weights, np.array(weights, dtype=np.float32)])
    return History(joined_rows[order], joined_weights[order], joined_times[order])
