"""Trains the ranker `recsys/rankers/learned.py` on a log of candidates (`recsys/learning_to_rank/candidate_log.py`).

It determines three things. The formula: the one feature that best orders the lists of users with longer histories than
the trees are trained for. The trees: LightGBM's lambdarank on users with few likes, stopped early on held-out users.
The limit: up to how many liked items the trees are better than the formula for held-out users.

The limit is needed because a good fit in one window need not hold in the next: for users with long histories trees won
in the window of their training and lost to the formula in the next. Users without any like get popular items: trees
could only memorise the purchases of this window.

Source: Burges, "From RankNet to LambdaRank to LambdaMART: an overview", 2010.
"""

from collections.abc import Sequence
from typing import Any

import lightgbm as lgb
import numpy as np
import numpy.typing as npt
import polars as pl

from recsys.contracts import BoolArray, FloatArray
from recsys.errors import DataError
from recsys.evaluation import metrics
from recsys.params import RankerParams
from recsys.rankers._learned import features
from recsys.rankers._learned.artifact import Description

Values = npt.NDArray[np.float64]

K = 10  # what the lists are judged by: NDCG@K
STEPS = 5  # so many numbers of trees are judged, up to all; LightGBM's own early stopping ended far too early


def fit(log: pl.DataFrame, models: Sequence[str], config: RankerParams, seed: int) -> tuple[str, Description]:
    """Fit; return the trees in LightGBM's text format, and the content of `ranker.json`.

    Raises:
        DataError: "the log of candidates has no hit for users with 1 to 10 likes (...); ..."
    """
    senses, most = features.names(models), max(config.known_items)
    cases = log.group_by("case", maintain_order=True).agg(pl.col("liked", "told", "held_out").first())
    liked, held_out = cases["liked"].to_numpy(), cases["held_out"].to_numpy()
    few = (liked > 0) & (liked <= most)
    many = cases["told"].to_numpy() & (liked > most)

    known_well = log.filter(pl.col("case").is_in(np.flatnonzero(many)))
    choices = [f"{model}_{name}" for model in models for name in ("score", "times_recent")]
    worth = {name: float(ndcg(by_column(known_well, name), known_well).mean()) for name in choices if many.any()}
    formula = max(choices, key=lambda name: worth.get(name, 0.0))

    learning, judging = (_with_hits(log, few & part, most) for part in (~held_out, held_out))
    booster = _boost(learning, senses, config, seed)
    table, steps = _table(judging, senses), [max(1, config.rounds * step // STEPS) for step in range(1, STEPS + 1)]
    grown = {n: ndcg(np.asarray(booster.predict(table, num_iteration=n)), judging) for n in steps}
    n_trees = max(grown, key=lambda n: float(grown[n].mean()))
    simple = ndcg(by_column(judging, formula), judging)
    told = judging.group_by("case", maintain_order=True).agg(pl.col("liked").first())["liked"].to_numpy()
    figures = {"trees, few liked": grown[n_trees].mean(), "formula, few liked": simple.mean()}
    figures |= {"formula, more liked": worth[formula]} if worth else {}
    description = Description(
        models=list(models),
        features=list(senses),
        formula=formula,
        trees_up_to=limit(told, grown[n_trees] - simple),
        figures={name: round(float(value), 4) for name, value in figures.items()},
    )
    return booster.model_to_string(num_iteration=n_trees), description


def limit(liked: npt.NDArray[Any], gain: Values) -> int:
    """Return the number of liked items up to which the summed gain of the trees is largest; -1 if it is never positive.

    >>> limit(np.array([1, 1, 3, 5]), np.array([0.2, -0.1, 0.1, -0.3]))
    3
    """
    order = np.argsort(liked, kind="stable")
    total, last = np.cumsum(gain[order]), np.append(np.diff(liked[order]) > 0, True)
    if total[last].max() <= 0:
        return -1
    return int(liked[order][last][total[last].argmax()])


def ndcg(scores: npt.NDArray[np.floating[Any]], log: pl.DataFrame) -> Values:
    """Return (n_cases,) float64 NDCG@K of each case of the log, with its candidates ordered by `scores`, (n_rows,)."""
    case = log["case"].to_numpy()
    order = np.lexsort((-scores, case))
    starts = np.flatnonzero(np.diff(case, prepend=-1))
    sizes = np.diff(starts, append=len(case))
    number, place = np.repeat(np.arange(len(starts)), sizes), np.arange(len(case)) - np.repeat(starts, sizes)
    hits = np.zeros((len(starts), K), dtype=np.bool_)
    top = place < K
    hits[number[top], place[top]] = log["wanted"].to_numpy()[order][top]
    return metrics.ndcg(hits, log["n_wanted"].to_numpy()[starts])


def by_column(log: pl.DataFrame, name: str) -> FloatArray:
    """Return the score of the formula with this feature, for every row of the log."""
    return features.by_formula(log[name].to_numpy(), log["recent_demand"].to_numpy())


def _with_hits(log: pl.DataFrame, chosen: BoolArray, most: int) -> pl.DataFrame:
    """Return the chosen cases with a hit among their candidates; without one no order is better than another."""
    rows = log.filter(pl.col("case").is_in(np.flatnonzero(chosen)), pl.col("wanted").any().over("case"))
    if rows.is_empty():
        raise DataError(
            f"the log of candidates has no hit for users with 1 to {most} likes ({log['case'].n_unique()} cases): "
            "raise max_users of the ranker, or take it out of `rankers` and `variants`"
        )
    return rows


def _boost(rows: pl.DataFrame, senses: dict[str, int], config: RankerParams, seed: int) -> lgb.Booster:
    settings = {
        "objective": "lambdarank",
        "num_leaves": config.num_leaves,
        "learning_rate": config.learning_rate,
        "min_data_in_leaf": config.min_data_in_leaf,
        "lambda_l2": 1.0,
        "feature_fraction": 0.7,
        "bagging_fraction": 0.8,
        "bagging_freq": 1,
        "extra_trees": True,
        "monotone_constraints": list(senses.values()),
        "seed": seed,
        "num_threads": 1,  # so few rows: a second thread waits more than it works
        "deterministic": True,
        "force_row_wise": True,
        "verbosity": -1,
    }
    data = lgb.Dataset(
        _table(rows, senses),
        rows["wanted"].cast(pl.Int8).to_numpy(),
        group=rows.group_by("case", maintain_order=True).len()["len"].to_numpy(),
        feature_name=list(senses),
    )
    return lgb.train(settings, data, config.rounds)


def _table(log: pl.DataFrame, senses: dict[str, int]) -> FloatArray:
    found: FloatArray = log.select(list(senses)).to_numpy()
    return found
