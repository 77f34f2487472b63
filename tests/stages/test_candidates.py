"""What a ranker learned from is, bit by bit, what it sees when the same question is served."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from recsys import params
from recsys.bundle import bundle
from recsys.contracts import FloatArray, IntArray, Query
from recsys.data import split as splits
from recsys.evaluation import answers, fold_bundle
from recsys.evaluation.sample import ranker_holdout_users
from recsys.rankers._learned.features import RankingFeatures
from recsys.recommend.recommender import Recommender

FOLD: splits.ScoredFold = "test"


@pytest.fixture(scope="module")
def log(pipeline: Path) -> pl.DataFrame:
    return pl.read_parquet(pipeline / "candidates" / FOLD / "learned.parquet")


@pytest.fixture(scope="module")
def split(pipeline: Path) -> splits.Split:
    return splits.load(pipeline / "data" / "split")


def test_serving_sees_the_features_of_training(
    pipeline: Path, log: pl.DataFrame, split: splits.Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = params.load(pipeline / "params.yaml")
    folders = (pipeline / "models" / FOLD, pipeline / "indexes" / FOLD)
    parts = fold_bundle.parts(split, FOLD, *folders, settings, rankers=pipeline / "rankers" / FOLD)
    bundle.write(parts, settings, {}, tmp_path / "bundle")
    recommender = Recommender(bundle.load(tmp_path / "bundle"), "learned")
    served: list[tuple[tuple[str, ...], FloatArray]] = []
    compute = RankingFeatures.of

    def spy(self: RankingFeatures, query: Query, rows: IntArray) -> FloatArray:
        served.append((self.names, compute(self, query, rows)))
        return served[-1][1]

    monkeypatch.setattr(RankingFeatures, "of", spy)
    whole = log.filter("whole_history").partition_by("case", maintain_order=True)
    assert len(whole) > 20
    for case in whole[:20]:
        served.clear()
        answers.recommend_offline(recommender, split, FOLD, case["user"][0], max(settings.evaluate.at), settings.seed)
        names, table = served[-1]
        assert np.array_equal(table, np.column_stack([case[name] for name in names]), equal_nan=True)


def test_judged_cases_are_whole_and_the_others_keep_their_hits(log: pl.DataFrame, split: splits.Split) -> None:
    names = split.users["user_id"][log["user"].to_numpy()]
    assert ranker_holdout_users(names).tolist() == log["held_out"].to_list()
    cases = log.group_by("case").agg(
        pl.col("whole_history", "held_out").first(), pl.col("wanted").sum(), candidates=pl.len()
    )
    assert cases["held_out"].n_unique() == 2
    sampled = cases.filter(~pl.col("whole_history"), ~pl.col("held_out"))
    whole = cases.filter(pl.col("whole_history") | pl.col("held_out"))
    assert (sampled["candidates"] <= sampled["wanted"] + 60).all()
    assert (whole["candidates"] > 60).all()
    assert sampled["wanted"].sum() > 0
