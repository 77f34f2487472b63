"""From lists to one table: every metric of every variant in every segment, with intervals.

Columns: variant, segment, users, metric, value, low, high; then the paired difference to the baseline: baseline,
difference, difference_low, difference_high. Coverage belongs to a set of users, not to a user, so it has no interval;
the baseline has no difference to itself.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import polars as pl

from recsys.contracts import IntArray
from recsys.evaluation import metrics
from recsys.evaluation.intervals import Bootstrap
from recsys.evaluation.metrics import Values
from recsys.evaluation.sample import Sample
from recsys.evaluation.segments import Segment

ACCURACY = {"recall": metrics.recall, "ndcg": metrics.ndcg, "hit_rate": metrics.hit_rate, "mrr": metrics.mrr}
METRICS = (*ACCURACY, "coverage", "novelty", "diversity", "popularity_bias")
DIGITS = 6
SCHEMA = {
    **dict.fromkeys(("variant", "segment"), pl.String),
    "users": pl.Int64,
    "metric": pl.String,
    **dict.fromkeys(("value", "low", "high"), pl.Float64),
    "baseline": pl.String,
    **dict.fromkeys(("difference", "difference_low", "difference_high"), pl.Float64),
}


def measure(
    lists: Mapping[str, IntArray],
    sample: Sample,
    segments: list[Segment],
    at: list[int],
    baseline: str,
    bootstrap: Bootstrap,
) -> pl.DataFrame:
    """lists: variant -> (n_users, max(at)) int32 rows. Segments without users are left out of the table."""
    about_lists = {variant: list_values(rows, sample, at) for variant, rows in lists.items()}
    table = []
    for segment in segments:
        targets = sample.targets.keep(segment.targets)
        users = segment.users & (targets.lengths > 0)
        if not users.any():
            continue
        values = {}
        for variant, rows in lists.items():
            found = metrics.hits(rows, targets)
            accuracy = {
                f"{name}@{k}": metric(found[:, :k], targets.lengths) for k in at for name, metric in ACCURACY.items()
            }
            values[variant] = {name: column[users] for name, column in (accuracy | about_lists[variant]).items()}
        table.append(_intervals(values, segment.name, baseline, bootstrap))
        table.append(
            _coverage({name: rows[users] for name, rows in lists.items()}, segment.name, len(sample.cold_items), at)
        )
    return _in_order(pl.concat(table), list(lists), [segment.name for segment in segments], at)


def list_values(rows: IntArray, sample: Sample, at: list[int]) -> dict[str, Values]:
    """Metrics that need no targets: metric -> (n_users,) float64."""
    values = {}
    for k in at:
        values[f"novelty@{k}"] = metrics.novelty(rows[:, :k], sample.popularity, sample.n_fitted)
        values[f"diversity@{k}"] = metrics.diversity(rows[:, :k], sample.content)
        values[f"popularity_bias@{k}"] = metrics.popularity_bias(rows[:, :k], sample.popularity, sample.histories)
    return values


def curve(lists: Mapping[str, IntArray], sample: Sample) -> pl.DataFrame:
    """Recall and NDCG of all users for every length of the list: variant, k, recall, ndcg."""
    table = []
    for variant, rows in lists.items():
        found, n_targets = metrics.hits(rows, sample.targets), sample.targets.lengths
        for k in range(1, rows.shape[1] + 1):
            recall, ndcg = metrics.recall(found[:, :k], n_targets), metrics.ndcg(found[:, :k], n_targets)
            table.append((variant, k, float(recall.mean()), float(ndcg.mean())))
    frame = pl.DataFrame(table, schema=["variant", "k", "recall", "ndcg"], orient="row")
    return frame.with_columns(pl.col("recall", "ndcg").round(DIGITS))


def flat(table: pl.DataFrame, variant: str, at: list[int]) -> dict[str, float]:
    """One variant for `dvc metrics show`: all metrics of all users, and the segments' accuracy at the first k."""
    mine = table.filter(pl.col("variant") == variant, pl.col("value").is_not_null())
    accuracy = [f"{name}@{at[0]}" for name in ACCURACY]
    shown = mine.filter((pl.col("segment") == "all") | pl.col("metric").is_in(accuracy))
    return {
        metric if segment == "all" else f"{segment}.{metric}": value
        for segment, metric, value in shown.select("segment", "metric", "value").iter_rows()
    }


def read(path: Path) -> pl.DataFrame:
    """Read the table as the stage `evaluate` wrote it."""
    return pl.read_csv(path, schema=SCHEMA)


def _intervals(
    values: Mapping[str, Mapping[str, Values]], segment: str, baseline: str, bootstrap: Bootstrap
) -> pl.DataFrame:
    names = list(values[baseline])
    stacked = {variant: np.column_stack([columns[name] for name in names]) for variant, columns in values.items()}
    others = [variant for variant in values if variant != baseline]
    differences = [stacked[variant] - stacked[baseline] for variant in others]
    bounds = np.stack(bootstrap.interval(np.hstack([*stacked.values(), *differences])))
    parts = np.split(bounds, len(stacked) + len(others), axis=1)
    own = dict(zip(stacked, parts, strict=False))
    paired = dict(zip(others, parts[len(stacked) :], strict=True))
    none = np.full_like(own[baseline], np.nan)
    n_users = len(stacked[baseline])
    return pl.concat(
        pl.DataFrame(
            [
                [variant] * len(names), [segment] * len(names), [n_users] * len(names), names, *own[variant],
                [baseline] * len(names), *paired.get(variant, none),
            ],
            schema=SCHEMA,
        )
        for variant in values
    )  # fmt: skip


def _coverage(lists: Mapping[str, IntArray], segment: str, baseline: str, n_items: int, at: list[int]) -> pl.DataFrame:
    rows = []
    for k in at:
        values = {variant: metrics.coverage(found[:, :k], n_items) for variant, found in lists.items()}
        for variant, value in values.items():
            row = {"variant": variant, "segment": segment, "users": len(lists[variant]), "metric": f"coverage@{k}"}
            difference = None if variant == baseline else value - values[baseline]
            rows.append(row | {"value": value, "baseline": baseline, "difference": difference})
    return pl.DataFrame(rows, schema=SCHEMA)


def _in_order(table: pl.DataFrame, variants: list[str], segments: list[str], at: list[int]) -> pl.DataFrame:
    names = [f"{name}@{k}" for k in at for name in METRICS]
    orders = {"variant": variants, "segment": segments, "metric": names}
    keys = [pl.col(column).replace_strict(order, range(len(order))) for column, order in orders.items()]
    return table.sort(keys).with_columns(pl.selectors.float().fill_nan(None).round(DIGITS))
