"""From lists to one table: every metric of every variant in every segment, with intervals.

Columns: variant, segment, users, metric, value, low, high; then the paired difference to the baseline: baseline,
difference, difference_low, difference_high. Coverage belongs to a set of users, not to a user, so it has no interval;
the baseline has no difference to itself.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from recsys.contracts import BoolArray, IntArray
from recsys.evaluation import metrics
from recsys.evaluation.intervals import Bootstrap
from recsys.evaluation.metrics import Ragged, Values
from recsys.evaluation.sample import Sample
from recsys.evaluation.segments import Segment

ACCURACY = {"recall": metrics.recall, "ndcg": metrics.ndcg, "hit_rate": metrics.hit_rate, "mrr": metrics.mrr}
METRICS = (*ACCURACY, "coverage", "novelty", "diversity", "popularity_bias")
DIGITS = 6
FLOATS = pl.selectors.float()
OWN, PAIRED = ("value", "low", "high"), ("difference", "difference_low", "difference_high")
SCHEMA = pl.Schema(
    {"variant": pl.String, "segment": pl.String, "users": pl.Int64, "metric": pl.String}
    | dict.fromkeys(OWN, pl.Float64)
    | {"baseline": pl.String}
    | dict.fromkeys(PAIRED, pl.Float64)
)

PerUser = dict[str, Values]  # metric -> (n_users,) float64


def measure(
    lists: Mapping[str, IntArray],
    sample: Sample,
    segments: list[Segment],
    at: list[int],
    baseline: str,
    bootstrap: Bootstrap,
) -> pl.DataFrame:
    """lists: variant -> (n_users, max(at)) int32 rows. Segments without users are left out of the table."""
    beyond = {variant: beyond_accuracy(rows, sample, at) for variant, rows in lists.items()}
    table: list[dict[str, Any]] = []
    for segment in segments:
        targets = sample.targets.keep(segment.targets)
        users = segment.users & (targets.lengths > 0)
        if not users.any():
            continue
        per_user = {variant: accuracy(found, targets, at) | beyond[variant] for variant, found in lists.items()}
        covered = {variant: coverage(found[users], len(sample.cold_items), at) for variant, found in lists.items()}
        same = {"segment": segment.name, "users": int(users.sum()), "baseline": baseline}
        rows = _intervals(per_user, users, baseline, bootstrap) + _plain(covered, baseline)
        table += [same | row for row in rows]
    orders = {
        "variant": list(lists),
        "segment": [segment.name for segment in segments],
        "metric": [f"{name}@{k}" for k in at for name in METRICS],
    }
    order = [pl.col(column).replace_strict(names, range(len(names))) for column, names in orders.items()]
    return pl.DataFrame(table, schema=SCHEMA).sort(order).with_columns(FLOATS.fill_nan(None).round(DIGITS))


def accuracy(rows: IntArray, targets: Ragged, at: list[int]) -> PerUser:
    """What was found."""
    found = metrics.hits(rows, targets)
    return {f"{name}@{k}": metric(found[:, :k], targets.lengths) for k in at for name, metric in ACCURACY.items()}


def beyond_accuracy(rows: IntArray, sample: Sample, at: list[int]) -> PerUser:
    """What the lists are like, whatever was found."""
    values = {}
    for k in at:
        values[f"novelty@{k}"] = metrics.novelty(rows[:, :k], sample.popularity, sample.n_fitted)
        values[f"diversity@{k}"] = metrics.diversity(rows[:, :k], sample.content)
        values[f"popularity_bias@{k}"] = metrics.popularity_bias(rows[:, :k], sample.popularity, sample.histories)
    return values


def coverage(rows: IntArray, n_items: int, at: list[int]) -> dict[str, float]:
    """One value for all users together."""
    return {f"coverage@{k}": metrics.coverage(rows[:, :k], n_items) for k in at}


def curve(lists: Mapping[str, IntArray], sample: Sample) -> pl.DataFrame:
    """Recall and NDCG of all users for every length of the list: variant, k, recall, ndcg."""
    table = []
    for variant, rows in lists.items():
        found, n_targets = metrics.hits(rows, sample.targets), sample.targets.lengths
        for k in range(1, rows.shape[1] + 1):
            recall, ndcg = metrics.recall(found[:, :k], n_targets), metrics.ndcg(found[:, :k], n_targets)
            table.append((variant, k, float(recall.mean()), float(ndcg.mean())))
    frame = pl.DataFrame(table, schema=["variant", "k", "recall", "ndcg"], orient="row")
    return frame.with_columns(FLOATS.round(DIGITS))


def flat(table: pl.DataFrame, variant: str, at: list[int]) -> dict[str, float]:
    """One variant for `dvc metrics`: accuracy at every k, the rest at the first k, and NDCG of the segments."""
    wanted = {f"{name}@{at[0]}" for name in METRICS} | {f"{name}@{k}" for name in ACCURACY for k in at}
    mine = table.filter(pl.col("variant") == variant, pl.col("value").is_not_null())
    return {
        metric if segment == "all" else f"{segment}.{metric}": value
        for segment, metric, value in mine.select("segment", "metric", "value").iter_rows()
        if metric in (wanted if segment == "all" else (f"ndcg@{at[0]}",))
    }


def read(path: Path) -> pl.DataFrame:
    """Read the table as the stage `evaluate` wrote it."""
    return pl.read_csv(path, schema=SCHEMA)


def _intervals(
    per_user: Mapping[str, PerUser], users: BoolArray, baseline: str, bootstrap: Bootstrap
) -> list[dict[str, Any]]:
    names = list(per_user[baseline])
    stacked = {
        variant: np.column_stack([values[name][users] for name in names]) for variant, values in per_user.items()
    }
    differences = [values - stacked[baseline] for values in stacked.values()]
    bounds = np.stack(bootstrap.interval(np.hstack([*stacked.values(), *differences])))
    own, paired = bounds.reshape(3, 2, len(stacked), len(names)).swapaxes(0, 1).tolist()
    rows = []
    for v, variant in enumerate(stacked):
        for m, name in enumerate(names):
            row = {"variant": variant, "metric": name} | {key: own[i][v][m] for i, key in enumerate(OWN)}
            if variant != baseline:
                row |= {key: paired[i][v][m] for i, key in enumerate(PAIRED)}
            rows.append(row)
    return rows


def _plain(values: Mapping[str, Mapping[str, float]], baseline: str) -> list[dict[str, Any]]:
    rows = []
    for variant, figures in values.items():
        for name, value in figures.items():
            difference = None if variant == baseline else value - values[baseline][name]
            rows.append({"variant": variant, "metric": name, "value": value, "difference": difference})
    return rows
