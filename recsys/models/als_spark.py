"""Alternating least squares on implicit feedback, fitted by Spark, so that events and users may be on many machines.

Source: Hu, Koren, Volinsky, "Collaborative Filtering for Implicit Feedback Datasets", ICDM 2008, whose confidence is

    c = 1 + alpha * sum over the user's events with the item of weight * 0.5 ** (age_days / half_life_days)

Spark multiplies lambda by the number of items that the user liked, and by the number of users who liked the item (Zhou,
Wilkinson, Schreiber, Pan, 2008). So settings of `als` do not fit here. docs/spark.md has a section for `params.yaml`.
Only the vectors of items and their rows come to this process. They are equal from fit to fit up to rounding errors.
"""

import tempfile
from pathlib import Path

import numpy as np
import polars as pl
from pydantic import Field

from recsys.contracts import SECONDS_PER_DAY, Embeddings, TrainingData
from recsys.data.spark import address, session, written
from recsys.params import Section


class Config(Section):
    """factors: length of the vectors; iterations: passes over users and items; alpha, half_life_days, regularization
    (lambda): see the module; blocks: parts of users and of items, at least the number of cores of the cluster."""

    factors: int = Field(ge=1, le=1024)
    iterations: int = Field(ge=1)
    alpha: float = Field(gt=0)
    regularization: float = Field(gt=0)
    half_life_days: float = Field(gt=0)
    blocks: int = Field(10, ge=1)


def fit(data: TrainingData, config: Config) -> Embeddings:
    """Fit vectors of all liked items. The likes pass through a folder of TMPDIR, which the executors must see."""
    with session() as spark, tempfile.TemporaryDirectory(prefix="als_spark_") as name:
        from pyspark.ml.recommendation import ALS

        folder = Path(name)
        folder.chmod(0o755)  # executors may be another user
        likes(data, config.half_life_days).sink_parquet(folder / "likes.parquet")
        pairs = spark.read.parquet(address(folder / "likes.parquet")).groupBy("user_row", "item_row")
        model = ALS(
            rank=config.factors,
            maxIter=config.iterations,
            regParam=config.regularization,
            numUserBlocks=config.blocks,
            numItemBlocks=config.blocks,
            implicitPrefs=True,
            alpha=config.alpha,
            userCol="user_row",
            itemCol="item_row",
            ratingCol="weight",
            seed=data.seed,
        ).fit(pairs.agg({"weight": "sum"}).withColumnRenamed("sum(weight)", "weight"))
        factors = written(model.itemFactors, folder / "items").sort("id").collect()
    vectors = np.zeros((data.n_items, config.factors), dtype=np.float32)
    rows = factors["id"].to_numpy().astype(np.int32)
    vectors[rows] = factors["features"].list.to_array(config.factors).to_numpy()
    return Embeddings(
        vectors=vectors,
        rows=rows[vectors[rows].any(axis=1)],
        encoder="als_fold_in",
        params={
            "alpha": config.alpha,
            "half_life_days": config.half_life_days,
            "base": 1.0,
            "regularization_per_item": config.regularization,
        },
        arrays={"gram": vectors.T @ vectors},
    )


def likes(data: TrainingData, half_life_days: float) -> pl.LazyFrame:
    """Return user_row, item_row and the decayed weight, float32, of each like of which something is left."""
    age_days = (pl.lit(data.now) - pl.col("timestamp").dt.epoch("us") / 1e6).clip(0) / SECONDS_PER_DAY
    weight = pl.col("weight") * pl.lit(2.0).pow(-age_days / half_life_days)
    likes = data.events.filter(pl.col("weight") > 0).select("user_row", "item_row", weight.cast(pl.Float32))
    return likes.filter(pl.col("weight") > 0)
