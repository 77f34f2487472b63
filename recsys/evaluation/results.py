"""Computes one table from the lists: every metric of every variant in every segment, with intervals.

Columns: variant, segment, users (their number), metric, value, low, high (interval); then the paired difference to a
baseline: baseline, difference, difference_low, difference_high. All rows are repeated for each baseline (`against`).
Coverage has no value per user, so it has no interval; a baseline has no difference to itself.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from recsys.contracts import BoolArray, IntArray
from recsys.errors import GateError
from recsys.evaluation import metrics
from recsys.evaluation.intervals import Bootstrap
from recsys.evaluation.metrics import Ragged
from recsys.evaluation.sample import Sample
from recsys.evaluation.segments import QueryMode, Segment
from recsys.ranking import Values

ACCURACY = {"recall": metrics.recall, "ndcg": metrics.ndcg, "hit_rate": metrics.hit_rate, "mrr": metrics.mrr}
METRICS = (*ACCURACY, "coverage", "novelty", "diversity", "popularity_bias", "new_share")
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
Lists = Mapping[str, Mapping[QueryMode, IntArray]]  # variant -> mode -> (n_users, k) int32 item rows


def measure(
    lists: Lists, sample: Sample, segments: list[Segment], at: list[int], baselines: list[str], bootstrap: Bootstrap
) -> pl.DataFrame:
    """Return the table that this module describes, with metrics of the first k of each list, for k in `at`; segments
    without users are left out. lists: variant -> query mode -> (n_users, max(at)) item rows."""
    beyond = {
        variant: {mode: beyond_accuracy(rows, sample, at) for mode, rows in found.items()}
        for variant, found in lists.items()
    }
    table: list[dict[str, Any]] = []
    for segment in segments:
        targets, users, asked = sample.targets.keep(segment.targets), segment.counted(sample), segment.mode
        if not users.any():
            continue
        rows = {variant: found[asked] for variant, found in lists.items()}
        per_user = {variant: accuracy(rows[variant], targets, at) | beyond[variant][asked] for variant in lists}
        n_items = len(sample.known_events)
        covered = {
            variant: {f"coverage@{k}": metrics.coverage(rows[variant][users][:, :k], n_items) for k in at}
            for variant in lists
        }
        same = {"segment": segment.name, "users": int(users.sum())}
        measured = _intervals(per_user, users, baselines, bootstrap) + _plain(covered, baselines)
        table += [same | row for row in measured]
    orders = {
        "baseline": baselines,
        "variant": list(lists),
        "segment": [segment.name for segment in segments],
        "metric": [f"{name}@{k}" for k in at for name in METRICS],
    }
    order = [pl.col(column).replace_strict(names, range(len(names))) for column, names in orders.items()]
    return pl.DataFrame(table, schema=SCHEMA).sort(order).with_columns(FLOATS.fill_nan(None).round(DIGITS))


def per_segment(lists: Lists, sample: Sample, segments: list[Segment], metric: str) -> dict[str, dict[str, Values]]:
    """Return one metric, such as ndcg@10, as segment -> variant -> (n_users,) float64, without empty segments.

    Raises:
        GateError: "gate.metric is 'coverage@10', expected a metric of a single list: recall@10, ndcg@10, ..."
    """
    k = int(metric.partition("@")[2] or 0)
    known = [f"{name}@{k}" for name in METRICS if name != "coverage"]
    if metric not in known:
        raise GateError(f"gate.metric is {metric!r}, expected a metric of a single list: {', '.join(known)}")
    found = {}
    for segment in segments:
        targets, users, asked = sample.targets.keep(segment.targets), segment.counted(sample), segment.mode
        if users.any():
            rows = {variant: answered[asked] for variant, answered in lists.items()}
            found[segment.name] = {
                variant: (accuracy(mine, targets, [k]) | beyond_accuracy(mine, sample, [k]))[metric][users]
                for variant, mine in rows.items()
            }
    return found


def against(table: pl.DataFrame, baseline: str) -> pl.DataFrame:
    """Return the part of the table with the differences to one baseline: every variant, segment and metric once."""
    return table.filter(pl.col("baseline") == baseline)


def accuracy(rows: IntArray, targets: Ragged, at: list[int]) -> PerUser:
    """Return the accuracy metrics of lists (n_users, max(at)), as metric -> (n_users,)."""
    found = metrics.hits(rows, targets)
    return {f"{name}@{k}": metric(found[:, :k], targets.lengths) for k in at for name, metric in ACCURACY.items()}


def beyond_accuracy(rows: IntArray, sample: Sample, at: list[int]) -> PerUser:
    """Return the metrics that do not depend on targets, as metric -> (n_users,)."""
    values = {}
    for k in at:
        values[f"novelty@{k}"] = metrics.novelty(rows[:, :k], sample.popularity, sample.n_fitted)
        values[f"diversity@{k}"] = metrics.diversity(rows[:, :k], sample.content)
        values[f"popularity_bias@{k}"] = metrics.popularity_bias(rows[:, :k], sample.popularity, sample.histories)
        values[f"new_share@{k}"] = metrics.share(rows[:, :k], sample.new)
    return values


def flat(table: pl.DataFrame, variant: str, at: list[int]) -> dict[str, float]:
    """Return metric -> value of one variant for `dvc metrics`: accuracy at each k of `at`, others at the first k only.

    The NDCG of each segment is included. table: result of `against`.
    """
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
    per_user: Mapping[str, PerUser], users: BoolArray, baselines: list[str], bootstrap: Bootstrap
) -> list[dict[str, Any]]:
    names = list(per_user[baselines[0]])
    stacked = {
        variant: np.column_stack([values[name][users] for name in names]) for variant, values in per_user.items()
    }
    differences = [values - stacked[baseline] for baseline in baselines for values in stacked.values()]
    bounds = np.stack(bootstrap.interval(np.hstack([*stacked.values(), *differences])))
    own, *paired = bounds.reshape(3, 1 + len(baselines), len(stacked), len(names)).swapaxes(0, 1).tolist()
    rows = []
    for baseline, difference in zip(baselines, paired, strict=True):
        for v, variant in enumerate(stacked):
            for m, name in enumerate(names):
                row = {"baseline": baseline, "variant": variant, "metric": name}
                row |= {key: own[i][v][m] for i, key in enumerate(OWN)}
                if variant != baseline:
                    row |= {key: difference[i][v][m] for i, key in enumerate(PAIRED)}
                rows.append(row)
    return rows


def _plain(values: Mapping[str, Mapping[str, float]], baselines: list[str]) -> list[dict[str, Any]]:
    rows = []
    for baseline in baselines:
        for variant, figures in values.items():
            for name, value in figures.items():
                difference = None if variant == baseline else value - values[baseline][name]
                row = {"baseline": baseline, "variant": variant, "metric": name}
                rows.append(row | {"value": value, "difference": difference})
    return rows
