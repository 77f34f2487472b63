"""Fits a blend, a weighted sum of features (weights add up to 1) that orders the lists of a log with the best NDCG.

Each feature is divided by its largest value in the list, so that weights mean the same for every user. Forward
selection on a random half of the users starts with the best feature, then adds the feature and weight that raise NDCG
most, until none does. The blend is the mean over several halves; a source that few halves chose gets no weight, as its
gain was chance. A blend has few parameters, so its gain holds in the next window; the gain of trees often did not.

Source: Caruana et al., "Ensemble selection from libraries of models", ICML 2004; Meinshausen and Bühlmann, "Stability
selection", 2010, for the halves.
"""

from collections import Counter
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from recsys.contracts import BoolArray, FloatArray
from recsys.rankers._learned import features
from recsys.ranking import Values, ndcg

K = 10  # lists are compared by NDCG@K
NEAR = 50  # candidates that no feature ranks among its first NEAR do not reach the top of a blend either
SHARES = (0.1, 0.25, 0.5)
STEPS = 6
LEAST_GAIN = 0.005  # of the NDCG so far, for another step
HALVES, AGREE = 7, 3  # halves of the users, and how many of them must choose a source


@dataclass(frozen=True)
class Lists:
    """The lists of candidates of a log as arrays, one line per list (case), padded to the longest one. tables: feature
    -> (n_cases, longest) float32, 0 to 1, 0 for padding; wanted: the same shape, bool, whether the candidate is a
    target; n_wanted: (n_cases,) int64, targets, also those not in the list."""

    tables: dict[str, FloatArray]
    wanted: BoolArray
    n_wanted: npt.NDArray[np.int64]

    @classmethod
    def of(cls, log: pl.DataFrame, names: list[str]) -> "Lists":
        """Build the arrays from a log in which the rows of a case are adjacent. names: the features."""
        begins = np.flatnonzero(np.diff(log["case"].to_numpy(), prepend=-1))
        sizes = np.diff(begins, append=log.height)
        line, place = np.repeat(np.arange(len(begins)), sizes), np.arange(log.height) - np.repeat(begins, sizes)
        shape = (len(begins), int(sizes.max(initial=0)))
        wanted = np.zeros(shape, dtype=np.bool_)
        wanted[line, place] = log["wanted"].to_numpy()
        tables = {}
        for name in names:
            tables[name] = table = np.zeros(shape, dtype=np.float32)
            table[line, place] = np.nan_to_num(log[name].to_numpy().clip(0))
            table /= np.maximum(table.max(axis=1, initial=0, keepdims=True), 1e-9)
        return cls(tables, wanted, log["n_wanted"].to_numpy()[begins].astype(np.int64))

    def near(self) -> "Lists":
        """Return the lists with only those candidates that some feature ranks among its first `NEAR`."""
        if self.wanted.shape[1] <= NEAR:
            return self
        near = np.zeros(self.wanted.shape, dtype=np.bool_)
        for table in self.tables.values():
            near |= (table > 0) & (table >= np.partition(table, -NEAR, axis=1)[:, [-NEAR]])
        order = np.argsort(~near, axis=1, kind="stable")[:, : near.sum(axis=1).max(initial=1)]
        tables = {name: np.take_along_axis(table * near, order, axis=1) for name, table in self.tables.items()}
        return Lists(tables, np.take_along_axis(self.wanted & near, order, axis=1), self.n_wanted)

    def take(self, cases: npt.NDArray[np.intp]) -> "Lists":
        """Return the lists at these positions."""
        tables = {name: table[cases] for name, table in self.tables.items()}
        return Lists(tables, self.wanted[cases], self.n_wanted[cases])

    def ndcg(self, scores: FloatArray) -> Values:
        """Return NDCG@K of each list in the order of `scores`, (n_cases, longest) float, 0 or more: (n_cases,) float64.
        Only the ranks of the targets are computed, which takes a third of the time of picking the best."""
        case, place = np.nonzero(self.wanted)
        mine, others = scores[case, place][:, None], scores[case]
        rank = np.count_nonzero(others > mine, axis=1)
        near = np.flatnonzero(rank < K)
        before = np.arange(scores.shape[1]) < place[near, None]  # equal scores are in the order of their positions
        rank[near] += np.count_nonzero((others[near] == mine[near]) & before, axis=1)
        hits = np.zeros((len(scores), min(K, scores.shape[1])), dtype=np.bool_)
        hits[case[rank < K], rank[rank < K]] = True
        return ndcg(hits, self.n_wanted)


def fit(log: pl.DataFrame, names: list[str], seed: int) -> dict[str, float]:
    """Fit a blend to a log of candidates; return feature -> weight. names: the features to choose from."""
    lists = Lists.of(log, names).near()
    users, owners = np.unique(log.group_by("case", maintain_order=True).first()["user"].to_numpy(), return_inverse=True)
    random, found = np.random.default_rng(seed), []
    for _ in range(HALVES):
        half = random.permutation(len(users)) < (len(users) + 1) // 2
        found.append(_select(lists.take(np.flatnonzero(half[owners])), names))
    source = {name: features.attribute(name) or features.split(name)[0] for name in names}
    chosen = Counter(each for weights in found for each in {source[name] for name in weights})
    total = {name: sum(weights.get(name, 0.0) for weights in found) for name in names}
    kept = {name: weight for name, weight in total.items() if weight and chosen[source[name]] >= AGREE}
    if not kept:  # each half chose another of several equally good sources
        return {max(names, key=lambda name: total[name]): 1.0}
    return {name: round(weight / sum(kept.values()), 4) for name, weight in kept.items()}


def _select(lists: Lists, names: list[str]) -> dict[str, float]:
    alone = {name: float(lists.ndcg(lists.tables[name]).mean()) for name in names}
    first = max(names, key=lambda name: alone[name])
    weights, current, best = {first: 1.0}, lists.tables[first], alone[first]
    for _ in range(STEPS):
        tried = {
            (name, share): float(lists.ndcg((1 - share) * current + share * lists.tables[name]).mean())
            for name in names
            for share in SHARES
        }
        name, share = max(tried, key=lambda key: tried[key])
        if tried[name, share] <= best * (1 + LEAST_GAIN):
            break
        current, best = (1 - share) * current + share * lists.tables[name], tried[name, share]
        weights = {each: weight * (1 - share) for each, weight in weights.items()}
        weights[name] = weights.get(name, 0.0) + share
    return weights
