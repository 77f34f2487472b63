"""The item space of the content model: a truncated SVD of the likes, with more weight for recent ones.

    R = diag(|x_u|)^-1 X diag(n_i)^-p = U S V'     item i = n_i^p * V_i * S^1/2

X holds the confidences of users in items, x_u is the row of user u, and n_i the smoothed sum of the column of item i.
In this space a user's vector is the sum of the vectors of the liked items, each times h_i = n_i^-2p: there is no linear
system to solve, and a new item's vector can be predicted from its content.

Source: Cremonesi, Koren, Turrin, "Performance of recommender algorithms on top-N recommendation tasks", 2010, with the
item normalisation of Nikolakopoulos et al., "EigenRec", 2019.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy.sparse import csr_matrix, diags_array
from scipy.sparse.linalg import svds
from threadpoolctl import threadpool_limits

from recsys.contracts import FloatArray, TrainingData, epoch_seconds
from recsys.encoders.als_fold_in import decayed
from recsys.errors import DataError

SMOOTHING = 5.0  # likes: with 0, an item liked once would get so large an h_i that it outweighs all other likes


@dataclass(frozen=True)
class Space:
    """The space. vectors: (n_items, dim) float32, mean squared length 1, zeros for items without likes; users:
    (n_items,) float32, how many users liked the item; informativeness: (n_items,) float32, h, mean 1 over liked items.
    """

    vectors: FloatArray
    informativeness: FloatArray
    users: FloatArray


def confidence(data: TrainingData, half_life_days: float) -> csr_matrix:
    """Return the confidences of users in items, (n_users, n_items) float32: the root of the sum of decayed weights.
    Weights are divided by their mean before the decay."""
    liked = data.interactions.filter(pl.col("weight") > 0)
    weights = decayed(liked["weight"].to_numpy(), epoch_seconds(liked["timestamp"]), data.now, half_life_days)
    # very old likes stay above 0, so that their items count as liked
    weights = np.maximum(weights, np.float32(1e-12))
    shape, mean = (
        (data.n_users, data.n_items),
        max(float(liked["weight"].to_numpy().mean()), 1e-12) if len(liked) else 1.0,
    )
    pairs = liked["user_row"].to_numpy(), liked["item_row"].to_numpy()
    return csr_matrix(((weights / mean).astype(np.float32), pairs), shape=shape).sqrt()


def fit(matrix: csr_matrix, factors: int, popularity: float, seed: int) -> Space:
    """Fit the space. matrix: the result of `confidence`; popularity: the exponent p of the formula above; factors:
    number of dimensions, fewer if there are fewer users or items.

    Raises:
        DataError: "content: 1 user(s) and 5 item(s) with likes, expected at least 3 of each: add data, or remove ..."
    """
    users, items = np.flatnonzero(np.diff(matrix.indptr)), np.unique(matrix.indices)
    if min(len(users), len(items)) < 3:
        raise DataError(
            f"content: {len(users)} user(s) and {len(items)} item(s) with likes, expected at least 3 of each: "
            "add data, or remove the model from params.yaml"
        )
    known = matrix[users][:, items].astype(np.float64)
    likes = np.asarray(known.sum(axis=0)).ravel()
    n = (likes + SMOOTHING) / (likes.mean() + SMOOTHING)
    lengths = np.sqrt(np.asarray(known.multiply(known).sum(axis=1)).ravel())
    scaled = diags_array(1 / lengths) @ known @ diags_array(n**-popularity)
    start = np.random.default_rng(seed).standard_normal(min(known.shape))
    with threadpool_limits(1, "blas"):  # the same bytes with any number of threads
        _, strength, directions = svds(scaled, k=min(factors, min(known.shape) - 1), v0=start)
    vectors = directions.T * np.sqrt(strength) * n[:, None] ** popularity
    vectors /= np.sqrt((vectors**2).sum(axis=1).mean())
    h = n ** (-2 * popularity) / (n ** (-2 * popularity)).mean()
    return Space(*(_spread(values, items, matrix.shape[1]) for values in (vectors, h, np.diff(known.tocsc().indptr))))


def _spread(values: npt.NDArray[Any], items: npt.NDArray[Any], n_items: int) -> FloatArray:
    spread = np.zeros((n_items, *values.shape[1:]), dtype=np.float32)
    spread[items] = values
    return spread
