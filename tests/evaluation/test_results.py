"""The table holds the metric, computed again the slow way, for every variant and segment."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from recsys.evaluation import metrics, results, segments
from recsys.evaluation.intervals import Bootstrap
from recsys.evaluation.sample import Sample
from tests.support import bundles


def value(table: pl.DataFrame, variant: str, segment: str, metric: str, column: str = "value") -> float:
    row = table.filter(variant=variant, segment=segment, metric=metric)
    assert row.height == 1
    return row[column].item()


def test_every_variant_segment_and_metric_is_there_once(table: pl.DataFrame) -> None:
    assert table["segment"].unique(maintain_order=True).to_list()[0] == "all"
    assert table.select("variant", "segment", "metric").is_unique().all()
    assert table.height == 3 * 18 * 2 * len(results.METRICS)
    assert table.schema == pl.Schema(results.SCHEMA)


@pytest.mark.parametrize(("segment", "users"), [("all", range(60)), ("warm", range(20)), ("cold_user", range(40, 60))])
def test_a_segment_is_the_mean_over_its_users(
    table: pl.DataFrame, sample: Sample, lists: dict[str, np.ndarray], segment: str, users: range
) -> None:
    start, end = sample.targets.indptr[:-1], sample.targets.indptr[1:]
    shares = []
    for user in users:
        wanted = set(sample.targets.rows[start[user] : end[user]].tolist())
        shares.append(len(wanted & set(lists["model"][user, :3].tolist())) / len(wanted))
    assert value(table, "model", segment, "recall@3") == pytest.approx(np.mean(shares), abs=1e-6)
    assert value(table, "model", segment, "recall@3", "users") == len(users)
    shown = len(np.unique(lists["model"][list(users), :3])) / 40
    assert value(table, "model", segment, "coverage@3") == pytest.approx(shown, abs=1e-6)


def test_cold_item_counts_only_new_items_as_found(
    table: pl.DataFrame, sample: Sample, lists: dict[str, np.ndarray]
) -> None:
    new = sample.targets.keep(sample.arrived[sample.targets.rows])
    hits = [set(lists["popular"][u].tolist()) & set(new.rows[a:b].tolist()) for u, (a, b) in enumerate(_spans(new))]
    shares = [len(found) / (b - a) for found, (a, b) in zip(hits, _spans(new), strict=True) if b > a]
    assert value(table, "popular", "cold_item", "recall@6") == pytest.approx(np.mean(shares), abs=1e-6)
    assert value(table, "popular", "cold_item", "recall@6", "users") == len(shares)


def _spans(rows: metrics.Ragged) -> list[tuple[int, int]]:
    return list(zip(rows.indptr[:-1].tolist(), rows.indptr[1:].tolist(), strict=True))


def test_differences_are_paired_with_the_baseline(table: pl.DataFrame) -> None:
    difference = value(table, "model", "all", "mrr@3", "difference")
    gap = value(table, "model", "all", "mrr@3") - value(table, "popular", "all", "mrr@3")
    assert difference == pytest.approx(gap, abs=2e-6)
    low, high = (value(table, "model", "all", "mrr@3", f"difference_{end}") for end in ("low", "high"))
    assert 0 < low < difference < high
    assert value(table, "popular", "all", "mrr@3", "difference") is None


def test_what_is_not_known_is_empty_not_zero(table: pl.DataFrame) -> None:
    assert value(table, "empty", "all", "recall@3") == 0
    assert value(table, "empty", "all", "novelty@3") is None
    assert value(table, "model", "cold_user", "popularity_bias@3") is None
    assert value(table, "model", "all", "coverage@3", "low") is None


def test_every_baseline_has_the_whole_table(every: pl.DataFrame, table: pl.DataFrame) -> None:
    other = results.against(every, "empty")
    own = ["variant", "segment", "users", "metric", "value", "low", "high"]
    assert every.height == table.height + other.height
    assert other.select(own).equals(table.select(own))
    assert value(other, "model", "warm", "mrr@3", "difference") == value(table, "model", "warm", "mrr@3")
    assert value(other, "empty", "warm", "mrr@3", "difference") is None


def test_a_segment_is_measured_on_the_answers_to_its_question(sample: Sample, lists: dict[str, np.ndarray]) -> None:
    every = segments.build(sample, bundles.settings().evaluate.model_copy(update={"new_user_items": [1]}))
    parts = [part for part in every if part.name in ("all", "new_user_1")]
    asked = {name: {segments.PLAIN: rows, parts[1].mode: lists["model"]} for name, rows in lists.items()}
    found = results.measure(asked, sample, parts, [3], ["popular"], Bootstrap(100, 0.9, 1))
    assert value(found, "empty", "all", "recall@3") == 0
    assert value(found, "empty", "new_user_1", "recall@3") == value(found, "model", "new_user_1", "recall@3") > 0
    assert value(found, "model", "new_user_1", "coverage@3", "difference") == 0


def test_a_segment_without_users_is_left_out(sample: Sample, lists: dict[str, np.ndarray]) -> None:
    both = segments.build(sample, bundles.settings().evaluate.model_copy(update={"warm_events": 99}))[:2]
    asked = {name: {segments.PLAIN: rows} for name, rows in lists.items()}
    found = results.measure(asked, sample, both, [3], ["popular"], Bootstrap(100, 0.9, 1))
    assert found["segment"].unique().to_list() == ["all"]


def test_new_share_counts_items_that_were_hardly_known(
    table: pl.DataFrame, sample: Sample, lists: dict[str, np.ndarray]
) -> None:
    shown = lists["model"][:, :6]
    wanted = np.mean([[sample.popularity[row] <= 3 for row in rows] for rows in shown.tolist()])
    assert 0 < wanted < 1
    assert value(table, "model", "all", "new_share@6") == pytest.approx(wanted, abs=1e-6)


def test_the_flat_form_is_finite_json_of_one_level(table: pl.DataFrame) -> None:
    flat = results.flat(table, "model", [3, 6])
    assert flat["recall@3"] == value(table, "model", "all", "recall@3")
    assert flat["few.ndcg@3"] == value(table, "model", "few", "ndcg@3")
    assert json.loads(json.dumps(flat, allow_nan=False)) == flat
    assert all(isinstance(figure, float) for figure in flat.values())


def test_what_is_written_is_read_back(table: pl.DataFrame, tmp_path: Path) -> None:
    table.write_csv(tmp_path / "intervals.csv")
    assert results.read(tmp_path / "intervals.csv").equals(table)
