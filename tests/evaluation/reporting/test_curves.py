"""The curves agree with the table, and the ramp with a count by hand."""

import numpy as np
import polars as pl
import pytest

from recsys.evaluation.reporting import curves
from recsys.evaluation.sample import Sample


def test_by_length_ends_at_the_table(table: pl.DataFrame, sample: Sample, lists: dict[str, np.ndarray]) -> None:
    curve = curves.by_length(lists, sample)
    assert curve.filter(variant="model")["k"].to_list() == [1, 2, 3, 4, 5, 6]
    for k in (3, 6):
        row = curve.filter(variant="model", k=k).row(0, named=True)
        for metric in ("recall", "ndcg"):
            wanted = table.filter(variant="model", segment="all", metric=f"{metric}@{k}")["value"].item()
            assert row[metric] == wanted


def test_new_users_are_the_rows_of_their_segments(table: pl.DataFrame) -> None:
    curve = curves.new_users(table, "ndcg@3")
    assert curve.filter(variant="model")["known_items"].to_list() == [0, 1, 3]
    for row in curve.iter_rows(named=True):
        segment = f"new_user_{row['known_items']}"
        wanted = table.filter(variant=row["variant"], segment=segment, metric="ndcg@3")
        assert wanted.select("value", "low", "high").row(0) == (row["value"], row["low"], row["high"])


def test_the_ramp_is_a_count_by_known_events(sample: Sample, lists: dict[str, np.ndarray]) -> None:
    ramp = curves.ramp(lists, sample, 3)
    mine = ramp.filter(variant="model")
    assert mine["known_events"].to_list() == ["0", "1-3", "4-10", "more"]
    assert mine["items"].to_list() == [10, 3, 7, 20]
    assert mine["wanted"].sum() == pytest.approx(1, abs=1e-5)
    assert mine["shown"].sum() == pytest.approx(1, abs=1e-5)
    shown = lists["model"][:, :3].tolist()
    start = sample.targets.indptr.tolist()
    pairs = [(user, row) for user in range(60) for row in sample.targets.rows[start[user] : start[user + 1]].tolist()]
    cold = [row in shown[user] for user, row in pairs if row >= 30]
    assert mine["wanted"][0] == pytest.approx(len(cold) / len(pairs), abs=1e-6)
    assert mine["shown"][0] == pytest.approx(np.mean(np.array(shown) >= 30), abs=1e-6)
    assert mine["found"][0] == pytest.approx(np.mean(cold), abs=1e-6)


def test_empty_lists_show_nothing_rather_than_zero(sample: Sample, lists: dict[str, np.ndarray]) -> None:
    ramp = curves.ramp(lists, sample, 3).filter(variant="empty")
    assert ramp["shown"].is_null().all()
    assert (ramp["found"] == 0).all()
