"""Counts features of recommended items in bins, the input of the drift tests.

category    main category         price    deciles of the catalogue, and unknown   popularity  deciles of the catalogue
source      source of the slot    score    deciles of the reference                confidence  fixed bounds
match       share of the user's history with the item's category; only for users with a history. It
            shows best that a model's vectors were assigned to the wrong items

`source` counts all slots, the others only those that the default variant's own sources filled. Slots reserved for new
items show what arrived last, often one item to everybody: it alone would move categories, prices and scores.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from recsys.bundle.bundle import Bundle
from recsys.contracts import IntArray
from recsys.drift.permutation import Counts, Ints

PLACES = 10  # number of items counted of each list
CATEGORIES = 30
TENTHS = np.arange(1, 10) / 10
MATCHES = np.array([0.0, 0.05, 0.1, 0.2, 0.4])
CONFIDENCE = np.array([0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5])
# kind of finding by feature, else "items"
KINDS = {"match": "model", "popularity": "model", "score": "scores", "confidence": "scores", "source": "scores"}
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Answer:
    """One list of n items. person: any id; rows: (n,) catalogue rows, -1 if not in the catalogue. confidences: NaN
    where unknown; history: (m,) catalogue rows of the person's history."""

    person: str
    rows: IntArray
    scores: Sequence[float]
    sources: Sequence[str]
    confidences: Sequence[float]
    history: IntArray


class Features:
    """The bins of one bundle. edges: (9,) limits between the bins of scores."""

    def __init__(self, bundle: Bundle, edges: Floats) -> None:
        items, frame = bundle.catalogue, bundle.catalogue.frame
        main = frame.select(pl.col("categories").list.first().fill_null("")).to_series()
        names = main.value_counts().sort(["count", "categories"], descending=[True, False])["categories"]
        place = {name: at for at, name in enumerate(names.head(CATEGORIES).to_list())}
        self.category = np.array([place.get(name, CATEGORIES) for name in main.to_list()], dtype=np.int64)
        ranks = items.popularity.argsort(kind="stable").argsort(kind="stable")
        price = (
            frame["price"].cast(pl.Float64).fill_null(np.nan).to_numpy() if "price" in frame.columns else ranks * np.nan
        )
        known = price[np.isfinite(price)]
        tenths = np.searchsorted(np.quantile(known, TENTHS) if len(known) else TENTHS, price)
        variants = bundle.manifest.variants
        labels = {part.label for variant in variants.values() for part in variant.sources}
        default = variants[bundle.manifest.default_variant]
        answering = [default, *(variants[name] for name in [default.without_live] if name)]
        self._own = {part.label for variant in answering for part in variant.sources}
        self._sources = {name: at for at, name in enumerate(sorted(labels))}
        self._of_item = {
            "category": (self.category, CATEGORIES + 1),
            "popularity": (ranks * 10 // max(len(ranks), 1), 10),
            "price": (np.where(np.isfinite(price), tenths, 10), 11),
        }
        self.edges = edges

    def count(self, answers: Sequence[Answer]) -> tuple[dict[str, Counts], list[str]]:
        """Return feature -> (n_persons, n_bins) counts, and the persons in the order of the rows."""
        persons = {person: at for at, person in enumerate(dict.fromkeys(answer.person for answer in answers))}
        kept = [min(PLACES, len(answer.rows)) for answer in answers]
        who = np.repeat([persons[answer.person] for answer in answers], kept).astype(np.int64)
        rows, scores, confidences = (
            np.concatenate([np.asarray(part, dtype=np.float64)[:PLACES] for part in parts] or [np.empty(0)])
            for parts in zip(*((each.rows, each.scores, each.confidences) for each in answers), strict=True)
        )
        rows = rows.astype(np.int64)
        sources = [self._sources.get(name, len(self._sources)) for each in answers for name in each.sources[:PLACES]]
        matches = np.concatenate([self._matches(answer) for answer in answers])
        own = np.array([name in self._own for each in answers for name in each.sources[:PLACES]], dtype=bool)
        there = own & (rows >= 0)
        cells: dict[str, tuple[Ints, npt.NDArray[np.bool_], int]] = {
            name: (of_row[rows], there, width) for name, (of_row, width) in self._of_item.items()
        }
        cells["source"] = np.array(sources, dtype=np.int64), own | True, len(self._sources) + 1
        cells["score"] = np.searchsorted(self.edges, scores), own & np.isfinite(scores), len(self.edges) + 1
        sure = np.searchsorted(CONFIDENCE, confidences)
        cells["confidence"] = sure, own & np.isfinite(confidences), len(CONFIDENCE) + 1
        cells["match"] = matches, there & (matches >= 0), len(MATCHES) + 1
        return {name: tally(who[use], bins[use], len(persons), n) for name, (bins, use, n) in cells.items()}, list(
            persons
        )

    def _matches(self, answer: Answer) -> Ints:
        rows = answer.rows[:PLACES]
        if not len(answer.history):
            return np.full(len(rows), -1)
        share = np.bincount(self.category[answer.history], minlength=CATEGORIES + 1) / len(answer.history)
        return np.searchsorted(MATCHES, share[self.category[rows]])


def tally(who: Ints, bins: Ints, n_persons: int, n_bins: int) -> Counts:
    """Return (n_persons, n_bins): how many values of each person are in each bin. who, bins: (n,) numbers from 0 of the
    person and of the bin of each value."""
    cells = np.bincount(who * n_bins + bins, minlength=n_persons * n_bins)
    return cells.reshape(n_persons, n_bins).astype(np.float32)


def score_edges(answers: Sequence[Answer]) -> Floats:
    """Return (9,): the limits between the deciles of the scores of these lists."""
    scores = np.concatenate([np.asarray(answer.scores, dtype=np.float64)[:PLACES] for answer in answers])
    return np.asarray(np.quantile(scores, TENTHS))
