"""Trains the ranker of `recsys/rankers/learned.py` on a log of candidates (`recsys/evaluation/candidate_log.py`).

1. It fits two blends of features (`recsys/rankers/_learned/blends.py`): one for users with few likes, including users
   treated as new, and one for the others. Sources without a weight in either are left out. Features of attributes of
   users are used where they are significantly better for users that they were not fitted on, with Bonferroni's
   correction for all attributes and blends: without it, one of a few meaningless attributes is often kept.
2. It trains trees on the features of the remaining sources: LightGBM's lambdarank for all users with a history. Trees
   memorise the items in demand, which helps within one window and not in the next. So they are trained on the first
   half of the window and compared with the blends on its second half, on held-out users.
3. If trees are significantly better, they are used for users with few likes; the limit is the number of likes at which
   the summed gain is largest. They are then trained on the whole window.

If the log has no target among its candidates, lists are ordered by the score of the first source.

Source: Burges, "From RankNet to LambdaRank to LambdaMART: an overview", 2010.
"""

from statistics import NormalDist
from typing import Any

import lightgbm as lgb
import numpy as np
import numpy.typing as npt
import polars as pl

from recsys.contracts import REPEAT
from recsys.params import RankerParams, VariantParams
from recsys.rankers._learned import blends, features
from recsys.rankers._learned.artifact import Description
from recsys.ranking import Values

EVERYBODY = 1_000_000  # likes, more than any user has
SIGNIFICANT = 1.645  # standard errors: exceeded by chance once in twenty
CHANCE, BLENDS = 0.05, 3  # probability that a meaningless attribute is used in any of the blends


def fit(log: pl.DataFrame, variant: VariantParams, config: RankerParams, seed: int) -> tuple[str, Description]:
    """Train the ranker of a variant on a log of candidates, the table of `candidate_log.collect`. Return the trees in
    LightGBM's text format ("" if the log has no target to learn from), and the content of `ranker.json`."""
    pairs = variant.pairs
    models = [name for name in variant.models if name not in pairs]
    log = log.with_columns(few=pl.col("liked") <= max(config.known_items))
    strangers, log = _judged(log.filter(pl.col("liked") == 0)), log.filter(pl.col("liked") > 0)
    of_users = [name for name in log.columns if features.attribute(name)]
    repeat = bool(log["repeat_days"].is_not_nan().any())
    named = [*models, *pairs, *([REPEAT] if repeat else [])]
    choices = [f"{model}_{name}" for model in [*models, *pairs] for name in ("score", "times_recent")]
    choices += [name for name, sign in features.OF_REPEAT.items() if repeat and sign] + list(features.DEMANDS)
    judged = _judged(log)
    parts = {"few": judged.filter("few"), "more": judged.filter(~pl.col("few"), "whole_history")}
    found = {name: _blend(part, choices, of_users, seed) for name, part in parts.items() if part.height}
    stranger = _blend(strangers, [features.DEMAND], of_users, seed) if of_users and strangers.height else {}
    few, more = (found.get(name) or next(iter(found.values()), {choices[0]: 1.0}) for name in ("few", "more"))
    left_out = "its gain in a blend is within a standard error on the validation window"
    used = [name for name in named if any(features.split(each)[0] == name for each in (*few, *more))]
    kept, kept_pairs = ([name for name in group if name in used] for group in (models, pairs))
    lifted = features.attributes((*few, *more))
    about = Description(
        models=used,
        features=list(features.names(kept, kept_pairs, REPEAT in used, lifted, features.LIKED_SHARE in log.columns)),
        few=few,
        more=more,
        few_up_to=limit(_liked(judged), blend_ndcg(judged, few) - blend_ndcg(judged, more), errors=0) if found else 0,
        trees_up_to=-1,
        left_out={name: left_out for name in named if name not in used},
        strangers=stranger if features.attributes(stranger) else {},
        figures={
            f"blend, {name}": round(float(blend_ndcg(part, blend).mean()), 4)
            for (name, part), blend in zip(parts.items(), (few, more), strict=True)
            if part.height
        },
    )
    return _with_trees(log, about, config, seed)


def _with_trees(log: pl.DataFrame, about: Description, config: RankerParams, seed: int) -> tuple[str, Description]:
    """Train trees and compare them with the blends, on the second half of the window and held-out users. Returns the
    trees in LightGBM's text format, and `about` with the result of the comparison."""
    sign = features.every(about.models, about.features)
    signs = {name: sign[name] for name in about.features}
    log = log.with_columns(early=pl.col("wanted") & ~pl.col("late"))
    late = log.filter("held_out").with_columns(wanted="late", n_wanted="n_late")
    late = late.filter(pl.col("wanted").any().over("case"))
    learning = log.filter(~pl.col("held_out"))
    if late.is_empty() or not learning["early"].any():
        return "", about
    trees = _boost(learning, "early", signs, config, seed)
    by_trees = ndcg(np.asarray(trees.predict(late.select(list(signs)).to_numpy())), late)
    liked = _liked(late)
    by_blend = np.where(liked <= about.few_up_to, blend_ndcg(late, about.few), blend_ndcg(late, about.more))
    up_to = limit(liked, by_trees - by_blend)
    tried = {"trees, second half": by_trees.mean(), "blends, second half": by_blend.mean()}
    figures = about.figures | {name: round(float(value), 4) for name, value in tried.items()}
    about = about.model_copy(update={"trees_up_to": up_to, "figures": figures})
    if up_to > 0:
        trees = _boost(learning, "wanted", signs, config, seed)
    return trees.model_to_string(), about


def _judged(log: pl.DataFrame) -> pl.DataFrame:
    return log.filter(pl.col("whole_history") | pl.col("held_out"), pl.col("wanted").any().over("case"))


def _blend(log: pl.DataFrame, choices: list[str], of_users: list[str], seed: int) -> dict[str, float]:
    """Fit a blend of the features `choices`, and of those of each attribute of users with which a blend that is fitted
    on half of the users is significantly better for the other half, both ways."""
    halves, kept = [log.filter(pl.col("user") % 2 == half) for half in (0, 1)], list(choices)
    if of_users and all(half.height for half in halves):
        plain = [blends.fit(half, choices, seed) for half in halves]
        attributes = features.attributes(of_users)
        errors = NormalDist().inv_cdf(1 - CHANCE / (BLENDS * len(attributes)))
        for attribute in attributes:
            own = [name for name in of_users if features.attribute(name) == attribute]
            more = [blends.fit(half, [*choices, *own], seed) for half in halves]
            gains = [_gains(halves[1 - at], more[at], plain[at]) for at in (0, 1)]
            if limit(np.zeros(sum(map(len, gains))), np.concatenate(gains), errors) >= 0:
                kept += own
    return blends.fit(log, kept, seed)


def _gains(log: pl.DataFrame, more: dict[str, float], less: dict[str, float]) -> Values:
    """Return how much better one blend is than another for each user, whose cases are alike: (n_users,) float64."""
    cases = log.group_by("case", maintain_order=True).agg(pl.col("user").first())
    cases = cases.with_columns(gain=pl.Series(blend_ndcg(log, more) - blend_ndcg(log, less)))
    return cases.group_by("user", maintain_order=True).agg(pl.col("gain").mean())["gain"].to_numpy()


def _liked(log: pl.DataFrame) -> npt.NDArray[Any]:
    """Return how many items the user of each case of the log liked, (n_cases,)."""
    return log.group_by("case", maintain_order=True).first()["liked"].to_numpy()


def limit(liked: npt.NDArray[Any], gain: Values, errors: float = SIGNIFICANT) -> int:
    """Return the number of liked items up to which the summed gain is largest, -1 if it is not significant.

    liked, gain: (n_cases,), items that the user liked, and gain in NDCG; errors: number of standard errors that a
    significant sum exceeds.

    >>> limit(np.array([1, 1, 1, 3, 5]), np.array([0.2, 0.1, 0.1, 0.2, -0.3]))
    3
    """
    order = np.argsort(liked, kind="stable")
    total, last = np.cumsum(gain[order]), np.append(np.diff(liked[order]) > 0, True)
    best = int(np.flatnonzero(last)[total[last].argmax()])
    error = float(gain[order][: best + 1].std(ddof=1)) * np.sqrt(best + 1) if best else np.inf
    if total[best] <= errors * error:
        return -1
    return EVERYBODY if best == len(liked) - 1 else int(liked[order][best])


def blend_ndcg(log: pl.DataFrame, blend: dict[str, float]) -> Values:
    """Return NDCG@K of each case of the log in the order of a blend, (n_cases,) float64."""
    lists = blends.Lists.of(log, list(blend))
    return lists.ndcg(np.sum([weight * lists.tables[name] for name, weight in blend.items()], axis=0))


def ndcg(scores: npt.NDArray[np.floating[Any]], log: pl.DataFrame) -> Values:
    """Return NDCG@K of each case of the log in the order of `scores`, (n_rows,): (n_cases,) float64."""
    shifted = scores - scores.min(initial=0) + 1e-6  # `Lists` sets negative values to 0
    return blend_ndcg(log.with_columns(by=pl.Series(shifted)), {"by": 1.0})


def _boost(rows: pl.DataFrame, label: str, signs: dict[str, int], config: RankerParams, seed: int) -> lgb.Booster:
    """Train trees on the cases with a target in the column `label`, with about `config.negatives` other rows of each.
    signs: feature -> monotonic constraint, see `features.names`."""
    rows = rows.filter(pl.col(label).any().over("case"))
    luck = np.random.default_rng(seed).random(rows.height)
    share = config.negatives / pl.len().over("case")
    rows = rows.filter(pl.col("wanted") | (pl.lit(pl.Series(luck, dtype=pl.Float64)) < share))
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
        "monotone_constraints": list(signs.values()),
        "seed": seed,
        "num_threads": 1,  # so few rows: a second thread waits more than it works
        "deterministic": True,
        "force_row_wise": True,
        "verbosity": -1,
    }
    data = lgb.Dataset(
        rows.select(list(signs)).to_numpy(),
        rows[label].cast(pl.Int8).to_numpy(),
        group=rows.group_by("case", maintain_order=True).len()["len"].to_numpy(),
        feature_name=list(signs),
    )
    return lgb.train(settings, data, config.rounds)
