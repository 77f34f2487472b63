"""Alternating least squares on implicit feedback, fitted by the library `implicit`.

Source: Hu, Koren, Volinsky, "Collaborative Filtering for Implicit Feedback Datasets", ICDM 2008; fitted by conjugate
gradient (Takacs, Pilaszy, Tikk, 2011). Confidence of a user in an item:

    c = alpha * sum over the user's events with the item of weight * 0.5 ** (age_days / half_life_days)
"""

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from implicit.cpu.als import AlternatingLeastSquares
from pydantic import Field
from scipy.sparse import csr_matrix
from threadpoolctl import threadpool_limits

from recsys.contracts import Embeddings, TrainingData, epoch_seconds
from recsys.encoders.als_fold_in import decayed
from recsys.params import Section

if TYPE_CHECKING:
    from optuna import Trial


class Config(Section):
    """factors: length of the vectors; iterations: passes over users and items; alpha, half_life_days: see the module.
    regularization: lambda of the paper, which `implicit` does not multiply by the number of events."""

    factors: int = Field(ge=1, le=1024)
    iterations: int = Field(ge=1)
    alpha: float = Field(gt=0)
    regularization: float = Field(ge=0)
    half_life_days: float = Field(gt=0)


def suggest(trial: "Trial") -> dict[str, Any]:
    """Suggest the settings for one trial of `recsys tune`. It draws alpha, and regularization / alpha."""
    ranges = {"alpha": (0.1, 50), "regularization": (0.3, 100), "half_life_days": (0.02, 100_000)}
    found = {name: trial.suggest_float(name, low, high, log=True) for name, (low, high) in ranges.items()}
    found["regularization"] *= found["alpha"]
    rounded: dict[str, Any] = {name: float(f"{value:.2g}") for name, value in found.items()}
    return {**rounded, "factors": trial.suggest_categorical("factors", [32, 64, 128])}


def fit(data: TrainingData, config: Config) -> Embeddings:
    """Fit vectors of all liked items; the same data and seed give the same bytes with any number of threads."""
    matrix = confidence(data, config.half_life_days)
    with threadpool_limits(1, "blas"):  # threads of BLAS inside those of implicit cost more than they save
        model = AlternatingLeastSquares(
            factors=config.factors,
            iterations=config.iterations,
            alpha=config.alpha,
            regularization=config.regularization,
            num_threads=data.threads,
            random_state=data.seed,
        )
        model.fit(matrix)
        vectors = np.asarray(model.item_factors, dtype=np.float32)
        gram = vectors.T @ vectors + np.float32(config.regularization) * np.eye(config.factors, dtype=np.float32)
    return Embeddings(
        vectors=vectors,
        rows=np.unique(matrix.indices).astype(np.int32),
        encoder="als_fold_in",
        params={"alpha": config.alpha, "half_life_days": config.half_life_days},
        arrays={"gram": gram},
    )


def confidence(data: TrainingData, half_life_days: float) -> csr_matrix:
    """Return the sum of the decayed weights of each user and item, (n_users, n_items) float32, without alpha."""
    liked = data.interactions.filter(pl.col("weight") > 0)
    weights = decayed(liked["weight"].to_numpy(), epoch_seconds(liked["timestamp"]), data.now, half_life_days)
    known = weights > 0  # the weight of very old events rounds to 0
    users, items = liked["user_row"].to_numpy()[known], liked["item_row"].to_numpy()[known]
    return csr_matrix((weights[known], (users, items)), shape=(data.n_users, data.n_items), dtype=np.float32)
