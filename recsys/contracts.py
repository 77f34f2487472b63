"""The types of extensions: the input and output of a model, source, ranker, rule and encoder.

Names used everywhere: `user_id` and `item_id` are external strings; a `row` is the internal int32 position of an item
in the catalogue and never leaves the process. A history is oldest first. `k` is the length of the answer, `n` the
number of candidates requested from a source. Times are UTC seconds since 1970 (float), ages are days.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable
from weakref import ref

import numpy as np
import numpy.typing as npt
import polars as pl

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int32]
BoolArray = npt.NDArray[np.bool_]

SECONDS_PER_DAY = 86_400.0
HALF_LIVES_DAYS = (1 / 24, 1 / 4, 1, 3, 7, 30, 180, float("inf"))  # at which demand is counted; infinite: no decay
NO_ROWS: IntArray = np.empty(0, dtype=np.int32)
NEW = "new"  # name of the source of new items, see `recsys/sources/new.py`
REPEAT = "repeat"  # name of the source of items to buy again, see `recsys/sources/repeat.py`
LIVE_COVISIT = "live_covisit"  # name of the source that needs live counts, see `recsys/sources/live_covisit.py`
PIN = "pin"  # the source that is named in a slot whose position a business rule fixed


@dataclass(frozen=True)
class History:
    """The events of one user, oldest first; an item may occur several times. rows: (n_events,) int32 catalogue rows;
    weights: (n_events,) float32 event weights. An event with a weight above 0 is a like; with the weight 0 the user
    only saw the item. times: (n_events,) float64 UTC seconds."""

    rows: IntArray
    weights: FloatArray
    times: npt.NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def items(self) -> IntArray:
        """The rows in ascending order: (n_events,) int32."""
        return np.sort(self.rows)

    @cached_property
    def liked(self) -> tuple[IntArray, FloatArray, npt.NDArray[np.float64]]:
        """The rows, weights and times of the likes, oldest first: (n_likes,) each."""
        kept = self.weights > 0
        every = self.rows, self.weights, self.times
        return every if kept.all() else (self.rows[kept], self.weights[kept], self.times[kept])

    @property
    def likes(self) -> IntArray:
        """The rows of the likes, oldest first: (n_likes,) int32."""
        return self.liked[0]

    @cached_property
    def liked_items(self) -> tuple[IntArray, npt.NDArray[np.intp]]:
        """The distinct rows of `likes`, (m,) int32 ascending, and the position in these of each like, (n_likes,)."""
        rows = np.unique(self.likes)
        return rows, np.searchsorted(rows, self.likes)

    @cached_property
    def _kept(self) -> dict[int, tuple[Any, ...]]:
        return {}

    def vector(self, encoder: "Encoder", now: float) -> FloatArray | None:
        """Return `encoder.encode(self, now)`; for each encoder the result for the last `now` is cached."""
        kept = self._kept.get(id(encoder))
        if kept is None or kept[0]() is not encoder or kept[1] != now:
            kept = self._kept[id(encoder)] = ref(encoder), now, encoder.encode(self, now)
        return kept[2]  # type: ignore[no-any-return]

    def nearest(
        self, source: "Source", vector: FloatArray, n: int, search: "Callable[[FloatArray, int], Candidates]"
    ) -> "Candidates":
        """Return `search(vector, n)`; for each source the last result is cached, for this vector object and n."""
        kept = self._kept.get(id(source))
        if kept is None or kept[0]() is not source or kept[1] is not vector or kept[2] != n:
            kept = self._kept[id(source)] = ref(source), vector, n, search(vector, n)
        return kept[3]  # type: ignore[no-any-return]


EMPTY_HISTORY = History(NO_ROWS, np.empty(0, dtype=np.float32), np.empty(0, dtype=np.float64))


@dataclass(frozen=True)
class Query:
    """One request for recommendations, with rows in place of item ids.

    user_id None is an anonymous visitor; k is the number of items to return; `now` is the time of the query (UTC
    seconds); the same query with the same `seed` gets the same answer. `exclude` are rows that may not be shown;
    `only`, (n_items,) bool, is True where the caller allows the row, None allows all. `categories` are the names of the
    categories that a new user chose. After `deadline`, seconds of `time.perf_counter()`, optional parts are skipped.
    `available`, (n_items,) bool, is True for items in stock; None: the stock in the catalogue. An item whose
    `first_seen` is after `shown_at`, UTC seconds by the wall clock, is not shown; None, as in the evaluation of a past
    window: all items may be shown. `vectors` maps a model's name to the user's vector in that model's space, or None if
    the model cannot encode this history; `pair_scores` maps the name of a model of item pairs to its scores of all
    items, (n_items,) float32. The recommender fills in both. `seen` are the items of events that are too old for
    `history`. `live` is the demand with the likes since the training; None: the demand at the training is used.
    `attributes` are those of the user, name -> value, for rankers."""

    history: History
    k: int
    now: float
    user_id: str | None = None
    exclude: IntArray = field(default_factory=lambda: NO_ROWS)
    seen: IntArray = field(default_factory=lambda: NO_ROWS)
    vectors: Mapping[str, FloatArray | None] = field(default_factory=dict)
    pair_scores: Mapping[str, FloatArray] = field(default_factory=dict)
    seed: int = 0
    only: BoolArray | None = None
    categories: tuple[str, ...] = ()
    deadline: float = float("inf")
    available: BoolArray | None = None
    shown_at: float | None = None
    live: "LiveCounts | None" = None
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Candidates:
    """Proposals of one source, best first: rows (n,) int32 without duplicates, scores (n,) float32 descending.
    personal: (n,) bool, True where the item was proposed because of this user's history, session or chosen categories;
    None: all were proposed without looking at the user."""

    rows: IntArray
    scores: FloatArray
    personal: BoolArray | None = None


NO_CANDIDATES = Candidates(NO_ROWS, np.empty(0, dtype=np.float32))


@dataclass(frozen=True)
class LiveCounts:
    """Demand that includes the likes since the training, as counted by `recsys/recommend/live_counts.py`.

    read_at: when the events were read, UTC seconds. demand: (n_items,) float32, used in place of `Catalogue.recent`;
    total: the sum of `demand`. popular: the items with demand, best first. follows: scores of item pairs, the
    probability that an item is liked next after another one. version: a hash of the sums of likes from which all values
    were computed; pack: returns these sums as bytes, for `live_counts.unpack`.
    """

    read_at: float
    demand: FloatArray
    total: float
    popular: Candidates
    follows: "ItemItem"
    version: str
    pack: Callable[[], bytes]


class Slot(NamedTuple):
    """One position of the answer: the item's row, its score, and the source that proposed it. fallback: whether the
    fallback filled the position. boost: the factor by which the business rules multiplied `score` to order the list, 1
    without one; `score` itself is unchanged."""

    row: int
    score: float
    source: str
    fallback: bool = False
    boost: float = 1.0


class Source(Protocol):
    """Proposes at most n candidates; NO_CANDIDATES, not constant scores, if it cannot rank items for this query."""

    def propose(self, query: Query, n: int) -> Candidates: ...


class Ranker(Protocol):
    """Orders the candidates of all sources. rows: (m,) int32, each candidate once; scores: (n_sources, m) float32 of
    the sources in the order of the variant, NaN where a source did not propose the item. Returns one score per
    candidate, (m,) float32, higher is better."""

    def rank(self, query: Query, rows: IntArray, scores: FloatArray) -> FloatArray: ...


class Rule(Protocol):
    """Filters candidates. rows: (m,) int32, the candidates of all sources, so the same item may occur twice. Returns
    (m,) bool, True where the item may be shown; the result for one item must not depend on the others."""

    def keep(self, query: Query, rows: IntArray) -> BoolArray: ...


class Encoder(Protocol):
    """Turns a history into a vector (dim,) float32 in the space of the item vectors, or None if no event can be used.
    now: the time of the query, UTC seconds."""

    def encode(self, history: History, now: float) -> FloatArray | None: ...


@dataclass(frozen=True)
class Parts:
    """What each item of the user's history adds to the scores of n items. rows: (m,) int32, the items of the history
    that were used. shares: (n, m) float64; each row adds up to the score of one of the n items."""

    rows: IntArray
    shares: npt.NDArray[np.float64]


@runtime_checkable
class Explains(Protocol):
    """An encoder that can explain the scores of n items. vectors: theirs, (n, dim) float32. None: nothing can be
    encoded."""

    def explain(self, history: History, now: float, vectors: FloatArray) -> Parts | None: ...


class Term(NamedTuple):
    """One term of a ranker's score: the amount that the feature of this name adds.

    model: the model that computed the feature from the history, None for a feature of the item or the user alone. way:
    how the amount is divided among the items of the history: "score", by their shares in the model's score; "nearest",
    all to the item with the largest cosine to the recommended one; "likeness", in proportion to this cosine.
    """

    feature: str
    amount: float
    model: str | None = None
    way: Literal["score", "nearest", "likeness"] = "score"


class RankerReasons(NamedTuple):
    """The explanation of a score. terms: they add up to the score; factors: name -> factor, if the score is also the
    product of these, else empty."""

    terms: list[Term]
    factors: dict[str, float]


@runtime_checkable
class ExplainsRanking(Protocol):
    """A ranker that can explain scores. labels: the names of the sources, one for each row of `scores`; at: the
    positions in `rows` of the items to explain. Returns one `RankerReasons` for each of them."""

    def explain(
        self, query: Query, rows: IntArray, scores: FloatArray, labels: list[str], at: IntArray
    ) -> list[RankerReasons]: ...


@dataclass(frozen=True)
class Embeddings:
    """The result of a model's `fit`: all that serving needs, without the training library.

    vectors: (n_items, dim) float32 in catalogue row order, compared by inner product; rows: (n_known,) int32 ascending,
    the items that the model has a vector for (only these are indexed); encoder: the name of a file in
    `recsys/encoders`; params and arrays: its settings and its float32 arrays, by name.
    """

    vectors: FloatArray
    rows: IntArray
    encoder: str
    params: Mapping[str, Any]
    arrays: Mapping[str, FloatArray]


@dataclass(frozen=True)
class ItemItem:
    """The result of `fit` for a model of item pairs: for each item, the items to recommend after it, with scores.

    indptr: (n_items + 1,) int64; rows: (n_pairs,) int32 and scores: (n_pairs,) float32, those of item i at
    `indptr[i]:indptr[i + 1]`. A candidate's score is the sum over the history of weight x score of the pair. params:
    how events get weights, see `recsys/encoders/item_item.py`. `half_life_days`: the age at which a like weighs half;
    `last`: how many of the newest liked items are used; `place_decay`: multiplies a weight once per newer liked item.
    """

    indptr: npt.NDArray[np.int64]
    rows: IntArray
    scores: FloatArray
    params: Mapping[str, Any]


@dataclass(frozen=True)
class TrainingData:
    """The input of a model's `fit`: one fold, and the catalogue in row order. events: user_row int32, item_row int32,
    timestamp Datetime[us, UTC], event str, value float32, weight float32, sorted by (user_row, timestamp), read only
    when collected; now: the end of the fold in UTC seconds; threads: how many the training may use."""

    events: pl.LazyFrame
    catalogue: pl.DataFrame
    n_users: int
    n_items: int
    now: float
    seed: int
    threads: int

    @cached_property
    def interactions(self) -> pl.DataFrame:
        return self.events.collect()


def epoch_seconds(timestamps: pl.Series) -> npt.NDArray[np.float64]:
    """Convert datetimes to UTC seconds since 1970, (n,) float64."""
    return timestamps.dt.epoch("us").to_numpy().astype(np.float64) / 1e6
