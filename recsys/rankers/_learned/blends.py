"""Fits a blend, a weighted sum of features (weights add up to 1) that orders the lists of a log with the best NDCG.

Each feature is divided by its largest value in the list, so that weights mean the same for every user. Forward
selection on a random half of the users starts with the best feature, then adds the feature and weight that raise NDCG
most, until none does. The blend is the mean over several halves. A source must earn its place: the users outside of a
half compare its blend with and without the source, and one whose gain is within a standard error gets no weight, nor
one that few halves chose. The least one goes first, as of two that stand in for each other one must stay. A blend has
few parameters, so its gain holds in the next window; the gain of trees often did not.

Source: Caruana et al., "Ensemble selection from libraries of models", ICML 2004; Meinshausen and Bühlmann, "Stability
selection", 2010, for the halves; Breiman et al., "Classification and regression trees", 1984, for one standard error.
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
RARE = 1e3  # taken off the gain of a source that few halves chose: it is left out, the least gain first
EARNED = 1.0  # standard errors that the gain of a source exceeds: more, and sources that help by little are lost

Blends = list[dict[str, float]]


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

    def mixed(self, weights: dict[str, float]) -> FloatArray:
        """Return the scores of a blend, (n_cases, longest) float32."""
        nothing = np.zeros(self.wanted.shape, dtype=np.float32)
        return sum((np.float32(weight) * self.tables[name] for name, weight in weights.items()), start=nothing)

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
    random = np.random.default_rng(seed)
    halves = [(random.permutation(len(users)) < (len(users) + 1) // 2)[owners] for _ in range(HALVES)]
    found = [_select(lists.take(np.flatnonzero(half)), names) for half in halves]
    others = [np.flatnonzero(~half) for half in halves]
    chosen = Counter(source for weights in found for source in {_source(name) for name in weights})
    unproven, earned = sorted(chosen), 0
    while unproven and earned + len(unproven) > 1:
        rests = {source: [_without(weights, source) for weights in found] for source in unproven}
        gains = {source: _gain(lists, owners, others, found, rest) for source, rest in rests.items()}
        gains = {source: gain - RARE * (chosen[source] < AGREE) for source, gain in gains.items()}
        least = min(unproven, key=lambda source: gains[source])
        if gains[least] <= EARNED:
            found = rests[least]
        earned += sum(gain > EARNED for gain in gains.values())
        unproven = [source for source in unproven if source != least and gains[source] <= EARNED]
    total = {name: sum(weights.get(name, 0.0) for weights in found) for name in names}
    return {name: round(weight / sum(total.values()), 4) for name, weight in total.items() if weight}


def _source(name: str) -> str:
    """Return what must earn a place together with this feature: its attribute of users, its model, or the demand."""
    return features.attribute(name) or features.split(name)[0] or "demand"


def _without(weights: dict[str, float], source: str) -> dict[str, float]:
    rest = {name: weight for name, weight in weights.items() if _source(name) != source}
    return {name: weight / sum(rest.values()) for name, weight in rest.items()}


def _gain(
    lists: Lists, owners: npt.NDArray[np.intp], others: list[npt.NDArray[np.intp]], found: Blends, rests: Blends
) -> float:
    """Return the mean gain in NDCG of the blends `found` of the halves over `rests`, in standard errors over users.
    owners: the user of each list; others: for each half, the lists that it was not fitted on."""
    gains, times = np.zeros(len(owners)), np.zeros(len(owners))
    for cases, weights, rest in zip(others, found, rests, strict=True):
        held_out = lists.take(cases)
        gains[cases] += held_out.ndcg(held_out.mixed(weights)) - held_out.ndcg(held_out.mixed(rest))
        times[cases] += 1
    asked = np.bincount(owners, times)
    means = np.bincount(owners, gains)[asked > 0] / asked[asked > 0]
    return float(means.mean() / max(means.std(ddof=1) / np.sqrt(len(means)), 1e-12)) if len(means) > 1 else 0.0


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
