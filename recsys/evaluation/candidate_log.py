"""Logs the training data of a ranker: the recommender's candidates, with features and whether the user chose them.

A case is one query for one user, with the whole history or, like that of a new user, with only its newest part. One row
per candidate, the rows of a case together. Columns: case, user (user_row), n_wanted (number of the user's targets),
n_late (how many of them are late, see `late_targets`), int32; whole_history (whether the query has it), held_out (the
user is held out from training), wanted and late (the candidate is a target, a late one), bool; a float32 per feature.
A case with a shortened history of a user who is not held out has the targets and a sample of the other candidates;
every other case has all candidates.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl

from recsys.contracts import NO_ROWS, BoolArray, FloatArray, IntArray, Query
from recsys.data.split import PAIR, WINDOWS, ScoredFold, Split
from recsys.evaluation import answers
from recsys.evaluation.sample import Sample, ranker_holdout_users
from recsys.params import RankerParams
from recsys.rankers._learned.features import RankingFeatures, attributes
from recsys.recommend.recommender import Recommender

OF_A_CASE = {
    "user": pl.Int32, "n_wanted": pl.Int32, "n_late": pl.Int32, "whole_history": pl.Boolean, "held_out": pl.Boolean,
}  # fmt: skip


HALF = 0.5


class Recorder:
    """A ranker that records its last input in `seen`: item rows and features. Its scores are all 0."""

    def __init__(self, features: RankingFeatures) -> None:
        self.features = features
        self.seen: tuple[IntArray, FloatArray] | None = None

    def rank(self, query: Query, rows: IntArray, scores: FloatArray) -> FloatArray:
        self.seen = (rows, self.features.of(query, rows))
        return np.zeros(len(rows), dtype=np.float32)


@dataclass(frozen=True)
class Case:
    """One query with its candidates. of_a_case: the values of the columns `OF_A_CASE`; wanted, late: (m,) bool,
    one per candidate; features: (m, n_features) float32."""

    of_a_case: tuple[int, int, int, bool, bool]
    wanted: BoolArray
    late: BoolArray
    features: FloatArray


def collect(
    recommender: Recommender, recorder: Recorder, split: Split, sample: Sample, config: RankerParams, k: int, seed: int
) -> pl.DataFrame:
    """Return the log of all cases; recorder: must be the recommender's ranker; k: length of the lists."""
    cases = list(_cases(recommender, recorder, split, sample, config, k, seed))
    sizes = [len(case.wanted) for case in cases]
    table = {"case": np.repeat(np.arange(len(cases), dtype=np.int32), sizes)}
    for place, (name, kind) in enumerate(OF_A_CASE.items()):
        values = pl.Series([case.of_a_case[place] for case in cases], dtype=kind).to_numpy()
        table[name] = np.repeat(values, sizes)
    table["wanted"] = np.concatenate([case.wanted for case in cases])
    table["late"] = np.concatenate([case.late for case in cases])
    features = np.concatenate([case.features for case in cases])
    return pl.DataFrame(table | dict(zip(recorder.features.names, features.T, strict=True)))


def _cases(
    recommender: Recommender, recorder: Recorder, split: Split, sample: Sample, config: RankerParams, k: int, seed: int
) -> Iterator[Case]:
    """Yield a case per user with the whole history; for users with many likes also cases with its newest part."""
    kept_out = ranker_holdout_users(split.users["user_id"][sample.users])
    random, late_of = np.random.default_rng(seed), late_targets(split, sample.fold)
    for at, user in enumerate(sample.users.tolist()):
        targets = sample.targets.of_user(at)
        as_new = config.known_items if sample.liked[at] >= max(config.known_items) else []
        if as_new and attributes(recorder.features.names):  # then also users without a history may be told apart
            as_new = [0, *as_new]
        for known in (None, *as_new):
            recorder.seen = None
            answers.recommend_offline(recommender, split, sample.fold, user, k, seed, known)
            if recorder.seen is None:
                continue
            rows, features = recorder.seen
            wanted = np.isin(rows, targets)
            keep = np.ones(len(rows), dtype=np.bool_)
            if known is not None and not kept_out[at]:
                keep[random.permutation(np.flatnonzero(~wanted))[config.negatives :]] = False
            late = late_of.get(user, NO_ROWS)
            of_a_case = (user, len(targets), len(late), known is None, bool(kept_out[at]))
            yield Case(of_a_case, wanted[keep], np.isin(rows[keep], late), features[keep])


def late_targets(split: Split, fold: ScoredFold) -> dict[int, IntArray]:
    """Return user row -> item rows of the targets that the user first chose after the window's median time. With
    `per_user_holdout` each user has two medians: that of the items without an event in the fit set, and that of the
    others. If all targets of a median have the same time, as in data without an order, a random half is late."""
    held_out = ~pl.col("item_row").is_in(split.fit_rows(fold)["item_row"].unique().implode())
    targets = split.targets(fold).with_columns(pl.col("user_row", "item_row").cast(pl.Int32))
    window = split.interactions.filter(pl.col("fold") == WINDOWS[fold], pl.col("weight") > 0)
    window = window.filter(pl.col("event").is_in(split.facts.target_events))
    timed = window.group_by("user_row", "item_row").agg(pl.col("timestamp").min()).join(targets, on=PAIR)
    timed, time = timed.sort(PAIR), pl.col("timestamp")
    by = ["user_row", held_out] if split.facts.query_time == "last_event" else [pl.lit(0)]
    unordered = ((time.min() == time.max()) & (pl.len() > 1)).over(by)
    drawn = pl.lit(pl.Series(np.random.default_rng(0).random(timed.height) < HALF))
    late = timed.filter(pl.when(unordered).then(drawn).otherwise(time > time.median().over(by)))
    late = late.group_by("user_row", maintain_order=True).agg("item_row")
    return {user: rows.to_numpy() for user, rows in zip(late["user_row"], late["item_row"], strict=True)}
