"""EASE: a linear model in closed form of what each item of a history adds to the score of each other item.

Source: Steck, "Embarrassingly shallow autoencoders for sparse data", WWW 2019:
    B = I - P diag(1 / diag(P)), P = (X'X + regularization I)^-1

X holds 0.5 ** (age_days / half_life_days) of each user's newest like of an item. The time of the inversion grows with
the cube of the number of items: so only the `items` most liked ones are used. Of each row of B only the `neighbours`
largest values are kept.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import scipy.linalg
from pydantic import Field
from scipy.sparse import csr_matrix
from threadpoolctl import threadpool_limits

from recsys.contracts import SECONDS_PER_DAY, FloatArray, IntArray, ItemItem, TrainingData, epoch_seconds
from recsys.params import Section
from recsys.ranking import top_k

if TYPE_CHECKING:
    from optuna import Trial


class Config(Section):
    """regularization: lambda of the paper; half_life_days: of a like, in training and in the history of a query; last:
    number of newest items of a history that are used; items, neighbours: see the module."""

    regularization: float = Field(200, gt=0)
    half_life_days: float = Field(10_000, gt=0)
    last: int = Field(200, ge=1)
    items: int = Field(4000, ge=2)
    neighbours: int = Field(200, ge=1)


def suggest(trial: "Trial") -> dict[str, Any]:
    """Suggest the settings for one trial of `recsys tune`."""
    regularization = trial.suggest_float("regularization", 1, 2000, log=True)
    half_life = trial.suggest_float("half_life_days", 1 / 24, 10_000, log=True)
    return {"regularization": float(f"{regularization:.2g}"), "half_life_days": float(f"{half_life:.2g}")}


def fit(data: TrainingData, config: Config) -> ItemItem:
    """Fit the scores of pairs of the most liked items; the same bytes with any number of threads."""
    matrix, items = likes(data, config.half_life_days, config.items)
    with threadpool_limits(1, "blas"):  # several threads add up in another order
        scores = weights((matrix.T @ matrix).toarray(), config.regularization)
    params = {"half_life_days": config.half_life_days, "last": config.last, "place_decay": 1.0}
    return strongest(scores, items, data.n_items, config.neighbours, params)


def likes(data: TrainingData, half_life_days: float, most: int) -> tuple[csr_matrix, IntArray]:
    """Return the matrix X of this module, (n_users, m) float32, of at most `most` items, the most liked ones; also the
    catalogue rows of its columns, (m,) int32 ascending."""
    liked = data.interactions.filter(pl.col("weight") > 0)
    liked = liked.unique(["user_row", "item_row"], keep="last", maintain_order=True)
    popularity = np.bincount(liked["item_row"].to_numpy(), minlength=data.n_items)
    items = np.sort(top_k(popularity, min(most, int((popularity > 0).sum())))).astype(np.int32)
    age_days = np.maximum(data.now - epoch_seconds(liked["timestamp"]), 0) / SECONDS_PER_DAY
    values = np.exp2(-age_days / half_life_days).astype(np.float32)
    pairs = liked["user_row"].to_numpy(), liked["item_row"].to_numpy()
    every = csr_matrix((values, pairs), shape=(data.n_users, data.n_items))
    return every[:, items], items


def weights(gram: FloatArray, regularization: float) -> FloatArray:
    """Return B of the paper, (m, m) float32, with a diagonal of 0. gram: (m, m) float32, X'X; it is overwritten."""
    gram[np.diag_indices_from(gram)] += np.float32(regularization)
    factor, info = scipy.linalg.lapack.spotrf(gram, lower=True, overwrite_a=True)
    inverse, failed = scipy.linalg.lapack.spotri(factor, lower=True, overwrite_c=True)
    if info or failed:
        raise ValueError(f"ease: X'X + {regularization} I has no inverse; raise models.ease.regularization")
    inverse = np.tril(inverse) + np.tril(inverse, -1).T
    found: FloatArray = -inverse / np.diag(inverse)
    found[np.diag_indices_from(found)] = 0
    return found


def strongest(scores: FloatArray, items: IntArray, n_items: int, most: int, params: dict[str, Any]) -> ItemItem:
    """Build the model from the `most` values of each row of `scores`, (m, m), that are largest in absolute value.
    items: (m,) int32, the catalogue row of each row and column of `scores`; n_items: the size of the catalogue; params:
    `ItemItem.params` of the model."""
    kept = np.sort(top_k(np.abs(scores), most), axis=1)
    values = np.take_along_axis(scores, kept, axis=1)
    filled = values != 0
    counts = np.zeros(n_items, dtype=np.int64)
    counts[items] = filled.sum(axis=1)
    return ItemItem(np.concatenate([[0], np.cumsum(counts)]), items[kept[filled]], values[filled], params)
